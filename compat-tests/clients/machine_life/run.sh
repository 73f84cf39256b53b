#!/bin/bash
# run.sh [OPTION…]: what a tenant can do to a machine, on real ones; `run.sh --help` lists the options. CLOUD_… are the
# variables of compat-tests/harness/cloud.sh, IMAGE what etc/guest/build.sh made.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" openstackclient python-openstackclient)
exec "$environment/bin/python" "$here" --clouds "$CLOUD_FILE" --hypervisor "$CLOUD_HYPERVISOR" --image "$IMAGE" "$@"
