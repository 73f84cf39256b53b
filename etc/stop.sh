#!/bin/bash
# stop.sh (`make stop`): ends what `make run` leaves running on purpose: the libvirtd it started, with its machines, and
# the cloud's bridges. Disks and rows stay; `make run` finds them again.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
. "$here/settings.sh"
if [ ! -e "$GAPURA_STATE_DIR/hypervisor" ] || [ "$(cat "$GAPURA_STATE_DIR/hypervisor")" = simulated ]; then exit 0; fi
if [ "$(id -u)" != 0 ]; then exec sudo --preserve-env=GAPURA_STATE_DIR "$0"; fi
"$checkout/compat-tests/harness/libvirtd.sh" stop "$GAPURA_STATE_DIR/libvirtd"
"$checkout/compat-tests/harness/sweep.sh" "$GAPURA_STATE_DIR"
