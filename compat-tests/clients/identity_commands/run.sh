#!/bin/bash
# run.sh [CHAPTER…]: every identity command of the newest openstack client, in the cloud of CLOUD_FILE as its
# administrator; ends with `N passed, N failed`. Chapters are the modules of this folder.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" openstackclient python-openstackclient)
while read -r name; do unset "$name"; done < <(compgen -e OS_)
exec "$environment/bin/python" -W ignore "$here" "${CLOUD_FILE:?the clouds.yaml of the cloud}" "$@"
