//! The browser UI: files that are part of the program. The page asks for them, and for its data, by relative addresses only, so
//! that it works behind any path prefix; the policy lets it talk to nobody else, and run nothing but these files.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::content::{self, SVG};
use crate::failure::Failure;

/// No inline script, no inline style, no markup from texts (trusted types), nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("ui/index.html");

/// Name, type and content of each file.
macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("ui/", $name)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = files![
    "api.js" JS,
    "app.js" JS,
    "chart.js" JS,
    "dom.js" JS,
    "flame-canvas.js" JS,
    "flame-model.js" JS,
    "flame-view.js" JS,
    "flame.css" CSS,
    "icon.svg" SVG,
    "page-captures.js" JS,
    "page-cpu.js" JS,
    "page-heap.js" JS,
    "page-leaks.js" JS,
    "page-memory.js" JS,
    "page-overview.js" JS,
    "page-status.js" JS,
    "page-tasks.js" JS,
    "parts.css" CSS,
    "profile.js" JS,
    "route.js" JS,
    "style.css" CSS,
    "units.js" JS,
];

/// `/debug/diag/`
pub(crate) async fn page() -> Response {
    with_policy(content::answer(content::HTML, PAGE))
}

/// What the page is made of.
pub(crate) async fn file(Path(name): Path<String>) -> Result<Response, Failure> {
    FILES
        .iter()
        .find(|(known, _, _)| *known == name)
        .map(|(_, kind, text)| with_policy(content::answer(kind, *text)))
        .ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "the page has no such file; open /debug/diag/"))
}

fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
