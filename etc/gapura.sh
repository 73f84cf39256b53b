#!/bin/bash
# gapura.sh COMMAND…: runs the program with the settings, the state and the hypervisor of `make run`: gapura.sh doctor.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
. "$here/say.sh"
. "$here/settings.sh"
[ -e "$GAPURA_STATE_DIR/hypervisor" ] || fail "there is no cloud in $GAPURA_STATE_DIR yet: 'make run' makes it"
GAPURA_HYPERVISOR=$(cat "$GAPURA_STATE_DIR/hypervisor")
# Networks, machines and keys are root's.
if [ "$(id -u)" != 0 ] && [ "$GAPURA_HYPERVISOR" != simulated ]; then
  exec sudo --preserve-env="$(compgen -e GAPURA_ | paste -sd ,)" "${gapura[@]}" "$@"
fi
exec "${gapura[@]}" "$@"
