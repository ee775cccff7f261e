//! One offline page around the picture: caption, search box, legend, notes. Nothing is fetched.

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
    let legend: String = caption.legend.iter().map(|s| legend_entry(&s.fill, s.text)).collect();
    let direction = match options.direction {
        Direction::Icicle => "icicle",
        Direction::Flame => "flame",
    };
    let body = format!(
        "<p class=\"sub\">{}</p>\n\
         <form id=\"find\"><input id=\"term\" type=\"search\" placeholder=\"Search functions (regular expression)\" \
         aria-label=\"Search functions\" autocomplete=\"off\" spellcheck=\"false\"/>\
         <button type=\"button\" id=\"whole\">Reset zoom</button><output id=\"found\"></output></form>\n\
         <ul class=\"legend\">{legend}</ul>\n\
         <div id=\"picture\" class=\"{direction}\">{picture}</div>\n\
         <p id=\"info\" aria-live=\"polite\">Point at a frame for its values; click to zoom.</p>\n\
         <ul class=\"notes\">{}</ul>\n\
         <script>//<![CDATA[{SCRIPT}//]]></script>",
        escape(&caption.subtitle),
        notes(caption),
    );
    Ok(page(caption, &body))
}

/// The page when there is nothing to draw.
pub(crate) fn message(caption: &Caption) -> String {
    let body = format!("<p>{}</p>\n<ul class=\"notes\">{}</ul>", escape(caption.empty), notes(caption));
    page(caption, &body)
}

fn page(caption: &Caption, body: &str) -> String {
    let title = escape(&caption.title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
}

fn notes(caption: &Caption) -> String {
    caption.notes.iter().map(|n| format!("<li>{}</li>", escape(n.as_str()))).collect()
}

/// A colour with its meaning. Hatched fills live in the picture's definitions, so CSS repeats them.
fn legend_entry(fill: &str, text: &str) -> String {
    let class = if fill.starts_with('#') { "" } else { " class=\"gone\"" };
    let style = if fill.starts_with('#') { format!(" style=\"background:{fill}\"") } else { String::new() };
    format!("<li><i{class}{style}></i>{text}</li>")
}
