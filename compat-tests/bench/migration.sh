#!/bin/bash
# migration.sh [ROUNDS]: moves a real guest between two libvirtds, ten times by us and ten times by plain `virsh migrate` with the
# same flags, with shared disks and with disks that are copied. The last line holds the ratios; fails when they are missed.
# Needs root, libvirtd and an idle machine. PROFILE=debug spares the release build.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
[ "$(id -u)" = 0 ] || { echo "$0: two hosts need root" >&2; exit 2; }
cargo=${CARGO:-$(etc/cargo.sh)}
image=$PWD/target/gapura-test.qcow2
[ -e "$image" ] || etc/guest/build.sh "$image" >&2
release=--release
[ "${PROFILE:-release}" = release ] || release=
said=$(mktemp)
trap 'rm -f "$said"' EXIT
status=0
"$cargo" test --quiet --locked $release --test compat --no-run
echo "$(date -u '+%F'), commit $(git rev-parse --short HEAD), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg) at the start"
GAPURA_MIGRATION_ROUNDS=${1:-10} GAPURA_TEST_TWO_HOSTS=yes GAPURA_TEST_GUEST=$image RUST_BACKTRACE=0 \
  "$cargo" test --quiet --locked $release --test compat live_migration_bench -- --nocapture >"$said" 2>&1 || status=$?
if ! grep -q '^shared disks: total' "$said"; then cat "$said"; exit 1; fi
grep -E '^(shared disks|disks copied): ours|^  (in all|still):|^missed|panicked' "$said" || true
grep '^shared disks: total' "$said"
exit $status
