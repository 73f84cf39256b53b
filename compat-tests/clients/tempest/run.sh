#!/bin/bash
# run.sh [--list|--left-out] LIST…|REGEX: Tempest 47 and the plugins of Keystone and Glance against the cloud of CLOUD_FILE,
# with two workers; ends with `N passed, N failed`.
#
# A LIST is a file of include/ without its ending: what must pass. left_out/ holds, under the same name, what it does not
# run and why; a list may also be in left_out/ alone, like `simulated`, which takes from the others what simulated machines
# can't do. --left-out turns that about and runs only what is left out, to see what may now be taken in; --list runs
# nothing. A regular expression may pass or not.
#
# TEMPEST_WEB_PORT is a port of this machine that the cloud may fetch images from; it is served here meanwhile. With
# TEMPEST_ACCOUNTS the tests take turns with accounts that are made beforehand, and are told of the network service (see
# accounts.py). TEMPEST_SHARED_DISKS says that all hosts keep disks in one folder.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
: "${CLOUD_FILE:?the clouds.yaml of the cloud}"
environment=$("$here/environment.sh")
mode=run
case ${1:-} in --list|--left-out) mode=${1#--}; shift ;; esac
lists=$(cd "$here" && ls include left_out | sed -n 's/\.txt$//p' | sort -u | xargs)
[ $# -ge 1 ] || { echo "usage: $0 [--list|--left-out] LIST…|REGEX; lists: $lists" >&2; exit 2; }
while read -r name; do unset "$name"; done < <(compgen -e OS_)

work=$(mktemp -d /tmp/gapura-tempest.XXXXXX)
workspace=$work/workspace
# It keeps a list of workspaces in the home and refuses a name it knows: this one's is its own.
"$environment/bin/tempest" init --workspace-path "$work/workspaces.yaml" --name gapura "$workspace" > "$work/init.log" 2>&1 ||
  { tail "$work/init.log" >&2; exit 1; }
"$environment/bin/python" -W ignore "$here/configure.py" "$CLOUD_FILE" "${OS_CLOUD_NAME:-gapura}" "$workspace"
if [ -n "${TEMPEST_WEB_PORT:-}" ] && [ "$mode" != list ]; then
  python3 -m http.server --bind 127.0.0.1 --directory "$workspace/web" "$TEMPEST_WEB_PORT" > "$work/web.log" 2>&1 &
  trap 'kill '$! EXIT
fi

if [[ " $lists " == *" $1 "* ]]; then
  : > "$work/include" > "$work/left-out"
  for list in "$@"; do
    [[ " $lists " == *" $list "* ]] || { echo "$0: there is no list $list; there are: $lists" >&2; exit 2; }
    if [ -e "$here/include/$list.txt" ]; then cat "$here/include/$list.txt" >> "$work/include"; fi
    if [ -e "$here/left_out/$list.txt" ]; then cat "$here/left_out/$list.txt" >> "$work/left-out"; fi
  done
  if [ "$mode" = left-out ]; then
    selection=(--include-list "$work/left-out")
  else
    selection=(--include-list "$work/include" --exclude-list "$work/left-out")
  fi
else
  selection=(--regex "$1")
fi
cd "$workspace"
if [ "$mode" = list ]; then exec "$environment/bin/tempest" run --list-tests "${selection[@]}"; fi
status=0
"$environment/bin/tempest" run "${selection[@]}" --concurrency "${WORKERS:-2}" > "$work/output" 2>&1 || status=$?
grep -E ' (FAILED|SKIPPED)|^setUpClass' "$work/output" | sort | uniq | head -n "${SHOWN:-200}" || true
sed -n '/^Captured traceback:/,/^$/p' "$work/output" | grep -E '^ +(tempest|testtools|jsonschema|AssertionError|[A-Za-z.]*(Error|Exception|Mismatch))' | sort | uniq -c | sort -rn | head -n 30 || true
count() { sed -n "s/^ - $1: \([0-9]*\)$/\1/p" "$work/output" | tail -n 1; }
echo "$(count Skipped) skipped; details in $work/output"
failed=$(count Failed)
if [ "$status" != 0 ] && [ "${failed:-0}" = 0 ]; then tail -n 20 "$work/output"; failed=1; fi
echo "$(count Passed) passed, ${failed:-1} failed"
if [ "$status" = 0 ]; then rm -rf "$work"; fi
exit "$status"
