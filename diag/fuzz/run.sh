#!/usr/bin/env bash
# Fuzzes each parser for SECONDS (default 20), from the golden files as seeds. Needs a C++ compiler, and no nightly:
# coverage comes from an LLVM pass that stable rustc can run. A crash ends with an error and leaves its input below
# target/fuzz/; make it a named unit test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-20}
host=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/../../target/fuzz
mkdir -p "$out"
# With --target the flags reach our code and not the build scripts.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export CARGO_TARGET_DIR=$out/build
cargo build --locked --release --quiet --target "$host"
# Gzip hides the format behind a checksum, so the unpacked files are seeds too.
mkdir -p "$out/corpus-pprof"
for packed in ../tests/golden/*.gz; do
    gunzip -c "$packed" >"$out/corpus-pprof/$(basename "$packed" .gz)"
done
for target in pprof heap_v2 folded; do
    corpus=$out/corpus-$target
    mkdir -p "$corpus"
    seeds=("$corpus")
    [ -d ../tests/golden ] && seeds+=(../tests/golden)
    echo "fuzz $target for $seconds s"
    "$CARGO_TARGET_DIR/$host/release/$target" "${seeds[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=65536 -seed=1 -artifact_prefix="$out/crash-$target-" -print_final_stats=1 2>"$out/$target.log" ||
        { tail -40 "$out/$target.log"; exit 1; }
    grep -E 'stat::number_of_executed_units|Done' "$out/$target.log"
done
