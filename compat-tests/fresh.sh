#!/bin/bash
# fresh.sh [DIR]: the README's promise, tried where nothing was tried before.
#
# Makes a minimal Debian 12, gives an ordinary user in it a clone of what is committed here, and types what a newcomer
# types: `make run`, `make demo`, Ctrl-C, the same once more, `make stop`. Then it looks for what was left behind.
#
# The machine is a folder with processes, mounts and a network of its own, where there is neither systemd nor KVM. Its way
# out is slirp4netns, which needs no rule in this machine's firewall. Packages come from where this machine's own apt gets
# them, and other registries are reached as this machine reaches them (its certificates, its pip's and cargo's settings);
# what was downloaded once is kept in ${GAPURA_CACHE:-~/.cache/gapura}/fresh.
#
# The machine is removed in the end, unless a folder for it is named.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
skip() { echo "SKIPPED: $*"; exit 77; }
fail() { echo "fresh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || skip "a machine of its own needs root"
for tool in debootstrap slirp4netns git; do
  command -v "$tool" > /dev/null || skip "$tool is missing; etc/install.sh test installs it"
done

release=bookworm
work=$(mktemp -d /tmp/gapura-fresh.XXXXXX)
root=$work/root
if [ $# = 1 ]; then mkdir -p "$1"; root=$(readlink -f "$1"); fi
cache=${GAPURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gapura}/fresh
mkdir -p "$cache/packages" "$cache/crates"
user=newcomer
home=/home/$user
holder="" wire="" passed=0 failed=0

clean_up() {
  local pid
  for pid in $wire $holder; do kill -KILL "$pid" 2> /dev/null; wait "$pid" 2> /dev/null; done
  # Every mount was in the namespace that went with the machine's first process.
  [ $# = 1 ] || rm -rf --one-file-system "$root"
  if [ "$failed" = 0 ]; then rm -rf --one-file-system "$work"; else echo "fresh: what was on the screens is in $work" >&2; fi
}
trap 'clean_up "$@"' EXIT
trap 'exit 130' INT TERM

say() { echo "fresh: $*"; }
# claim SENTENCE COMMAND…: counts whether the command says that the sentence is true, and shows what it said if not.
claim() {
  local sentence=$1 said
  shift
  if said=$("$@" 2>&1); then
    passed=$((passed + 1)); echo "  ok    $sentence"
  else
    failed=$((failed + 1)); echo "  FAILED $sentence"; sed 's/^/        /' <<< "$said"
  fi
}

# --- the machine ----------------------------------------------------------------------------------------------
# "URI suite component" of each of Debian's own sources of the release, as this machine's apt has them.
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
    awk -v release="$release" '$4 == "Debian" && ($2 == release || index($2, release "-") == 1) && $2 !~ /backports/ { print $1, $2, $3 }' | sort -u
}
install_machine() {
  local archive
  archive=$(sources | awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }')
  [ -n "$archive" ] || skip "this machine's apt has no source of $release"
  say "making a minimal Debian ($release)"
  debootstrap --variant=minbase --include=ca-certificates,git,make,sudo --cache-dir="$cache/packages" "$release" "$root" "$archive" \
    > "$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log" >&2; failed=1; fail "debootstrap failed"; }
  sources | sed 's/^/deb /' > "$root/etc/apt/sources.list"
  apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-)' > "$root/etc/apt/apt.conf.d/90machine"
  # The resolver of slirp4netns, which asks the one that this machine asks.
  echo "nameserver 10.0.2.3" > "$root/etc/resolv.conf"
  echo "127.0.0.1 localhost fresh" > "$root/etc/hosts"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/pip.conf"; fi

  chroot "$root" useradd --create-home --shell /bin/bash "$user"
  echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" > "$root/etc/sudoers.d/$user"
  chmod 440 "$root/etc/sudoers.d/$user"
  chmod 700 "$root$home" # as Debian's installer makes homes
  local file
  for file in "${CARGO_HOME:-$HOME/.cargo}/config.toml:.cargo/config.toml" "$HOME/.config/pip/pip.conf:.config/pip/pip.conf"; do
    [ -e "${file%%:*}" ] || continue
    mkdir -p "$root$home/$(dirname "${file#*:}")"
    cp "${file%%:*}" "$root$home/${file#*:}"
  done
  # Crates that were downloaded before need not be again.
  mkdir -p "$root$home/.cargo/registry"
  cp -r "$cache/crates/." "$root$home/.cargo/registry/"
  git -C "$checkout" bundle create --quiet "$root/srv/gapura.bundle" HEAD
  chroot "$root" chown -R "$user:" "$home"
}

# Runs as the machine's first process: it reaps every orphan, and with it everything on the machine ends.
first_process='
  root=$1 cache=$2
  hostname fresh
  ip link set lo up
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  mkdir -p "$root"/dev/{pts,shm,net} "$root/var/cache/apt/archives"
  for device in null zero full random urandom tty net/tun; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"; for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"; done
  mount --bind "$cache/packages" "$root/var/cache/apt/archives"
  mkdir -p "$root/.outside"
  cd "$root" && pivot_root . .outside && umount -l /.outside && rmdir /.outside && touch /run/started
  exec chroot . bash -c "while :; do sleep 3600 & wait; done"
'
start_machine() {
  unshare --mount --net --pid --uts --ipc --fork --kill-child bash -ec "$first_process" "gapura-fresh" "$root" "$cache" < /dev/null > "$work/machine.log" 2>&1 &
  holder=$!
  for _ in $(seq 100); do
    init=$(pgrep -P "$holder") && inside test -e /run/started 2> /dev/null && break
    kill -0 "$holder" 2> /dev/null || break
    sleep 0.1
  done
  inside test -e /run/started || { cat "$work/machine.log" >&2; failed=1; fail "the machine did not start"; }
  slirp4netns --configure --mtu=1500 --disable-host-loopback "$init" tap0 < /dev/null > "$work/slirp4netns.log" 2>&1 &
  wire=$!
  for _ in $(seq 100); do inside test -e /sys/class/net/tap0 && return; sleep 0.1; done
  cat "$work/slirp4netns.log" >&2; failed=1; fail "the machine has no way out"
}
inside() { nsenter --target "$init" --mount --net --pid --uts --ipc -- "$@"; }

# How other registries are reached from here; nothing else of this shell's environment.
reach=()
while IFS= read -r pair; do reach+=("$pair"); done < <(env | grep -E '^(PIP_|CARGO_(HTTP|NET|REGISTR|SOURCE)|(SSL|REQUESTS|CURL|GIT_SSL)_?CA|SSL_CERT|(https?|no|all)_proxy=)' -i)
# newcomer COMMAND: as it runs when the newcomer types it, in the clone if there is one. Nobody who types has signals
# ignored, which no shell could undo: whoever runs this in the background has.
newcomer() {
  inside setpriv --reuid "$user" --regid "$user" --init-groups env -i --default-signal "${reach[@]}" HOME=$home USER=$user LOGNAME=$user SHELL=/bin/bash \
    LANG=C.UTF-8 TERM=xterm PATH=/usr/local/bin:/usr/bin:/bin bash -c "cd $home/gapura 2> /dev/null || cd $home; $1"
}

# --- what is typed and seen -----------------------------------------------------------------------------------
mkfifo "$work/keys"
exec 7<> "$work/keys"
run_began=0 running=""
# type_run SCREEN: `make run` in a terminal of its own; what is shown goes to SCREEN.
type_run() {
  run_began=$SECONDS
  newcomer 'script --quiet --flush --command "make run; echo ended with \$?" /dev/null' < "$work/keys" > "$1" 2>&1 7>&- &
  running=$!
}
# wait_for SCREEN SECONDS TEXT: until the text is on the screen, or the command has ended.
wait_for() {
  local until=$((SECONDS + $2))
  while [ $SECONDS -lt $until ] && ! grep -qF -- "$3" "$1"; do
    kill -0 "$running" 2> /dev/null || break
    sleep 0.2
  done
  grep -qF -- "$3" "$1" || { tail -n 40 "$1"; return 1; }
}
# press_control_c SECONDS: true when what runs in the terminal ends by it.
press_control_c() {
  printf '\003' >&7
  local until=$((SECONDS + $1))
  while kill -0 "$running" 2> /dev/null; do [ $SECONDS -lt $until ] || return 1; sleep 0.1; done
}
ended_well() { grep -q 'ended with 0' "$1" || { tail -n 5 "$1"; return 1; }; }
ten_lines() { [ "$(sed -n '/Gapura is at/,/Ctrl-C stops/p' "$1" | wc -l)" -le 10 ] && grep -qF 'clouds.yaml' "$1"; }
is_private_to_newcomer() { [ "$(inside stat -c '%a %U' "$home/gapura/var/$1")" = "600 $user" ] || { inside stat "$home/gapura/var/$1"; return 1; }; }
# An exact look: only what a machine has that was just started.
no_links() { local left; left=$(inside ip -o link | awk -F': ' '$2 != "lo" && $2 != "tap0"'); [ -z "$left" ] || { echo "$left"; return 1; }; }
no_namespaces() { local left; left=$(inside ip netns list); [ -z "$left" ] || { echo "$left"; return 1; }; }
no_rules() { local left; left=$(inside nft list ruleset); [ -z "$left" ] || { echo "$left"; return 1; }; }
# A process id of one, its sleep, and the shell that looks.
no_processes() {
  local left
  left=$(inside ps -eo pid=,ppid=,user=,args= | awk '$1 != 1 && $4 != "sleep" && $4 != "ps"')
  [ -z "$left" ] || { echo "$left"; return 1; }
}
nobody_serves() { ! inside bash -c 'exec 3<> /dev/tcp/127.0.0.1/5000' 2> /dev/null; }

walk() {
  claim "the machine has neither systemd nor KVM nor libvirt nor cargo" inside bash -c '! [ -e /run/systemd/system ] && ! [ -e /dev/kvm ] && ! command -v libvirtd cargo'
  claim "git clone" newcomer 'git clone --quiet /srv/gapura.bundle gapura'

  say "make run, interrupted while it installs"
  type_run "$work/run-0"
  claim "make run says what it does" wait_for "$work/run-0" 600 'installing '
  sleep 3 # whichever moment this is
  claim "Ctrl-C ends the installation" press_control_c 120
  say "make run, once more"
  type_run "$work/run-1"
  claim "make run builds with Debian's own Rust, and serves" wait_for "$work/run-1" 3600 'Ctrl-C stops Gapura'
  grep -F 'gapura: ' "$work/run-1" | sed 's/^/    /'
  say "from the command to the cloud: $((SECONDS - run_began)) s"
  kill -0 "$running" 2> /dev/null || return
  claim "it says where it is, which clouds.yaml to use and what to try, in ten lines" ten_lines "$work/run-1"
  claim "it says that it emulates" wait_for "$work/run-1" 60 'machines are emulated'
  claim "clouds.yaml can be read by who typed make run, and by nobody else" is_private_to_newcomer clouds.yaml
  claim "openrc can be read by who typed make run, and by nobody else" is_private_to_newcomer openrc
  claim "nobody else may order libvirt about" inside bash -c "! setpriv --reuid nobody --regid nogroup --clear-groups virsh -q -c \"\$(cat $home/gapura/var/hypervisor)\" uri"
  inside cp "$home/gapura/var/clouds.yaml" /root/clouds.yaml

  say "make demo, without sudo"
  newcomer 'make demo' > "$work/demo" 2>&1
  claim "make demo does the whole job" grep -qE '^[1-9][0-9]* passed, 0 failed' "$work/demo"
  grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/demo" | sed 's/^/    demo: /; s/passed, /passed and /'
  grep -qE ' 0 failed' "$work/demo" || tail -n 60 "$work/demo" | sed 's/^/        /'
  newcomer 'make doctor' > "$work/doctor" 2>&1
  claim "make doctor finds nothing broken" grep -q ' 0 broken' "$work/doctor"
  sed 's/^/    /' "$work/doctor"

  claim "Ctrl-C ends it" press_control_c 30
  claim "and that is no error" ended_well "$work/run-1"
  claim "nothing serves afterwards" nobody_serves

  say "make run, the next day"
  type_run "$work/run-2"
  claim "make run may be repeated" wait_for "$work/run-2" 120 'Ctrl-C stops Gapura'
  say "from the command to the cloud: $((SECONDS - run_began)) s"
  claim "passwords are as they were" inside cmp "$home/gapura/var/clouds.yaml" /root/clouds.yaml
  claim "and the file is still the newcomer's own" is_private_to_newcomer clouds.yaml
  claim "the cloud knows them" newcomer 'OS_CLIENT_CONFIG_FILE=var/clouds.yaml OS_CLOUD=gapura-demo "$(make --silent client)" image list'
  claim "Ctrl-C ends it again" press_control_c 30

  newcomer 'make stop' > "$work/stop" 2>&1
  claim "make stop ends well" test $? = 0
  cat "$work/stop"
  claim "no bridge or tap is left" no_links
  claim "no network namespace is left" no_namespaces
  claim "no firewall rule is left" no_rules
  claim "no process is left" no_processes
  claim "git sees no change in the clone" newcomer '[ -z "$(git status --porcelain)" ]'
}

main() {
  install_machine
  start_machine
  walk
  cp -rn "$root$home/.cargo/registry/"{cache,index} "$cache/crates/" 2> /dev/null
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
# It takes half an hour, and a shell reads its script as it goes: somebody may change the checkout meanwhile.
main; exit
