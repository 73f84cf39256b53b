#!/bin/bash
# run.sh: holds our answers against a pip-installed Nova's own response schemas, at every microversion we announce;
# ends with `N passed, N failed`. CLOUD_FILE is the clouds.yaml of a running cloud (the simulator will do).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
: "${CLOUD_FILE:?the clouds.yaml of the cloud}"
environment=$("$here/../venv.sh" nova-oracle nova==34.0.0 requests PyYAML)
exec "$environment/bin/python" -W ignore "$here/compute.py" "$CLOUD_FILE" "$@"
