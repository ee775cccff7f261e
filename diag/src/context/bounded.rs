//! Values of labels, bounded.

use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Longest value; the rest is cut and marked.
pub(super) const VALUE_LIMIT: usize = 128;

/// Text of at most [`VALUE_LIMIT`] bytes; longer ones are cut at a character and end in `…`.
pub(super) struct Bounded(String);

impl Bounded {
    pub(super) fn format(text: fmt::Arguments<'_>) -> Arc<str> {
        let mut bounded = Self(String::new());
        // An error is the bound's, or the value's own: what is written stays.
        let _ = bounded.write_fmt(text);
        bounded.0.into()
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = VALUE_LIMIT - self.0.len().min(VALUE_LIMIT);
        if more.len() <= room {
            self.0.push_str(more);
            return Ok(());
        }
        self.0.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
        self.0.truncate(self.0.floor_char_boundary(VALUE_LIMIT - '…'.len_utf8()));
        self.0.push('…');
        Err(fmt::Error)
    }
}
