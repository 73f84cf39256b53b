#!/bin/bash
# run.sh [CHAPTER…]: every compute command of the newest openstack client, and those of limits, quotas and zones, in the cloud
# of CLOUD_FILE as its administrator; ends with `N passed, N failed`. Chapters are the modules of this folder.
#
# The cloud must run servers that need no time to boot (GAPURA_HYPERVISOR=simulated), keep deleted ones for a while
# ([compute] reclaim_instance_interval), and hold the image gapura-test and the network private.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" openstackclient python-openstackclient)
while read -r name; do unset "$name"; done < <(compgen -e OS_)
exec "$environment/bin/python" -W ignore "$here" "${CLOUD_FILE:?the clouds.yaml of the cloud}" "$@"
