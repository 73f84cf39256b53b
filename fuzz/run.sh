#!/bin/bash
# run.sh [SECONDS [TARGET…]]: fuzzes each target for so long (default 20 s) and prints how often it ran.
#
# Works with the stable compiler: instrumentation needs only the flags RUSTC_BOOTSTRAP allows, and the sanitizer's
# runtime comes with the toolchain. Findings are kept in artifacts/, what was learned in corpus/.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
shift || true
export RUSTC_BOOTSTRAP=1

command -v cargo-fuzz >/dev/null || RUSTC_BOOTSTRAP=0 cargo install --locked cargo-fuzz --version '^0.12'

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)

# All at once: one by one they would wait for each other's linking.
if [ $# = 0 ]; then cargo fuzz build --fuzz-dir . --sanitizer "${SANITIZER:-none}" 2>&1 | grep -E '^(error|warning: unused)' || true; fi
failed=0
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target"
    [ "$target" != image_inspector ] || python3 seeds.py "corpus/$target"
    [ ! -d "seeds/$target" ] || cp -n "seeds/$target"/* "corpus/$target/"
    cargo fuzz build --fuzz-dir . --sanitizer "${SANITIZER:-none}" "$target" 2>&1 | grep -E '^(error|warning: unused)' || true
    log=$(mktemp)
    if cargo fuzz run --fuzz-dir . --sanitizer "${SANITIZER:-none}" "$target" -- \
        -max_total_time="$seconds" -max_len="${MAX_LEN:-400000}" -print_final_stats=1 -verbosity=0 >"$log" 2>&1; then
        echo "$target: $(awk '/number_of_executed_units/ {print $2}' "$log") executions in $seconds s, none failed"
    else
        tail -40 "$log"
        echo "$target: FAILED; see fuzz/artifacts/$target"
        failed=1
    fi
    rm -f "$log"
done
exit $failed
