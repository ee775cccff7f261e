//! One offline page around the picture: caption, search box, legend, notes. Nothing is fetched.
//!
//! The page is well-formed XML as well, so that it can be checked as such.

use std::fmt::Write;

use quick_xml::escape::escape;

use crate::budget::Frame;
use crate::caption::Caption;
use crate::error::Error;
use crate::options::{Direction, Options};
use crate::svg::{self, Place};
use crate::tree::Tree;

const STYLE: &str = include_str!("html.css");
const SCRIPT: &str = include_str!("html.js");

pub(crate) fn render(
    tree: &Tree,
    frames: &[Frame],
    caption: &Caption,
    options: &Options,
) -> Result<String, Error> {
    let picture = svg::render_for(tree, frames, caption, options, Place::Page)?;
    let direction = match options.direction {
        Direction::Icicle => "icicle",
        Direction::Flame => "flame",
    };
    let (mut legend, mut colors) = (String::new(), String::new());
    for (i, swatch) in caption.legend.iter().enumerate() {
        // Hatched fills live in the picture's definitions; the style has the same for `gone`.
        let class = if swatch.fill.starts_with('#') { format!("c{i}") } else { "gone".to_owned() };
        let _ = write!(legend, "<li><i class=\"{class}\"></i>{}</li>", escape(&swatch.text));
        if swatch.fill.starts_with('#') {
            let _ = writeln!(colors, ".legend .{class} {{ background:{}; }}", swatch.fill);
        }
    }
    let body = format!(
        "<p class=\"sub\">{}</p>\n\
         <form id=\"find\"><input id=\"term\" type=\"search\" placeholder=\"Search functions (regular expression)\" \
         aria-label=\"Search functions\" autocomplete=\"off\" spellcheck=\"false\"/>\
         <button type=\"button\" id=\"whole\">Reset zoom</button><output id=\"found\"></output></form>\n\
         <ul class=\"legend\">{legend}</ul>\n\
         <div id=\"picture\" class=\"{direction}\">{picture}</div>\n\
         <p id=\"info\" aria-live=\"polite\">Point at a frame for its values; click to zoom.</p>\n\
         <ul class=\"notes\"><li>{}</li>{}</ul>\n\
         <script{}>//<![CDATA[{SCRIPT}//]]></script>",
        escape(&caption.subtitle),
        escape(&caption.width),
        notes(caption),
        nonce(options),
    );
    Ok(page(caption, options, &colors, &body))
}

/// The page when there is nothing to draw.
pub(crate) fn message(caption: &Caption, options: &Options) -> String {
    let body = format!("<p>{}</p>\n<ul class=\"notes\">{}</ul>", escape(caption.empty), notes(caption));
    page(caption, options, "", &body)
}

fn page(caption: &Caption, options: &Options, colors: &str, body: &str) -> String {
    let (title, nonce) = (escape(&caption.title), nonce(options));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style{nonce}>{STYLE}{colors}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
}

fn nonce(options: &Options) -> String {
    options.nonce().map(|n| format!(" nonce=\"{n}\"")).unwrap_or_default()
}

fn notes(caption: &Caption) -> String {
    caption.notes.iter().map(|n| format!("<li>{}</li>", escape(n.as_str()))).collect()
}
