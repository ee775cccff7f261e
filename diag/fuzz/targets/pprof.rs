//! pprof, gzipped or not: whatever decodes must encode, decode again to the same, and survive the operations and the
//! writers of the other formats.
#![no_main]

use diag::profile::pprof::{self, DecodeLimits};
use diag::profile::{firefox, folded, merge, speedscope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits { decompressed_bytes: 16 << 20, ..DecodeLimits::default() };
    let Ok(profile) = pprof::decode_within(bytes, &limits) else { return };
    let first = pprof::encode(&profile);
    let again = pprof::decode(&first).expect("what was encoded decodes");
    // More than 32 locations at one address become equal (profile/pprof/address.rs).
    if again.location_count() == pprof::decode(&pprof::encode(&again)).expect("again").location_count() {
        assert_eq!(pprof::encode(&again), first, "encoding is stable");
    }
    let _ = merge(&[&profile, &again]);
    let _ =
        (folded::write(&profile, 0), speedscope::write(&profile, "fuzz"), firefox::write(&profile, "fuzz"));
});
