#!/bin/bash
# install.sh [run|test]: installs what this machine lacks to build and run Gapura (and, with `test`, to test it).
#
# libvirt and QEMU come from Debian's backports on Debian 12: with its own QEMU 7.2 a live migration under software
# emulation can corrupt the guest. Nothing is started: a service that comes up by itself could be somebody else's
# decision undone. It may be run again at any time, also after a try that was cut off; what is there is left alone.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/say.sh"
purpose=${1:-run}
case $purpose in run | test) ;; *) echo "usage: $0 [run|test]" >&2; exit 2 ;; esac
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin

# NAME or NAME>=VERSION, a word each.
hypervisor="libvirt-daemon-system>=11.3 libvirt-clients>=11.3 libvirt-dev>=11.3 qemu-system-x86>=1:10 qemu-utils>=1:10"
building="build-essential pkg-config mold cmake libssl-dev"
guest="cpio dosfstools mtools syslinux syslinux-common"
conversion="bubblewrap util-linux"
empty_disks="e2fsprogs util-linux"
networking="iproute2 nftables dnsmasq-base conntrack procps iputils-ping"
client="python3 python3-venv"
testing="debootstrap slirp4netns postgresql postgresql-contrib genisoimage wrk curl openssl faketime"
object_storage="ceph-mon ceph-osd ceph-common radosgw"
wanted="$hypervisor $building $guest $conversion $empty_disks $networking $client"
[ "$purpose" = run ] || wanted="$wanted $testing $object_storage"

[ -e /etc/debian_version ] && command -v apt-get > /dev/null ||
  fail "this is not Debian: install libvirt 11.3 or newer with its headers, QEMU 10, a C compiler, mold and cargo yourself"
if [ "$(id -u)" = 0 ]; then
  root=()
elif command -v sudo > /dev/null; then
  root=(sudo)
else
  root=(false)
fi
as_root() { "${root[@]}" "$@"; }

# --- what is missing ------------------------------------------------------------------------------------------
version_of() { dpkg-query -W -f='${db:Status-Status} ${Version}' "$1" 2>/dev/null | sed -n 's/^installed //p'; }
candidate_of() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v '(none)' || true; }
is_new_enough() { [ -n "$1" ] && { [ -z "$2" ] || dpkg --compare-versions "$1" ge "$2"; }; }
missing() {
  local word name least
  for word in $wanted; do
    name=${word%%>=*} least=
    case $word in *'>='*) least=${word#*>=} ;; esac
    is_new_enough "$(version_of "$name")" "$least" || echo "$word"
  done
}

# --- where packages come from ---------------------------------------------------------------------------------
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

