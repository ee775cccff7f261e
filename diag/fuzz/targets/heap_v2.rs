//! Heap dumps in text: whatever parses must encode as pprof with the same totals, and addresses lie in their mapping.
#![no_main]

use diag::profile::{heap_v2, pprof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = heap_v2::parse(bytes) else { return };
    let again = pprof::decode(&pprof::encode(&profile)).expect("what was encoded decodes");
    for i in 0..profile.sample_types().len() {
        assert_eq!(again.total(i), profile.total(i));
    }
    for location in profile.location_ids().map(|id| profile.location(id)) {
        if let Some(mapping) = location.mapping.map(|m| profile.mapping(m)) {
            assert!((mapping.start..mapping.limit).contains(&location.address));
        }
    }
});
