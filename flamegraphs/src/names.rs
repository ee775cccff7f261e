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

/// A name without generic arguments, and of its path the last two segments, closures not counted:
/// `<alloc::vec::Vec<T> as FromIterator<T>>::from_iter` is `Vec::from_iter`.
pub(crate) fn short(name: &str) -> String {
    let name = name.trim();
    if !name.contains("::") || name.starts_with('(') {
        return name.to_owned();
    }
    let mut plain = String::with_capacity(name.len());
    without_generics(name, &mut plain);
    // C++ names end in parameters, which are paths too.
    if plain.ends_with(')')
        && let Some(at) = plain.find('(').filter(|&at| at > 0)
    {
        plain.truncate(at);
    }
    let mut kept = 0;
    let mut start = 0;
    for (at, _) in plain.rmatch_indices("::") {
        let segment = plain.get(at + 2..).and_then(|s| s.split("::").next()).unwrap_or_default();
        kept += usize::from(!segment.starts_with('{') && !segment.is_empty());
        if kept == 2 {
            start = at + 2;
            break;
        }
    }
    let short = plain.get(start..).unwrap_or_default();
    if short.is_empty() { name.to_owned() } else { short.to_owned() }
}

/// Copies `name` without what stands in `<...>`, except for the type in a leading `<T as Trait>`. The `>` of `->`
/// closes nothing. Unbalanced names lose their end at worst.
fn without_generics(name: &str, plain: &mut String) {
    let mut rest = name;
    // `<<T as A>::B as C>::f`: the innermost self type is what names it.
    let leading = rest.len() - rest.trim_start_matches('<').len();
    rest = rest.get(leading..).unwrap_or_default();
    // How many brackets are open: leading ones of which the self type has been taken, and those of arguments.
    let (mut leading_open, mut depth, mut before) = (leading, 0usize, ' ');
    let mut in_trait = false;
    for (at, c) in rest.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before == '-' => {
                if depth == 0 && !in_trait {
                    plain.push(c);
                }
            }
            '>' if depth > 0 => depth -= 1,
            '>' if leading_open > 0 => {
                leading_open -= 1;
                in_trait = false;
            }
            _ if depth > 0 || in_trait => {}
            ' ' if leading_open > 0 && rest.get(at..).is_some_and(|r| r.starts_with(" as ")) => {
                in_trait = true
            }
            c => plain.push(c),
        }
        before = c;
    }
    while let Some(at) = plain.find("::::") {
        plain.replace_range(at..at + 2, "");
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
    fn short_names_say_type_and_function() {
        for (name, text) in [
            ("orders::cache::Cache<K,V>::insert", "Cache::insert"),
            ("<alloc::vec::Vec<T> as core::iter::FromIterator<T>>::from_iter", "Vec::from_iter"),
            ("<&mut W as core::fmt::Write>::write_str", "&mut W::write_str"),
            ("<<a::B as c::D>::E as f::G>::h", "E::h"),
            ("orders::http::serve::{{closure}}", "http::serve::{{closure}}"),
            ("core::ops::function::FnOnce::call_once{{vtable.shim}}", "FnOnce::call_once{{vtable.shim}}"),
            ("alloc::boxed::Box<dyn Fn() -> u8>::new", "Box::new"),
            ("a::b::<impl x::Y for z::W<T>>::go", "b::go"),
            ("ns::Parser<int>::run(std::string const&, ns::Mode)", "Parser::run"),
            ("(anonymous namespace)::f(int)", "(anonymous namespace)::f(int)"),
            ("main", "main"),
            ("<", "<"),
            ("::", "::"),
            ("a::", "a::"),
            ("operator->::x", "operator->::x"),
        ] {
            assert_eq!(short(name), text, "{name}");
        }
    }

    #[test]
    fn paths_lose_their_beginning() {
        assert_eq!(short_path("/home/u/p/src/cache.rs"), "p/src/cache.rs");
        assert_eq!(short_path("src/cache.rs"), "src/cache.rs");
        assert_eq!(short_path("C:\\p\\q\\src\\a.rs"), "q\\src\\a.rs");
    }
}
