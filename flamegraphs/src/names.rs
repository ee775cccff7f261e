//! Untrusted names made fit to be shown: no control characters, no tricks with the writing direction, bounded length.
//! Escaping for XML is not done here but where XML is written.

use std::fmt::Write;

/// Longer names are cut in the middle, so that crate and function stay visible.
pub(crate) const MAX_NAME_BYTES: usize = 1024;

/// The name as it is shown.
pub(crate) fn shown(name: &str) -> String {
    let name = name.trim();
    if name.is_empty() {
        return "(unnamed)".to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if is_deceptive(c) => {
                let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    cut_middle(text)
}

/// Control characters, which XML 1.0 forbids; characters that turn the writing direction or cannot be seen, which let
/// a name pass for another; and the non-characters that XML forbids.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

fn cut_middle(text: String) -> String {
    if text.len() <= MAX_NAME_BYTES {
        return text;
    }
    let half = MAX_NAME_BYTES / 2 - 16;
    let (mut head, mut tail) = (half, text.len() - half);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    match (text.get(..head), text.get(tail..)) {
        (Some(a), Some(b)) => format!("{a}...[{} bytes]...{b}", tail - head),
        _ => text,
    }
}

/// The last three parts of a path: enough to find the file, without the builder's home directory.
pub(crate) fn short_path(path: &str) -> String {
    let mut start = 0;
    if let Some((at, _)) = path.rmatch_indices(['/', '\\']).nth(2) {
        start = at + 1;
    }
    shown(path.get(start..).unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["<T as Trait>::f", "a::b::{{closure}}", "größe::日本", "foo 12", "[u8; 8]::x"] {
            assert_eq!(shown(name), name);
        }
    }

    #[test]
    fn deceptive_characters_are_spelt_out() {
        assert_eq!(shown("a\u{202e}b\0c\nd\u{7f}"), "a\\u{202e}b\\u{0}c\\nd\\u{7f}");
        assert_eq!(shown(" \t"), "(unnamed)");
    }

    #[test]
    fn long_names_keep_both_ends() {
        let name = format!("my_crate::{}::leaf", "é".repeat(5_000));
        let text = shown(&name);
        assert!(text.len() <= MAX_NAME_BYTES);
        assert!(text.starts_with("my_crate::") && text.ends_with("::leaf") && text.contains("bytes]"));
    }

    #[test]
    fn paths_lose_their_beginning() {
        assert_eq!(short_path("/home/u/p/src/cache.rs"), "p/src/cache.rs");
        assert_eq!(short_path("src/cache.rs"), "src/cache.rs");
        assert_eq!(short_path("C:\\p\\q\\src\\a.rs"), "q\\src\\a.rs");
    }
}
