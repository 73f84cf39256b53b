#!/bin/bash
# run.sh [CHAPTER…]: every image command of the newest openstack client, in the cloud of CLOUD_FILE as its administrator;
# ends with `N passed, N failed`. Chapters are the modules of this folder.
#
# For the chapter `imports` the cloud must have two stores called file (the default one) and other, and import by
# glance-direct, copy-image and web-download, the last one from loopback too. A Glance so set up passes
# as well, but for that last thing: Glance 33 fetches from no address that is not public, whatever its settings.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" openstackclient python-openstackclient)
while read -r name; do unset "$name"; done < <(compgen -e OS_)
exec "$environment/bin/python" -W ignore "$here" "${CLOUD_FILE:?the clouds.yaml of the cloud}" "$@"
