//! Text from files and services: names need not be UTF-8.

use std::borrow::Cow;

/// The loss that counts repaired strings.
pub(crate) const NON_UTF8: &str = "non_utf8_strings";

/// The text, with U+FFFD in place of what is not UTF-8, and one more in `repaired` if there was any.
pub(crate) fn repair<'a>(bytes: &'a [u8], repaired: &mut u64) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(bytes);
    *repaired += u64::from(matches!(text, Cow::Owned(_)));
    text
}
