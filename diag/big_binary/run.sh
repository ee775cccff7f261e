#!/usr/bin/env bash
# Builds a program with much debug information, in all layouts, and measures what naming its addresses costs: in the program,
# with diag-cli, and with what else there is. Needs binutils with zstd; Go's pprof where there is one.
#
#   diag/big_binary/run.sh [FOLDER]      by default below the target folder
#
# The builds take some 15 minutes of one processor and 4 GB. Exit code 1: a limit does not hold.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}
export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0
out=${1:-$target/big_binary}
mkdir -p "$out"

cargo build --locked --profile big
cp "$target/big/big-binary" "$out/whole"
# The dependencies' functions stay in .dwo files below the target folder, where the program looks for them.
cargo build --locked --profile split --package big-binary
cp "$target/split/big-binary" "$out/split"
# rustc packs what the program refers to. Only the program's own crate is built again.
cargo rustc --locked --profile split --package big-binary -- -C split-debuginfo=packed
cp "$target/split/big-binary" "$out/packed"
cp "$target/split/big-binary.dwp" "$out/packed.dwp"
(cd ../.. && cargo build --locked --release --package diag-cli)

"$target/big/measure" "$target/release/diag-cli" "$out/layouts" "$out/whole" "$out/split" "$target/split/deps" "$out/packed"