# Prints "URI<tab>keyring" of the archive this machine already takes its Debian release from.
archive() {
  local file
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    awk -v codename="$codename" '
      function flush() { if (uri && suites && enabled) { print uri "\t" key; exit } uri = key = ""; suites = 0; enabled = 1 }
      BEGIN { enabled = 1; IGNORECASE = 1 }
      /^[ \t]*$/ { flush() }
      tolower($1) == "uris:" { uri = $2 }
      tolower($1) == "suites:" { for (i = 2; i <= NF; i++) if ($i == codename) suites = 1 }
      tolower($1) == "signed-by:" { key = $2 }
      tolower($1) == "enabled:" && tolower($2) ~ /^(no|false|0|off)$/ { enabled = 0 }
      END { flush() }' "$file"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    # deb [option=value …] URI SUITE component…
    sed -n 's/^deb[ \t]\+\(\[\([^]]*\)\][ \t]\+\)\?\([^ \t]\+\)[ \t]\+'"$codename"'[ \t].*/\3|\2/p' "$file" |
      awk -F'|' '{ key = ""; n = split($2, options, " "); for (i = 1; i <= n; i++) if (sub(/^signed-by=/, "", options[i])) key = options[i]; print $1 "\t" key }'
  done
}
backports=$codename-backports
has_backports() { apt-cache policy 2>/dev/null | grep -q "[ /=]${backports}[/,]"; }
# Writes the source; the lists are fetched by the caller.
add_backports() {
  local line uri key
  line=$(archive | head -n 1)
  [ -n "$line" ] || fail "no source for $codename in /etc/apt: add one for $backports by hand, then run this again"
  uri=${line%%$'\t'*} key=${line#*$'\t'}
  {
    echo "# Added by Gapura's etc/install.sh, for libvirt and QEMU. Nothing else is taken from it unless asked for."
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$backports"
    [ -z "$key" ] || echo "Signed-By: $key"
  } | as_root tee /etc/apt/sources.list.d/gapura-backports.sources > /dev/null
}
updated=
update() {
  [ -z "$updated" ] || return 0
  # A third party's source that is away is no reason to stop: what matters is whether our packages are found then.
  step "fetching the package lists" as_root apt-get update || say "some package lists could not be fetched"
  updated=yes
}

# --- services stay as they are --------------------------------------------------------------------------------
guard=/usr/sbin/policy-rc.d
guard_mark="# Gapura's etc/install.sh is installing packages"
remove_guard() {
  if as_root grep -qsF "$guard_mark" "$guard"; then as_root rm -f "$guard"; fi
  if [ -e "$guard.before-gapura" ]; then as_root mv -f "$guard.before-gapura" "$guard"; fi
}
set_guard() {
  remove_guard # what a try that was cut off left behind
  if [ -e "$guard" ]; then as_root mv "$guard" "$guard.before-gapura"; fi
  trap remove_guard EXIT
  printf '#!/bin/sh\n%s: no service is started meanwhile.\nexit 101\n' "$guard_mark" | as_root tee "$guard" > /dev/null
  as_root chmod 755 "$guard"
}

install_packages() {
  local word name least target=() names=()
  for word in "$@"; do
    name=${word%%>=*} least=
    case $word in *'>='*) least=${word#*>=} ;; esac
    if [ -z "$(candidate_of "$name")" ]; then update; fi
    if ! is_new_enough "$(candidate_of "$name")" "$least"; then
      has_backports || { add_backports; updated=; update; }
      target=(-t "$backports")
    fi
    names+=("$name")
  done
  apt=(apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300)
  # Lists older than the archive name files that are gone: fetch them and try once more.
  step "installing ${names[*]}" as_root "${apt[@]}" "${target[@]}" "${names[@]}" && return
  updated=
  update
  step "installing ${names[*]}, second try" as_root "${apt[@]}" "${target[@]}" "${names[@]}"
}

# --- do it ----------------------------------------------------------------------------------------------------
mapfile -t lacking < <(missing)
cargo=$("$here/cargo.sh" || true)
if [ ${#lacking[@]} -gt 0 ] || [ -z "$cargo" ]; then
  if [ "${root[*]:-}" = false ]; then fail "neither root nor sudo here; as root run: $here/install.sh $purpose"; fi
  exec 9> /tmp/gapura-install.lock
  flock 9 # a second one waits rather than fights over the same packages
  mapfile -t lacking < <(missing)
fi
if [ ${#lacking[@]} -gt 0 ]; then
  set_guard
  if [ -n "$(dpkg --audit)" ]; then step "finishing an installation that was cut off" as_root dpkg --configure -a; fi
  mine=() others=()
  for word in "${lacking[@]}"; do
    case " $hypervisor " in *" $word "*) mine+=("$word") ;; *) others+=("$word") ;; esac
  done
  # Apart: only what must come from backports may.
  if [ ${#others[@]} -gt 0 ]; then install_packages "${others[@]}"; fi
  if [ ${#mine[@]} -gt 0 ]; then install_packages "${mine[@]}"; fi
fi

if [ -z "$cargo" ]; then
  needed=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$here/../Cargo.toml")
  if ! is_new_enough "$(candidate_of cargo-web)" "$needed"; then update; fi
  if command -v rustup > /dev/null || [ -x "$HOME/.cargo/bin/rustup" ]; then
    fail "Rust $needed or newer is needed: run 'rustup toolchain install stable && rustup default stable', then this again"
  elif is_new_enough "$(candidate_of cargo-web)" "$needed" && [ -z "$(version_of cargo)" ]; then
    set_guard
    install_packages "cargo-web>=$needed" "rustc-web>=$needed"
  else
    fail "Rust $needed or newer is needed: get it from https://rustup.rs with 'rustup toolchain install stable', then run this again"
  fi
  "$here/cargo.sh" > /dev/null || fail "cargo was installed and is still not Rust $needed: see '$here/cargo.sh'"
fi
