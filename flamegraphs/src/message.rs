//! A picture that says why there is nothing to draw.

use quick_xml::escape::escape;

use crate::caption::Caption;
use crate::options::Options;

/// A small SVG with the title, the reason and the notes.
pub(crate) fn svg(caption: &Caption, options: &Options) -> String {
    let nonce = options.nonce().map(|n| format!(" nonce=\"{n}\"")).unwrap_or_default();
    let mut lines = vec![format!("<text id=\"title\" x=\"20\" y=\"34\">{}</text>", escape(&caption.title))];
    let mut y = 64;
    for text in std::iter::once(caption.empty).chain(caption.notes.iter().map(String::as_str)) {
        lines.push(format!("<text x=\"20\" y=\"{y}\">{}</text>", escape(text)));
        y += 22;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"1200\" height=\"{y}\" viewBox=\"0 0 1200 {y}\">\
         <title>{}</title><style{nonce}>text {{ font-family:system-ui, sans-serif; font-size:14px; }} \
         #title {{ font-size:17px; }} #page {{ fill:#fff; }} @media (prefers-color-scheme: dark) {{ \
         #page {{ fill:#17181c; }} text {{ fill:#e4e4e7; }} }}</style>\
         <rect id=\"page\" width=\"100%\" height=\"100%\"/>{}</svg>\n",
        escape(&caption.title),
        lines.concat()
    )
}
