//! Pages of links, and the way to the right slash.

use std::fmt::Write as _;

use axum::response::{IntoResponse as _, Redirect, Response};

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
                     dt{font-weight:600;margin-top:.8rem}dd{margin:0}code{font-size:.95em}\
                     @media(prefers-color-scheme:dark){body{background:#16181d;color:#e6e6e6}a{color:#8ab4f8}}";

/// The same path with its final slash.
pub(crate) async fn moved(with_slash: &'static str) -> Response {
    // Relative, so that it holds behind a path prefix.
    let last = with_slash.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    Redirect::permanent(&format!("{last}/")).into_response()
}

/// The way from one path of this server to another, as a link of the page at `from` has it; `from` ends in a slash.
pub(crate) fn relative(from: &str, to: &str) -> String {
    let common = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b).count();
    // Up to the last folder that both are in.
    let folder = from.get(..common).and_then(|both| both.rfind('/')).map_or(0, |slash| slash + 1);
    let up = from.get(folder..).unwrap_or_default().matches('/').count();
    let down = to.get(folder..).unwrap_or_default();
    if up == 0 && down.is_empty() { "./".to_owned() } else { "../".repeat(up) + down }
}

/// A page around a body.
pub(crate) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n",
        title = escape(title),
    )
}

/// Links with what is behind them. The texts are this program's own; paths and names are escaped all the same.
pub(crate) fn list<'a>(html: &mut String, links: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) {
    html.push_str("<dl>\n");
    for (path, name, about) in links {
        let _ = writeln!(
            html,
            "<dt><a href=\"{}\">{}</a></dt><dd>{}</dd>",
            escape(path),
            escape(name),
            escape(about)
        );
    }
    html.push_str("</dl>\n");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_from_one_path_to_another() {
        for (from, to, link) in [
            ("/debug/pprof/", "/debug/pprof/heap", "heap"),
            ("/debug/pprof/", "/debug/pprof/", "./"),
            ("/debug/pprof/", "/debug/diag/", "../diag/"),
            ("/debug/pprof/", "/debug/diag/api/v1/view", "../diag/api/v1/view"),
            ("/debug/pprof/", "/debug/pprofile", "../pprofile"),
            ("/debug/pprof/", "/metrics", "../../metrics"),
        ] {
            assert_eq!(relative(from, to), link, "{from} {to}");
        }
    }
}
