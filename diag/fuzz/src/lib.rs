//! What the targets share: how bytes become profiles and files, and what every text for people must be.

pub mod bytes;
#[cfg(feature = "cli")]
pub mod command;
pub mod profiles;
pub mod scratch;
pub mod sections;

/// Panics when a text is not one line that a terminal shows as it is.
pub fn one_clear_line(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "not one clear line: {text:?}");
}

/// Panics when a text for a terminal holds what controls one.
pub fn printable(text: &str) {
    let control = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(control), "it controls the terminal: {text:?}");
}
