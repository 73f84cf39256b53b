#!/bin/bash
# run.sh [drive|instances|operators|identity|images]: Horizon 27 in front of the cloud of CLOUD_URL and CLOUD_FILE, driven as a browser would: a
# member's pages and images as `gapura-demo`, the panels of Compute and Identity and metadata definitions as `gapura`; all unless one is named.
# The cloud must take calls from its pages: allowed_origins = ["http://127.0.0.1:$HORIZON_PORT"].
# It listens on loopback and is gone afterwards; its static files are made once and kept.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
environment=$("$here/../venv.sh" horizon horizon==27.0.0 gunicorn whitenoise)
: "${CLOUD_URL:?the address of the cloud}" "${CLOUD_FILE:?its clouds.yaml}"
folder=$environment/horizon
site=$(echo "$environment"/lib/python3*/site-packages)
mkdir -p "$folder/static"
export HORIZON_FOLDER=$folder HORIZON_SECRET DJANGO_SETTINGS_MODULE=openstack_dashboard.settings PYTHONPATH=$here PYTHONWARNINGS=ignore
HORIZON_SECRET=$(head -c 24 /dev/urandom | base64)
cp "$here/local_settings.py" "$site/openstack_dashboard/local/local_settings.py"
if [ ! -e "$folder/.complete" ]; then
  echo "horizon: collecting its static files; the first time takes half a minute" >&2
  "$environment/bin/django-admin" collectstatic --noinput > "$folder/collect.log" 2>&1 || { tail "$folder/collect.log" >&2; exit 1; }
  "$environment/bin/django-admin" compress --force > "$folder/compress.log" 2>&1 || { tail "$folder/compress.log" >&2; exit 1; }
  touch "$folder/.complete"
fi

port=${HORIZON_PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
: > "$folder/horizon.log"
OPENSTACK_KEYSTONE_URL=$CLOUD_URL/identity/v3 "$environment/bin/gunicorn" --bind "127.0.0.1:$port" --threads 4 --timeout 120 \
  horizon_wsgi:application > "$folder/gunicorn.log" 2>&1 &
dashboard=$!
trap 'kill "$dashboard" 2>/dev/null; wait "$dashboard" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
  (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
  kill -0 "$dashboard" 2> /dev/null || { tail "$folder/gunicorn.log" >&2; exit 1; }
  sleep 0.1
done
status=0
member=${OS_CLOUD_NAME:-gapura-demo} admin=${OS_ADMIN_CLOUD_NAME:-gapura}
for journey in ${1:-drive instances operators identity images}; do
  case $journey in drive|instances) clouds=("$member") ;; operators|identity) clouds=("$admin") ;; *) clouds=("$member" "$admin") ;; esac
  "$environment/bin/python" "$here/$journey.py" "http://127.0.0.1:$port" "$CLOUD_FILE" "${clouds[@]}" || status=$?
done
if [ "$status" != 0 ]; then echo "--- horizon.log"; grep -v '^$' "$folder/horizon.log" | tail -n 40; fi
exit $status
