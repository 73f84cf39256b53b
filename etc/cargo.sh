#!/bin/bash
# cargo.sh: prints the cargo to build Gapura with: the first one found that is as new as Cargo.toml asks for.
# Fails without a word when there is none; etc/install.sh then gets one or says how.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
needed=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$here/../Cargo.toml")

# Under sudo the newcomer's own toolchain is not on the path.
home_of_sudoer=$([ -n "${SUDO_USER:-}" ] && getent passwd "$SUDO_USER" | cut -d: -f6 || true)
for candidate in "${CARGO:-}" "$(command -v cargo || true)" "$HOME/.cargo/bin/cargo" \
  "${home_of_sudoer:+$home_of_sudoer/.cargo/bin/cargo}" /usr/bin/cargo; do
  [ -n "$candidate" ] && [ -x "$candidate" ] || continue
  # rustup's cargo belongs to a home; asked from another one it would know no toolchain.
  home=$HOME
  case $candidate in "${home_of_sudoer:-/nonexistent}"/*) home=$home_of_sudoer ;; esac
  version=$(cd "$here/.." && HOME=$home "$candidate" --version 2>/dev/null | awk '{ print $2 }') || continue
  if [ -n "$version" ] && [ "$(printf '%s\n' "$needed" "${version%%-*}" | sort -V | head -n 1)" = "$needed" ]; then
    echo "$candidate"
    exit 0
  fi
done
exit 1
