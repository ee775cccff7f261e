//! Folded stacks: whatever parses must be written, and come back the same from what was written.
#![no_main]

use diag::profile::{detect, folded};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(detect::read(bytes));
    let Ok(profile) = folded::parse(bytes) else { return };
    let text = folded::write(&profile, 0);
    // Zeros are not written.
    if !text.is_empty() {
        let again = folded::parse(text.as_bytes()).expect("what was written parses");
        assert_eq!(folded::write(&again, 0), text);
    }
});
