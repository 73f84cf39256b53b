#!/bin/bash
# A private PostgreSQL for tests, kept in one folder and listening on loopback and a socket in that folder.
#
#   postgres.sh start DIR   makes the cluster if need be, starts it if need be, and prints its URL
#   postgres.sh stop DIR    stops it and removes what start made
#
# Use:  TEST_POSTGRES_URL=$(compat-tests/harness/postgres.sh start /tmp/gapura-pg) cargo test
#
# It sorts text as English does, not by bytes, so that a query that relies on the server's own order is found out. It does
# not sync its files: its data isn't worth a disk's time.
set -euo pipefail

fail() { echo "postgres.sh: $*" >&2; exit 1; }

[ $# = 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)

bin=$(dirname "$(readlink -f "$(command -v pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl 2>/dev/null | sort -V | tail -1)")")
[ -x "$bin/initdb" ] || fail "no PostgreSQL server here (initdb, pg_ctl)"

# The server refuses to run as root.
as_owner() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    owner=postgres
    id -u "$owner" >/dev/null 2>&1 || owner=nobody
    as_owner() { setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups env -C / HOME=/ "$@"; }
fi

is_running() { [ -f "$dir/data/postmaster.pid" ] && as_owner "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; }
is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() {
    exec 9>"$dir/lock"
    flock 9
    if is_running && [ -s "$dir/url" ]; then
        cat "$dir/url"
        return
    fi
    if [ ! -s "$dir/data/PG_VERSION" ]; then
        rm -rf "$dir/data"
        mkdir -p "$dir/data"
        [ "$(id -u)" != 0 ] || chown "$owner" "$dir" "$dir/data"
        as_owner "$bin/initdb" -D "$dir/data" -U gapura -A trust -E UTF8 --locale=C.UTF-8 \
            --locale-provider=icu --icu-locale=en-US --no-sync >"$dir/log" 2>&1 9>&- \
            || { tail -5 "$dir/log" >&2; fail "the cluster could not be made in $dir"; }
    fi
    [ ${#dir} -lt 80 ] || fail "the path is too long for a socket: $dir"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 12000))
        ! is_taken "$port" || continue
        if as_owner "$bin/pg_ctl" -D "$dir/data" -w -t 30 -l "$dir/data/server.log" start -o "-p $port \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories='$dir' -c fsync=off -c synchronous_commit=off \
            -c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB -c jit=off" >>"$dir/log" 2>&1 9>&-
        then
            # There already, when the cluster was stopped by other hands and starts again.
            "$bin/psql" -qX "postgres://gapura@127.0.0.1:$port/postgres" -c 'CREATE DATABASE gapura' >>"$dir/log" 2>&1 \
                || grep -q 'already exists' "$dir/log" || fail "the database could not be made: $dir/log"
            echo "postgres://gapura@127.0.0.1:$port/gapura" >"$dir/url"
            cat "$dir/url"
            return
        fi
    done
    tail -5 "$dir/log" "$dir/data/server.log" >&2 || true
    fail "the server did not start"
}

stop() {
    if is_running; then
        as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
    fi
    rm -rf "$dir/data" "$dir/url" "$dir/log" "$dir/lock"
    rmdir "$dir" 2>/dev/null || true
}

case $command in
    start) start ;;
    stop) stop ;;
    *) fail "start or stop, not '$command'" ;;
esac
