#!/bin/bash
# Two libvirt hosts on one machine, for tests and trials of what goes on between hosts: `two_hosts.sh start DIR` prints a
# line a host, its URI for us and its URI for the other one; `two_hosts.sh stop DIR` ends both and every machine they run.
# Needs root.
#
# Each is a private libvirtd (`libvirtd.sh`) with a name and a network of its own. Two wires connect them: one for the
# libvirtds, one between the bridges (`br0`) that guests are on. Nothing of it is seen outside: any number of such pairs
# may run at once, all with the same addresses.
#
#   two_hosts.sh kill DIR a      kills host a's libvirtd alone, as a crash would; it is back in a moment
#   two_hosts.sh unplug DIR a N  kills the QEMU of a machine of this name on host a
#   two_hosts.sh freeze DIR a N  stops it: it is there, and does and notices nothing
#   two_hosts.sh cut DIR [WIRE]  cuts both wires, or one (wire0: the libvirtds', wire1: the guests'); `mend` joins them again
#   two_hosts.sh slow DIR RATE   lets so much through the libvirtds' wire (tc's words: 80mbit); `full` all again
#   two_hosts.sh in DIR a CMD…   runs a command in host a's network
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
[ $# -ge 2 ] || { echo "usage: $0 start|stop|kill|unplug|freeze|cut|mend|slow|full|in DIR …" >&2; exit 2; }
verb=$1
mkdir -p "$2"
dir=$(readlink -f "$2")
shift 2

address() { case $1 in a) echo 10.77.0.1 ;; b) echo 10.77.0.2 ;; esac; }
inside() { local host=$1; shift; nsenter --net="/proc/$(cat "$dir/$host/holder.pid")/ns/net" "$@"; }
wires() { inside a ip link set wire0 "$1"; inside a ip link set wire1 "$1"; }

# SIGNAL HOST NAME: to the QEMU of a machine.
tell() {
  local init
  init=$(pgrep -P "$(cat "$dir/$2/holder.pid")")
  pkill "-$1" --ns "$init" --nslist pid -f -- "guest=$3,"
}

start() {
  local uri a b host
  for host in a b; do
    uri=$(LIBVIRTD_NAME=host-$host "$here/libvirtd.sh" start "$dir/$host")
    echo "$uri qemu+tcp://$(address $host)/system"
  done
  inside a ip link show wire0 >/dev/null 2>&1 && return
  a=$(cat "$dir/a/holder.pid") b=$(cat "$dir/b/holder.pid")
  for wire in wire0 wire1; do ip link add $wire netns "$a" type veth peer name $wire netns "$b"; done
  for host in a b; do
    # QEMU stands still with its guest when a move is called off while the wire to the other host's disks is dead, until the
    # kernel gives the connection up: after a quarter of a minute, not of an hour.
    inside $host sysctl -qw net.ipv4.tcp_retries2=5
    inside $host ip address add "$(address $host)/24" dev wire0
    inside $host ip link set wire0 up
    inside $host ip link add br0 type bridge forward_delay 0
    inside $host ip link set wire1 master br0 up
    inside $host ip link set br0 up
  done
}

case $verb in
  start) start ;;
  stop) for host in a b; do "$here/libvirtd.sh" stop "$dir/$host"; done ;;
  kill) "$here/libvirtd.sh" kill "$dir/$1" ;;
  unplug) tell KILL "$@" ;;
  freeze) tell STOP "$@" ;;
  cut) if [ -n "${1:-}" ]; then inside a ip link set "$1" down; else wires down; fi ;;
  mend) wires up ;;
  slow) inside a tc qdisc replace dev wire0 root tbf rate "$1" burst 256k latency 100ms ;;
  full) inside a tc qdisc del dev wire0 root ;;
  in) inside "$@" ;;
  *) echo "$0: there is no $verb" >&2; exit 2 ;;
esac
