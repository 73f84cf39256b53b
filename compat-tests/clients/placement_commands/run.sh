#!/bin/bash
# run.sh [CHAPTER…]: every placement command of the `openstack` client (osc-placement) in the cloud of CLOUD_FILE, as its
# administrator; ends with `N passed, N failed`. Chapters are the modules of this folder.
#
# The cloud must run servers that need no time to boot, on two hosts (GAPURA_HYPERVISOR=simulated, GAPURA_SIMULATED__HOSTS=2),
# and hold the image gapura-test and the network private.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" osc-placement python-openstackclient osc-placement)
while read -r name; do unset "$name"; done < <(compgen -e OS_)
exec "$environment/bin/python" -W ignore "$here" "${CLOUD_FILE:?the clouds.yaml of the cloud}" "$@"
