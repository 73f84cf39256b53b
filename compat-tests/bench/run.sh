#!/bin/bash
# run.sh [PART…]: measures the release build on this machine and prints the tables of benches/README.md.
# Parts: answers identity scale image image_lists compute placement fleet footprint transfer crowd crowd_s3 create. The last needs root and libvirt,
# crowd_s3 Ceph's radosgw and 12 GiB of memory (CROWD and CROWD_MIB make both crowds smaller); nothing else should run
# meanwhile. PEER=FILE names a Keystone, a Glance and a Nova to measure `identity`, `image` and `compute` beside (compat-tests/bench/sides.py
# says what is in the file). PROGRAM names a program to measure instead of building one.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(readlink -f "$here/../..")
parts=${*:-answers identity scale image image_lists compute placement fleet footprint transfer crowd crowd_s3 create}
cd "$checkout"
program=${PROGRAM:-}
if [ -z "$program" ]; then
  cargo=${CARGO:-$(etc/cargo.sh)}
  "$cargo" build --release --locked --quiet
  program=${CARGO_TARGET_DIR:-$checkout/target}/release/gapura
fi
image=$checkout/target/gapura-test.qcow2
[ -e "$image" ] || etc/guest/build.sh "$image"
python=$(compat-tests/clients/venv.sh openstackclient python-openstackclient)/bin/python
work=$(mktemp -d /tmp/gapura-bench.XXXXXX)
stop() {
  for cloud in "$work"/cloud "$work"/unsynced; do [ ! -d "$cloud" ] || compat-tests/harness/cloud.sh stop "$cloud"; done
  if [ -d "$work/s3" ]; then compat-tests/harness/s3.sh stop "$work/s3"; fi
}
trap 'stop; rm -rf "$work"' EXIT

echo "$(date -u '+%F'), commit $(git rev-parse --short HEAD), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg) at the start"
for part in $parts; do
  # Measured without a cloud around it.
  if [ "$part" = placement ]; then
    printf '\n### %s\n\n' "$part"
    "${CARGO:-$(etc/cargo.sh)}" bench --locked --quiet --bench placement
    continue
  fi
  hypervisor=simulated
  if [ "$part" = create ]; then hypervisor=qemu; fi
  # A fresh cloud for each: one part's memory and rows are none of the next one's.
  rm -rf "$work/cloud" "$work/unsynced"
  script=$part settings=("PROGRAM=$program" "GAPURA_INIT__IMAGE=$image" "GAPURA_HYPERVISOR=$hypervisor")
  case $part in
    image)
      # One that like Glance answers before the disk has the bytes.
      environment=$(env "${settings[@]}" GAPURA_IMAGES__STORE_OPTIONS__FSYNC=false compat-tests/harness/cloud.sh start "$work/unsynced")
      UNSYNCED_FILE=$(. "$environment"; echo "$CLOUD_FILE"); export UNSYNCED_FILE
      ;;
    # Ten thousand servers on one host that nobody has.
    compute) settings+=(GAPURA_COMPUTE__{CPU,RAM,DISK}_ALLOCATION_RATIO=1000) ;;
    # Five thousand servers on fifty hosts, and a log that tells how long each look at them took.
    fleet)
      settings+=(GAPURA_SIMULATED__HOSTS=50 GAPURA_COMPUTE__{CPU,RAM,DISK}_ALLOCATION_RATIO=1000)
      settings+=(GAPURA_LOG__FILTER=info,gapura::tasks::reconcile=debug)
      ;;
    crowd) settings+=(CROWD_MOST_MIB=150) ;;
    crowd_s3)
      script=crowd
      . "$(S3_BYTES=$((13 << 30)) compat-tests/harness/s3.sh start "$work/s3")"
      settings+=(CROWD_MOST_MIB=450 "GAPURA_IMAGES__STORE=s3://$S3_BUCKET/bench" "AWS_ENDPOINT=$S3_ENDPOINT" AWS_ALLOW_HTTP=true)
      ;;
  esac
  environment=$(env "${settings[@]}" compat-tests/harness/cloud.sh start "$work/cloud")
  ( . "$environment"; printf '
### %s

' "$part"; env "${settings[@]}" "$python" "$here/$script.py" "$program" )
  stop
done
