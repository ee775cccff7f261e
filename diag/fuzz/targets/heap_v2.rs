//! jemalloc's dumps: whatever parses must encode as pprof.
#![no_main]

use diag::profile::{heap_v2, pprof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(profile) = heap_v2::parse(bytes) {
        pprof::decode(&pprof::encode(&profile)).expect("what was encoded decodes");
    }
});
