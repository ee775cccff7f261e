//! Names that the host, a file or a service chose, as part of a line of ours.

/// The text without what would control the terminal or begin a line that looks like one of ours.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_name_stays_in_its_line() {
        assert_eq!(printable("a\n# total 3\x1b[31m\u{9b}é"), "a?# total 3?[31m?é");
    }
}
