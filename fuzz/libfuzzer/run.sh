#!/usr/bin/env bash
# Explores one target with libFuzzer: run.sh TARGET SECONDS. Needs g++ and `cargo install cargo-fuzz`; with a stable compiler
# too. What it finds new stays in target/fuzz/TARGET; `run.sh TARGET merge` keeps of it what reaches other code.
set -euo pipefail
cd "$(dirname "$0")"
target=$1 seconds=${2:-60}
export ZIPNET_FUZZ_TARGET=$target RUSTC_BOOTSTRAP=1
kept=$PWD/../corpus/$target found=$PWD/../../target/fuzz/$target
mkdir -p "$kept" "$found"
export ZIPNET_FUZZ_SEEDS=$found
fuzz() { cargo fuzz "$1" --fuzz-dir . --sanitizer none ${ZIPNET_FUZZ_FEATURES:+--features "$ZIPNET_FUZZ_FEATURES"} any "${@:2}"; }
if [ "$seconds" = merge ]; then
  fuzz run "$kept" "$found" -- -merge=1 -max_len=65536
else
  fuzz run "$found" "$kept" -- -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048
fi
