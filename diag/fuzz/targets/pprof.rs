//! pprof, gzipped or not: whatever decodes must encode, decode again to the same, and survive the operations.
#![no_main]

use diag::profile::pprof::{self, DecodeLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits { decompressed_bytes: 16 << 20 };
    if let Ok(profile) = pprof::decode_within(bytes, &limits) {
        let first = pprof::encode(&profile);
        let again = pprof::decode(&first).expect("what was encoded decodes");
        assert_eq!(pprof::encode(&again), first, "encoding is stable");
        let _ = diag::profile::merge(&[&profile, &again]);
        let _ = diag::profile::folded::write(&profile, 0);
    }
});
