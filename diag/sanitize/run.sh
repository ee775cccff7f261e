#!/usr/bin/env bash
# Runs the tests of what is unsafe and concurrent under tools that look at every access. Needs a nightly toolchain with rust-src, and for Miri
# its component; nothing of the product does.
#
#   run.sh [TOOL...]      miri, address (with leaks) and thread; all without an argument
#
# Covered: the lock, regions of mapped memory, the live table, sites, the handler's ring, chunks and their pool, places of wakers, signals that
# are counted; with address and thread also the bounds of stacks.
# Not covered: the walk of a live stack (it reads words that others own, by design, and begins with registers), the CPU sampler's signals, jemalloc
# and its hooks, locks of other crates. `diag/tests` runs those as they are; `diag/loom` has the protocols in every order.
#
# Miri's are the same tests with smaller loops (`cfg!(miri)`) and strict provenance, in SEEDS (default 1) orders of threads, some two minutes
# each on a busy machine. The ring, of 4 MiB, is too slow there and left to the others and to `diag/loom`. Miri knows mmap in its plainest
# form only: regions are reserved without the flags that save memory. Thread builds the standard library anew: one without instrumentation
# gives false alarms in its reference counts. Address and thread take seconds after their builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tools=("$@")
[ ${#tools[@]} -gt 0 ] || tools=(miri address thread)
host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-$PWD/../../target/sanitize}
for tool in "${tools[@]}"; do
    export CARGO_TARGET_DIR=$out/$tool
    echo "=== $tool"
    case $tool in
        miri)
            # Addresses of signal handlers and of the stack are no pointers to Miri.
            MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-many-seeds=0..${SEEDS:-1}" \
                cargo +nightly miri test --locked --lib -- --skip sys::signal --skip sys::stack_bounds --skip sys::cpu::ring
            ;;
        address) RUSTFLAGS="-Zsanitizer=address" cargo +nightly test --locked --lib --target "$host" ;;
        thread)
            RUSTFLAGS="-Zsanitizer=thread" cargo +nightly test --locked --lib --target "$host" -Zbuild-std
            ;;
        *) echo "no such tool: $tool" >&2 && exit 2 ;;
    esac
done
