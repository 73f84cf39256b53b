#!/bin/bash
# venv.sh NAME PACKAGE…: prints the folder of a Python environment that holds the packages, making it if need be.
#
# Environments are kept in ${GAPURA_CACHE:-~/.cache/gapura} and shared by every checkout: the clients are large, and a
# test run should not pay for them twice. A package without a version means the newest; it is looked for again after a
# week, and what is there goes on serving when no registry answers.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 NAME PACKAGE…" >&2; exit 2; }
name=$1
shift
python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
key=$(printf '%s\n' "$version" "$@" | sha256sum | cut -c1-8)
folder=${GAPURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gapura}/venv/$name-$key
mkdir -p "$(dirname "$folder")"
exec 9> "$folder.lock"
flock 9

# The mark is written last: an environment whose making was cut off is made again.
done_mark=$folder/.complete
if [ ! -e "$done_mark" ]; then
  echo "clients: making the environment $name ($*)" >&2
  rm -rf "$folder"
  "$python" -m venv "$folder" || { echo "clients: $python has no venv module; etc/install.sh test installs it" >&2; exit 1; }
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
  touch "$done_mark"
elif [ -n "$(find "$done_mark" -mtime +7)" ] && [[ " $* " != *==* ]]; then
  echo "clients: looking for newer versions of $*" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check --upgrade "$@" >&2 || echo "clients: keeping the versions of $name" >&2
  touch "$done_mark"
fi
echo "$folder"
