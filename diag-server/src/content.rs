//! Content types, and answers with the headers that go with them.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const JSON: &str = "application/json";
pub(crate) const SVG: &str = "image/svg+xml";
/// Alloy refuses profiles of any other type.
pub(crate) const PROFILE: &str = "application/octet-stream";
/// The content type of metrics. Prometheus 3 refuses a scrape without a version it knows.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An answer of this type that is neither cached, sniffed nor embedded elsewhere.
pub(crate) fn answer(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = body.into().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(content_type, HTML | SVG) {
        // Scripts and styles are in the document itself; it may load nothing and talk to nobody.
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    response
}

/// Something to be saved to a file.
pub(crate) fn attachment(file_name: &str, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = answer(content_type, body);
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{file_name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A profile as a download: gzipped protobuf.
pub(crate) fn profile(file_name: &'static str, bytes: Vec<u8>) -> Response {
    attachment(file_name, PROFILE, bytes)
}
