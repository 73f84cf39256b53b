# shellcheck shell=bash
# Sourced by the scripts beside it: how they report.
#
# `step "building" COMMAND…` runs the command with its output in a log file, prints one line when it starts and one
# with the seconds when it took more than one, and shows the end of the log when it fails.
#
# Ctrl-C lets the step end and starts no further one, for what a package manager does is better not done by half; pressed
# twice, it no longer waits for it.

say() { echo "gapura: $*" >&2; }
fail() { echo "gapura: $*" >&2; exit 1; }

step() {
  local what=$1 log began child status=0 leaving=""
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/gapura-step.XXXXXX")
  began=$(date +%s)
  say "$what …"
  # In the background, where Ctrl-C does not reach it. Under sudo it would not anyway, and bash would go on after it.
  "$@" > "$log" 2>&1 < /dev/null &
  child=$!
  trap 'if [ -n "$leaving" ]; then exit 130; fi; leaving=yes; echo >&2; say "leaving once this is through: $what"' INT
  while wait "$child" && status=0 || status=$?; [ -n "$leaving" ] && kill -0 "$child" 2> /dev/null; do :; done
  trap - INT
  [ -z "$leaving" ] || exit 130
  if [ "$status" != 0 ]; then
    tail -n 30 "$log" >&2
    say "$what FAILED after $(($(date +%s) - began)) s; the whole log is $log"
    return "$status"
  fi
  rm -f "$log"
  [ $(($(date +%s) - began)) -le 1 ] || say "$what took $(($(date +%s) - began)) s"
}
