//! Markup that cannot be broken by what stands in it: tags are constants of this program, everything else is escaped.
//!
//! Text from files (function names, services, labels, paths) goes in through [`Markup::text`] and [`Markup::attr`] only,
//! which escape for XML and show control characters and those that turn the writing direction as `\u{202e}`.

use std::fmt::Write;

/// Longer names are cut in the middle, so that crate and function stay visible.
const MOST_CHARS: usize = 600;

/// A piece of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Markup(String);

impl Markup {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Tags, which this program writes.
    pub(super) fn raw(&mut self, tags: &'static str) -> &mut Self {
        self.0.push_str(tags);
        self
    }

    /// Text of whatever origin.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        escape(&shown(text), &mut self.0);
        self
    }

    /// ` name="value"`, inside a tag that is open.
    pub(super) fn attr(&mut self, name: &'static str, value: &str) -> &mut Self {
        let _ = write!(self.0, " {name}=\"");
        escape(&shown(value), &mut self.0);
        self.0.push('"');
        self
    }

    /// A coordinate, as an attribute.
    pub(super) fn at(&mut self, name: &'static str, value: f64) -> &mut Self {
        let value = if value.is_finite() { value } else { 0.0 };
        let _ = write!(self.0, " {name}=\"{value:.1}\"");
        self
    }

    /// The points of a line, as an attribute.
    pub(super) fn points(&mut self, points: &[(f64, f64)]) -> &mut Self {
        self.0.push_str(" points=\"");
        for (n, (x, y)) in points.iter().enumerate() {
            let _ = write!(self.0, "{}{x:.1},{y:.1}", if n > 0 { " " } else { "" });
        }
        self.0.push('"');
        self
    }

    /// A whole document as the value of an attribute; nothing is shortened.
    pub(super) fn document(&mut self, name: &'static str, document: &str) -> &mut Self {
        let _ = write!(self.0, " {name}='");
        for c in document.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '\'' => self.0.push_str("&#39;"),
                // A reader of XML would make it a blank, and so one comment of a whole script.
                '\n' => self.0.push_str("&#10;"),
                c => self.0.push(c),
            }
        }
        self.0.push('\'');
        self
    }

    /// Another piece.
    pub(super) fn push(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// An element with a text.
    pub(super) fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// The markup as text.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Without control characters, tricks with the writing direction, or names of a megabyte.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4 * MOST_CHARS));
    let length = text.chars().count();
    let cut = length > MOST_CHARS;
    let half = MOST_CHARS / 2;
    for (at, c) in text.chars().enumerate() {
        if cut && at == half {
            let _ = write!(out, " … ({} characters) … ", length - 2 * half);
        }
        if cut && at >= half && at < length - half {
            continue;
        }
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_deceptive(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Control characters, which XML forbids; characters that cannot be seen or turn the writing direction; non-characters.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut page = Markup::new();
        page.raw("<p")
            .attr("title", "\"><script>")
            .raw(">")
            .text("<b>&amp;</b>\u{202e}\u{1b}[31m\n'")
            .raw("</p>");
        assert_eq!(
            page.into_string(),
            "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;&amp;amp;&lt;/b&gt;\\u{202e}\\u{1b}[31m &#39;</p>"
        );
    }

    #[test]
    fn a_document_is_one_attribute() {
        let mut page = Markup::new();
        page.document("srcdoc", "<p id=\"x\">it's\n&lt;</p>");
        assert_eq!(page.into_string(), " srcdoc='&lt;p id=\"x\">it&#39;s&#10;&amp;lt;&lt;/p>'");
    }

    #[test]
    fn long_names_keep_both_ends() {
        let text = shown(&format!("start{}end", "x".repeat(10_000)));
        assert!(text.starts_with("startx") && text.ends_with("xend"));
        assert!(text.contains("(9408 characters)") && text.chars().count() < 700, "{}", text.chars().count());
    }
}
