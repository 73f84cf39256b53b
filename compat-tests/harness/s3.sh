#!/bin/bash
# A private S3 server for tests: Ceph's radosgw with the one monitor and the one OSD it needs, all from Debian.
#
#   s3.sh start DIR          starts what doesn't run yet, and prints the file to source: S3_ENDPOINT, S3_BUCKET, AWS_… keys
#   s3.sh kill DIR           SIGKILL for radosgw alone, as a crash; `start` brings it back with its objects
#   s3.sh uploads DIR        prints the keys of unfinished multipart uploads in the bucket, one a line
#   s3.sh objects DIR        prints the keys of the objects in the bucket, one a line
#   s3.sh remove DIR KEY     deletes an object behind its owner's back
#   s3.sh stop DIR           ends all of it and removes what it made
#
# The same bucket is had as one of Google's, through `google_front.py`: GOOGLE_… in the file to source.
#
# Radosgw, because it is the S3 that OpenStack's clouds run, with its own ideas of multipart uploads, quotas and errors;
# emulators agree with their authors' reading. It needs neither root nor /etc/ceph: every path and port is in DIR's own
# ceph.conf. The OSD keeps its objects in memory and the manager, which serves only statistics, is left out.
set -euo pipefail
fail() { echo "s3.sh: $*" >&2; exit 1; }
[ $# = 2 ] || [ "$*" = "remove ${2:-} ${3:-}" ] || { sed -n '4,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for tool in ceph ceph-mon ceph-osd radosgw radosgw-admin openssl; do
  command -v "$tool" > /dev/null || fail "$tool is missing: etc/install.sh test installs it"
done
mkdir -p "$2"
dir=$(readlink -f "$2")
here=$(dirname "$(readlink -f "$0")")
export CEPH_CONF=$dir/ceph.conf LC_ALL=C.UTF-8
unset CEPH_ARGS
bucket=images

# alive NAME: the process id of a daemon, if it is alive and truly ours: an id may have been used again.
alive() {
  local pid
  pid=$(cat "$dir/$1.pid" 2> /dev/null) && [ -n "$pid" ] || return 1
  tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "$dir/" && echo "$pid"
}
# launch NAME COMMAND…: in the foreground of a session of its own, so that its process id is known.
launch() {
  local name=$1
  shift
  setsid "$@" -f -c "$dir/ceph.conf" < /dev/null >> "$dir/$name.out" 2>&1 9>&- &
  echo $! > "$dir/$name.pid"
}
# until_true SECONDS COMMAND…
until_true() {
  local tries=$(($1 * 10))
  shift
  for _ in $(seq "$tries"); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done
  return 1
}
give_up() {
  tail -n 5 "$dir"/*.out >&2 || true
  stop
  fail "$*"
}

configure() {
  local ports
  mapfile -t ports < <(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(one.getsockname()[1] for one in held), sep="\n")')
  rm -rf "$dir"/{mon,osd,rgw}
  mkdir -p "$dir"/{mon,osd,rgw,run}
  cat > "$dir/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v2:127.0.0.1:${ports[0]}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
keyring = $dir/keyring
run dir = $dir/run
admin socket = $dir/run/\$name.\$pid.asok
pid file =
log file =
log to stderr = false
mon cluster log file = /dev/null
mon data = $dir/mon
osd data = $dir/osd
rgw data = $dir/rgw
mon allow pool size one = true
mon data avail crit = 1
mon initial members = a
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = ${S3_BYTES:-2147483648}
mon max pg per osd = 1000
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:${ports[1]}
rgw thread pool size = ${S3_THREADS:-64}
rgw enable usage log = false
rgw gc obj min wait = 1
rgw gc processor period = 5
rgw gc processor max time = 5
CONF
  ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' > /dev/null
  for name in client.admin osd.0 client.rgw.a; do
    ceph-authtool "$dir/keyring" --gen-key -n "$name" --cap mon 'allow *' --cap osd 'allow *' > /dev/null
  done
  monmaptool --create --addv a "[v2:127.0.0.1:${ports[0]}]" --fsid "$(sed -n 's/^fsid = //p' "$dir/ceph.conf")" --clobber "$dir/monmap" > /dev/null
  ceph-mon --mkfs -i a -c "$dir/ceph.conf" --monmap "$dir/monmap" --keyring "$dir/keyring" >> "$dir/mon.out" 2>&1
  cat > "$dir/environment" <<ENVIRONMENT
export S3_ENDPOINT='http://127.0.0.1:${ports[1]}' S3_BUCKET='$bucket'
export AWS_ACCESS_KEY_ID='gapura-test' AWS_SECRET_ACCESS_KEY='not-a-secret'
export GOOGLE_BASE_URL='http://127.0.0.1:${ports[2]}' GOOGLE_SERVICE_ACCOUNT='$dir/google.json'
ENVIRONMENT
  # A service account as its owner gets it, with a key of today.
  openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 | python3 -c '
import json, sys
print(json.dumps({"type": "service_account", "private_key_id": "today", "client_email": "gapura@test.invalid", "private_key": sys.stdin.read()}))' > "$dir/google.json"
}

ask() { timeout 20 ceph -c "$dir/ceph.conf" --connect-timeout 10 "$@"; }
answers() { curl -sS -o /dev/null --max-time 2 "$(. "$dir/environment"; echo "$S3_ENDPOINT/")"; }
# request METHOD PATH [QUERY]: one call of S3, signed the old way, which is short enough to write here.
request() {
  ( . "$dir/environment"
    python3 - "$@" <<'PYTHON'
import base64, email.utils, hashlib, hmac, os, sys, urllib.request
method, path, query = sys.argv[1], "/" + sys.argv[2], "".join(f"?{query}" for query in sys.argv[3:])
date = email.utils.formatdate(usegmt=True)
text = f"{method}\n\n\n{date}\n{path}{query}"
digest = hmac.new(os.environ["AWS_SECRET_ACCESS_KEY"].encode(), text.encode(), hashlib.sha1).digest()
headers = {"Date": date, "Authorization": f"AWS {os.environ['AWS_ACCESS_KEY_ID']}:{base64.b64encode(digest).decode()}"}
asked = urllib.request.Request(os.environ["S3_ENDPOINT"] + path + query, method=method, headers=headers)
print(urllib.request.urlopen(asked, timeout=30).read().decode())
PYTHON
  )
}
# keys: those in a listing.
keys() { grep -o '<Key>[^<]*' | sed 's/<Key>//' || true; }

start() {
  local uuid
  exec 9> "$dir/lock"
  flock 9
  if ! alive mon > /dev/null || ! alive osd > /dev/null; then
    stop
    mkdir -p "$dir"
    configure
    launch mon ceph-mon -i a
    until_true 20 ask status || give_up "the monitor did not answer"
    uuid=$(cat /proc/sys/kernel/random/uuid)
    ask osd new "$uuid" > /dev/null
    ceph-osd -i 0 -c "$dir/ceph.conf" --mkfs --osd-uuid "$uuid" --keyring "$dir/keyring" >> "$dir/osd.out" 2>&1 || give_up "the OSD could not be made"
    launch osd ceph-osd -i 0
    until_true 30 bash -c "timeout 20 ceph -c '$dir/ceph.conf' osd stat | grep -q '1 up'" || give_up "the OSD did not come up"
  fi
  if ! alive rgw > /dev/null; then
    launch rgw radosgw -n client.rgw.a
    until_true 60 answers || give_up "radosgw did not answer"
    if [ ! -e "$dir/made" ]; then
      ( . "$dir/environment"
        radosgw-admin -c "$dir/ceph.conf" -n client.rgw.a user create --uid=gapura --display-name=gapura --access-key="$AWS_ACCESS_KEY_ID" --secret-key="$AWS_SECRET_ACCESS_KEY" ) > /dev/null 2>> "$dir/rgw.out" || give_up "the user could not be made"
      request PUT "$bucket" > /dev/null || give_up "the bucket could not be made"
      touch "$dir/made"
    fi
  fi
  if ! alive google > /dev/null; then
    ( . "$dir/environment"
      setsid python3 "$here/google_front.py" "$dir/google.json" "${GOOGLE_BASE_URL##*:}" < /dev/null >> "$dir/google.out" 2>&1 9>&- &
      echo $! > "$dir/google.pid" )
    until_true 10 opens || give_up "the front for Google did not answer"
  fi
  echo "$dir/environment"
}
opens() { (. "$dir/environment"; exec 3<> "/dev/tcp/127.0.0.1/${GOOGLE_BASE_URL##*:}"); }

crash() {
  local pid
  pid=$(alive rgw) || fail "no radosgw runs in $dir"
  kill -KILL "$pid"
  until_true 10 not_alive rgw
  rm -f "$dir/rgw.pid"
}
not_alive() { ! alive "$1" > /dev/null; }

stop() {
  local name pid
  # None of it has anything to save.
  for name in google rgw osd mon; do
    if pid=$(alive "$name"); then kill -KILL "$pid"; until_true 10 not_alive "$name"; fi
  done
  rm -rf "$dir"/{mon,osd,rgw,run,monmap,keyring,ceph.conf,environment,made,google.json} "$dir"/*.{pid,out}
  if [ "${1:-}" = all ]; then rm -f "$dir/lock"; rmdir "$dir" 2> /dev/null || true; fi
}

case $1 in
  start) start ;;
  kill) crash ;;
  uploads) request GET "$bucket" uploads | keys ;;
  objects) request GET "$bucket" | keys ;;
  remove) request DELETE "$bucket/$3" > /dev/null ;;
  stop) stop all ;;
  *) fail "start, kill, uploads, objects, remove or stop, not '$1'" ;;
esac
