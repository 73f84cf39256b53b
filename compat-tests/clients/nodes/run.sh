#!/bin/bash
# run.sh [OPTION…]: a cloud of two hosts with a libvirtd and a network each, walked through with the newest `openstack`
# client. PROGRAM is the binary, IMAGE what etc/guest/build.sh made. Needs root and libvirtd.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" osc-placement python-openstackclient osc-placement)
exec "$environment/bin/python" "$here" --program "$PROGRAM" --image "$IMAGE" "$@"
