#!/bin/bash
# sweep.sh STATE_DIR [ID]: removes from this host the networks of a stopped cloud that keeps its rows in STATE_DIR, or whose
# id is given because it keeps them elsewhere. They outlive the process on purpose, as machines do; after a test nobody
# comes back for them. What carries another cloud's id is not looked at.
set -uo pipefail
[ $# = 1 ] || [ $# = 2 ] || { echo "usage: $0 STATE_DIR [ID]" >&2; exit 2; }
[ "$(id -u)" = 0 ] || exit 0
PATH=$PATH:/usr/sbin:/sbin
cloud=${2:-}
[ -n "$cloud" ] || [ -e "$1/gapura.db" ] || exit 0
[ -n "$cloud" ] || cloud=$(python3 -c '
import sqlite3, sys
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT id FROM cloud").fetchone()[0])
' "$1/gapura.db" 2> /dev/null) || exit 0
[ -n "$cloud" ] || exit 0
for network in $(ip link | sed -n "s/.*alias gapura:$cloud:\([0-9a-f-]*\).*/\1/p" | sort -u); do
  short=$(tr -d - <<< "$network" | cut -c1-11)
  for link in "gbr$short" "gin$short" "gup$short"; do ip link delete "$link" 2> /dev/null; done
  ip netns delete "gapura-$short" 2> /dev/null
done
nft delete table inet "gapura-$cloud" 2> /dev/null
exit 0
