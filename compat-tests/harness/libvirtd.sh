#!/bin/bash
# A private libvirtd for tests and trials: `libvirtd.sh start DIR` prints its URI, `libvirtd.sh stop DIR` ends it and
# every machine it runs. Needs root. Starting a running one only prints its URI; stopping a stopped one does nothing.
# `libvirtd.sh kill DIR` kills the daemon alone, as a crash would: it is back in a moment, and its machines go on.
#
# It has its own mounts (so its configuration, certificates, state, sockets and logs live in DIR and no other libvirtd is touched) and
# its own process ids, but the machine's own network: the taps and bridges that Gapura makes are found by name. Its
# process number one reaps at once (where the machine's does not, libvirt takes 1.4 s to destroy a domain, not 0.3 s),
# and when that process goes, the kernel ends everything it started: nothing can be left behind.
#
# With LIBVIRTD_NAME it is a host of its own: that name, a network of its own, and TCP for other hosts' libvirtd. Who has
# several connects them (`two_hosts.sh`).
set -euo pipefail

usage() { echo "usage: $0 start|stop|kill DIR" >&2; exit 2; }
[ $# -eq 2 ] || usage
mkdir -p "$2"
dir=$(readlink -f "$2")
socket=$dir/run/libvirt-sock
uri="qemu+unix:///system?socket=$socket"

# The process that holds the namespaces, if it is alive and truly ours: a process id may have been used again.
holder() {
  local pid
  pid=$(cat "$dir/holder.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "gapura-libvirtd $dir" && echo "$pid"
}

answers() { virsh -q -c "$uri" uri >/dev/null 2>&1; }

configure() {
  mkdir -p "$dir"/{etc,lib,run,log,cache,pki}
  [ -e "$dir/etc/qemu.conf" ] || cp -a /etc/libvirt/. "$dir/etc/"
  rm -rf "$dir/etc/qemu/networks/autostart" "$dir/run"/*
  [ -s "$dir/host_uuid" ] || cat /proc/sys/kernel/random/uuid >"$dir/host_uuid"
  # Who may write to the socket may do on this host what root may.
  cat >"$dir/etc/libvirtd.conf" <<EOF
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
host_uuid = "$(cat "$dir/host_uuid")"
max_clients = 200
max_workers = 40
max_client_requests = 40
listen_tls = 0
listen_tcp = 1
listen_addr = "0.0.0.0"
auth_tcp = "none"
EOF
  # Two daemons that look for a free port at the same time would find the same one: each has displays of its own.
  local displays=$((6100 + $(cksum <<<"$dir" | cut -d" " -f1) % 120 * 200))
  # Machines run as root and unconfined: their disks are wherever a test made them. Not for real hosts.
  cat >"$dir/etc/qemu.conf" <<EOF
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
seccomp_sandbox = 0
max_core = 0
remote_display_port_min = $displays
remote_display_port_max = $((displays + 199))
EOF
}

# Runs as process number one of its namespace. The shell reaps every orphan it inherits while it waits. A daemon that
# ends is started again and finds its machines still running, as under systemd.
inside='
  dir=$1 name=$2
  mount --make-rprivate /
  for pair in etc:/etc/libvirt lib:/var/lib/libvirt run:/run/libvirt log:/var/log/libvirt cache:/var/cache/libvirt pki:/etc/pki; do
    mkdir -p "${pair#*:}"; mount --bind "$dir/${pair%%:*}" "${pair#*:}"
  done
  if [ -n "$name" ]; then
    hostname "$name"
    ip link set lo up
    # The kernel shows links of the network that a sysfs was mounted in.
    mkdir -p "$dir/cgroup"
    mount --rbind /sys/fs/cgroup "$dir/cgroup"
    mount -t sysfs sysfs /sys
    mount --move "$dir/cgroup" /sys/fs/cgroup
    # Libvirt wants to find itself by its name.
    { cat /etc/hosts; echo "127.0.1.1 $name"; } >"$dir/hosts"
    mount --bind "$dir/hosts" /etc/hosts
  fi
  while :; do libvirtd ${name:+--listen} --pid-file "$dir/run/libvirtd.pid" & wait $!; sleep 0.2; done
'

start() {
  if holder >/dev/null; then answers && { echo "$uri"; return; }; stop; fi
  [ ${#socket} -lt 108 ] || { echo "$dir is too long for a socket: at most 87 bytes" >&2; exit 1; }
  configure
  local name=${LIBVIRTD_NAME:-}
  setsid unshare --mount --pid ${name:+--net --uts} --fork --mount-proc --kill-child \
    bash -c "$inside" "gapura-libvirtd $dir" "$dir" "$name" </dev/null >>"$dir/log/libvirtd.out" 2>&1 &
  echo $! >"$dir/holder.pid"
  for _ in $(seq 150); do
    answers && { echo "$uri"; return; }
    holder >/dev/null || break
    sleep 0.1
  done
  echo "libvirtd did not answer; its last words:" >&2
  tail -20 "$dir/log/libvirtd.out" >&2
  stop
  exit 1
}

stop() {
  local pid
  if pid=$(holder); then
    kill -KILL "$pid" 2>/dev/null || true
    for _ in $(seq 100); do holder >/dev/null || break; sleep 0.05; done
  fi
  rm -f "$dir/holder.pid" "$socket"
}

# Not in the instant between a machine's fork and the note of its process id: libvirt (11.3) takes such a start over from
# a daemon that was killed there, carries it on by nobody, and lets nothing end it. That is its own to mend.
crash() {
  local pid init daemon
  pid=$(holder) && init=$(pgrep -P "$pid") && daemon=$(pgrep -P "$init" -x libvirtd) ||
    { echo "no libvirtd runs in $dir" >&2; exit 1; }
  for _ in $(seq 200); do
    kill -STOP "$daemon"
    grep -qs "<domstatus .*pid='0'" "$dir"/run/qemu/*.xml || break
    kill -CONT "$daemon"
    sleep 0.01
  done
  kill -KILL "$daemon"
}

case $1 in start) start ;; stop) stop ;; kill) crash ;; *) usage ;; esac
