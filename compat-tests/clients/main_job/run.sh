#!/bin/bash
# run.sh [OPTION…]: the main job with the newest openstack client; `run.sh --help` lists the options.
# Without options it goes to the cloud that `make run` started.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(readlink -f "$here/../../..")
environment=$("$here/../venv.sh" openstackclient python-openstackclient)
state=${GAPURA_STATE_DIR:-$checkout/var}
if [ $# = 0 ]; then
  [ -r "$state/clouds.yaml" ] || { echo "no cloud: $state/clouds.yaml is missing; 'make run' makes it, in another terminal" >&2; exit 1; }
  set -- --clouds "$state/clouds.yaml" --state-dir "$state" --image "${GAPURA_INIT__IMAGE:-$checkout/target/gapura-test.qcow2}" \
    --hypervisor "$(cat "$state/hypervisor" 2>/dev/null || echo simulated)"
fi
exec "$environment/bin/python" "$here" "$@"
