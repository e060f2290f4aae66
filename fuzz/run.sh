#!/bin/sh
# run.sh [TARGET] [SECONDS]   fuzzes a target (several between commas, or all) for CPU seconds
# run.sh keep [TARGET]        reduces what was gathered and packs it into corpora/
# FUZZ_WORK says where the gathered inputs lie, CARGO_TARGET_DIR where the program is built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshledger
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/fuzz}"
export FUZZ_WORK="${FUZZ_WORK:-$cache/fuzz-work}"
export FUZZ_PROGRAM="$CARGO_TARGET_DIR/release/meshledger-fuzz"
mkdir -p "$FUZZ_WORK"
if [ "${FUZZ_BUILD:-yes}" = yes ]; then
    (cd "$here" && RUSTC_WRAPPER="$here/rustc.sh" cargo build --release --locked)
fi
if [ "${1:-}" = keep ]; then
    exec nice -n 19 python3 "$here/fuzz.py" keep "${2:-all}" 0
fi
exec nice -n 19 python3 "$here/fuzz.py" run "${1:-all}" "${2:-600}"
