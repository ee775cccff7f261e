#!/usr/bin/env bash
# Fuzzes what reads untrusted input, each target for SECONDS (default 20).
#
#   run.sh [SECONDS] [TARGET...]     those of the library, or these
#
# Targets of the library: pprof heap_v2 folded operations settings proc elf names. Of the server: http. Of the command: cli_words
# cli_files cli_live. The last two groups build much more, and are asked for by name.
#
# Inputs begin with seeds/TARGET (kept in the repository) and go on from target/fuzz/corpus-TARGET, which stays from run to run;
# FUZZ_MERGE=1 adds what is new in it, up to 4 KiB a file, to the seeds. FUZZ_SEED (default 1) is that of the mutations: runs of one seed and
# corpus try the same, so long runs take another. Needs a C++ compiler, and no nightly:
# coverage comes from an LLVM pass that stable rustc can run. A crash ends with an error and leaves its input below target/fuzz/;
# make it a named unit test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-20}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(pprof heap_v2 folded operations settings proc elf names)
host=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/../../target/fuzz
mkdir -p "$out"
features=()
bins=()
for target in "${targets[@]}"; do
    bins+=(--bin "$target")
    case $target in
        http) features+=(--features server) ;;
        cli_*) features+=(--features cli) ;;
    esac
done
# With --target the flags reach our code and not the build scripts. diag_fuzz shows the targets what is not public.
export RUSTFLAGS="--cfg diag_fuzz -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export CARGO_TARGET_DIR=${FUZZ_BUILD_DIR:-$out/build}
cargo build --locked --release --quiet --target "$host" ${features[@]+"${features[@]}"} "${bins[@]}"
# Names that a command looks up are kept here and not in the home directory.
export XDG_CACHE_HOME=$out/cache
# Gzip hides the format behind a checksum, so the unpacked files are seeds too.
mkdir -p "$out/corpus-pprof"
for packed in ../tests/golden/*.gz; do
    gunzip -c "$packed" >"$out/corpus-pprof/$(basename "$packed" .gz)"
done
# What went wrong last, where a log that is cut short still shows it: the panic, and the input where it is small.
failed() {
    tail -40 "$out/$1.log"
    for input in "$out/crash-$1-"*; do
        [ -f "$input" ] || continue
        [ "$(stat -c %s "$input")" -gt 4096 ] || { echo "$(basename "$input"), gzip and base64:" && gzip -9c "$input" | base64 -w0 && echo; }
    done
    echo "fuzz $1 failed:"
    grep -E -A1 "panicked at|ERROR: |SUMMARY: |Test unit written" "$out/$1.log" | cut -c1-400 || true
    exit 1
}
for target in "${targets[@]}"; do
    corpus=$out/corpus-$target
    program=$CARGO_TARGET_DIR/$host/release/$target
    mkdir -p "$corpus"
    seeds=("$corpus")
    [ -d "seeds/$target" ] && seeds+=("seeds/$target")
    case $target in pprof | heap_v2 | folded) seeds+=(../tests/golden) ;; esac
    args=(-timeout=25 -rss_limit_mb=2048 -max_len=65536 "-seed=${FUZZ_SEED:-1}" "-artifact_prefix=$out/crash-$target-" -print_final_stats=1)
    [ -f "dictionaries/$target" ] && args+=("-dict=dictionaries/$target")
    echo "fuzz $target for $seconds s"
    "$program" "${seeds[@]}" -max_total_time="$seconds" "${args[@]}" 2>"$out/$target.log" || failed "$target"
    grep -E 'stat::number_of_executed_units|Done' "$out/$target.log"
    if [ "${FUZZ_MERGE:-0}" = 1 ]; then
        mkdir -p "seeds/$target"
        "$program" -merge=1 -max_len=4096 -timeout=25 -rss_limit_mb=2048 "seeds/$target" "$corpus" 2>>"$out/$target.log"
    fi
done
