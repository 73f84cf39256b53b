#!/bin/bash
# A cloud of its own for a test: `cloud.sh start DIR` prints the file to source, `cloud.sh stop DIR` ends it and
# everything it runs.
#
#   . "$(compat-tests/harness/cloud.sh start /tmp/cloud)"     # CLOUD_URL, CLOUD_FILE, CLOUD_STATE, CLOUD_HYPERVISOR, CLOUD_PID
#
# PROGRAM names the binary (else target/release/gapura). GAPURA_HYPERVISOR is as for the program; `qemu` means a private
# libvirtd, started and stopped with the cloud. Any other GAPURA_ setting is passed on.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(readlink -f "$here/../..")
[ $# = 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$2"
dir=$(readlink -f "$2")

# The process id of the server, if it is alive and truly ours: an id may have been used again.
alive() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  tr '\0' ' ' 2>/dev/null < "/proc/$pid/cmdline" | grep -q 'gapura.* serve' && echo "$pid"
}

start() {
  if alive > /dev/null; then echo "$dir/environment"; return; fi
  export GAPURA_STATE_DIR=$dir/state
  # Read by other scripts: the program knows no such setting, and says so.
  unset GAPURA_CACHE GAPURA_TEST_LIBVIRT_URI
  local bin=${PROGRAM:-${CARGO_TARGET_DIR:-$checkout/target}/release/gapura} port
  [ -x "$bin" ] || { echo "cloud.sh: $bin is not there; build it first" >&2; exit 1; }
  export GAPURA_HYPERVISOR=${GAPURA_HYPERVISOR:-simulated}
  if [ "$GAPURA_HYPERVISOR" = qemu ]; then GAPURA_HYPERVISOR=$("$here/libvirtd.sh" start "$dir/libvirtd"); fi
  if [ -z "${GAPURA_LISTEN:-}" ]; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    export GAPURA_LISTEN=127.0.0.1:$port
  fi
  export GAPURA_PUBLIC_URL=${GAPURA_PUBLIC_URL:-http://$GAPURA_LISTEN}
  # The shared network is routed to the host: two clouds on one must not have the same range.
  local spot
  spot=$(cksum <<< "$dir" | cut -d' ' -f1)
  export GAPURA_NETWORK__PRIVATE_RANGE=${GAPURA_NETWORK__PRIVATE_RANGE:-10.$((64 + spot % 128)).$((spot / 128 % 256)).0/24}
  mkdir -p "$GAPURA_STATE_DIR"
  "$bin" init > "$dir/init.log" 2>&1 || { tail -n 20 "$dir/init.log" >&2; echo "cloud.sh: gapura init failed" >&2; exit 1; }
  setsid "$bin" serve < /dev/null >> "$dir/serve.log" 2>&1 &
  echo $! > "$dir/pid"
  cat > "$dir/environment" <<EOF
export CLOUD_URL='$GAPURA_PUBLIC_URL' CLOUD_FILE='$GAPURA_STATE_DIR/clouds.yaml' CLOUD_STATE='$GAPURA_STATE_DIR'
export CLOUD_HYPERVISOR='$GAPURA_HYPERVISOR' CLOUD_PID=$(cat "$dir/pid")
EOF
  for _ in $(seq 300); do
    alive > /dev/null || break
    if (exec 3<> "/dev/tcp/${GAPURA_LISTEN%:*}/${GAPURA_LISTEN##*:}") 2> /dev/null; then echo "$dir/environment"; return; fi
    sleep 0.05
  done
  tail -n 20 "$dir/serve.log" >&2
  echo "cloud.sh: gapura serve did not answer" >&2
  stop
  exit 1
}

stop() {
  local pid
  if pid=$(alive); then
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 200); do alive > /dev/null || break; sleep 0.05; done
    if pid=$(alive); then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$dir/pid"
  if [ -d "$dir/libvirtd" ]; then "$here/libvirtd.sh" stop "$dir/libvirtd"; fi
  "$here/sweep.sh" "$dir/state"
}

case $1 in start) start ;; stop) stop ;; *) exit 2 ;; esac
