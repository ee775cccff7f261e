//! Names that come from elsewhere, made harmless for a terminal.

/// Longer names are cut.
const MOST_CHARS: usize = 400;

/// `text` with a `·` for each character that a terminal would obey, or that hides or turns what is around it: controls, escapes, line
/// breaks, marks of writing direction, zero-width and private characters.
pub(super) fn clean(text: &str) -> String {
    let mut out: String =
        text.chars().take(MOST_CHARS).map(|c| if is_harmless(c) { c } else { '·' }).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        out.push('…');
    }
    out
}

fn is_harmless(c: char) -> bool {
    let hides = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}');
    !c.is_control() && !hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(clean("a::b<\u{1b}[2J\r\n\t\u{7}>"), "a::b<·[2J····>");
        assert_eq!(clean("\u{202e}evil\u{200b}\u{9b}31m"), "·evil··31m");
        assert_eq!(clean("<é as 漢字>::f"), "<é as 漢字>::f");
        let long = clean(&"x".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (401, true));
    }
}
