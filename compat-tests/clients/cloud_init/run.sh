#!/bin/bash
# run.sh: cloud-init, from Debian's package, reads the config drive of a server of the cloud of CLOUD_FILE, whose state is
# in CLOUD_STATE. The package is unpacked into the cache: nothing is installed and no service made.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
: "${CLOUD_FILE:?the clouds.yaml of the cloud}" "${CLOUD_STATE:?the state directory of the cloud}"
cache=${GAPURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gapura}/cloud-init
command -v isoinfo > /dev/null || { echo "SKIPPED: isoinfo is missing (package genisoimage), so no config drive can be read"; exit 77; }
if [ ! -e "$cache/.complete" ]; then
  rm -rf "$cache"
  mkdir -p "$cache"
  ( cd "$cache" && apt-get download cloud-init > download.log 2>&1 ) || { cat "$cache/download.log" >&2; exit 1; }
  dpkg-deb -x "$cache"/cloud-init_*.deb "$cache/package"
  touch "$cache/.complete"
fi
environment=$("$here/../venv.sh" cloud-init openstacksdk configobj jinja2 jsonpatch jsonschema oauthlib requests pyserial PyYAML)
while read -r name; do unset "$name"; done < <(compgen -e OS_)
export OS_CLIENT_CONFIG_FILE=$CLOUD_FILE OS_CLOUD=${OS_CLOUD_NAME:-gapura-demo} PYTHONWARNINGS=ignore PATH=$PATH:/usr/sbin:/sbin
exec "$environment/bin/python" "$here/drive.py" "$cache/package" "$CLOUD_STATE"
