#!/usr/bin/env bash
# Runs the same workloads under this toolkit and its peers, and writes diag/peers/RESULTS.md: some 20 minutes on two cores after the build.
#
#   diag/peers/run.sh            the whole table
#   diag/peers/run.sh --short    two minutes, to peers' target folder: whether everything works
#
# Other flags are the driver's (src/bin/peers/main.rs). heaptrack and perf take part where they are installed (Debian: heaptrack,
# linux-perf). CARGO_TARGET_DIR is respected. BUILD_ONLY=1 builds and stops.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=${CARGO_TARGET_DIR:-$PWD/../../target}/peers
mkdir -p "$out"

# Three builds, for two of the peers want flags that the others must not be measured with. With --target the flags do not reach build
# scripts and macros, which all three share.
host=$(rustc -vV | sed -n 's/^host: //p')
build() {
    local name=$1 flags=$2 programs=$3 program
    shift 3
    # shellcheck disable=SC2086 -- one --bin for each
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$out/build cargo build --locked --release --quiet --target "$host" "$@" \
        $(printf -- '--bin %s ' $programs)
    mkdir -p "$out/$name"
    # shellcheck disable=SC2086
    for program in $programs; do cp "$out/build/$host/release/$program" "$out/$name/"; done
}
build plain "" "with_jemalloc with_diag with_dhat with_system peers"
build console "--cfg tokio_unstable" with_jemalloc --no-default-features --features console
build dial9 "--cfg tokio_unstable -Cforce-frame-pointers=yes" "with_jemalloc with_dial9" --no-default-features --features dial9
[ -z "${BUILD_ONLY:-}" ] || exit 0

results=$PWD/RESULTS.md
for argument in "$@"; do
    [ "$argument" != --short ] || results=$out/short.md
done
"$out/plain/peers" --console "$out/console" --dial9 "$out/dial9" --out "$results" "$@"
