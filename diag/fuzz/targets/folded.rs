//! Folded stacks: whatever parses must be written, and parse again to the same total.
#![no_main]

use diag::profile::folded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(profile) = folded::parse(bytes) {
        let written = folded::write(&profile, 0);
        if let Ok(again) = folded::parse(written.as_bytes()) {
            assert_eq!(again.total(0), profile.total(0));
        }
    }
});
