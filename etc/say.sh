# shellcheck shell=bash
# Sourced by the scripts beside it: how they report.
#
# `step "building" COMMAND…` runs the command with its output in a log file, prints one line when it starts and one
# with the seconds when it took more than one, and shows the end of the log when it fails.

say() { echo "gapura: $*" >&2; }
fail() { echo "gapura: $*" >&2; exit 1; }

step() {
  local what=$1 log began status=0
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/gapura-step.XXXXXX")
  began=$(date +%s)
  say "$what …"
  "$@" > "$log" 2>&1 < /dev/null || status=$?
  if [ "$status" != 0 ]; then
    tail -n 30 "$log" >&2
    say "$what FAILED after $(($(date +%s) - began)) s; the whole log is $log"
    return "$status"
  fi
  rm -f "$log"
  [ $(($(date +%s) - began)) -le 1 ] || say "$what took $(($(date +%s) - began)) s"
}
