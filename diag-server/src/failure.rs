//! Errors as clients can show them: `go tool pprof` prints the text of an answer that is not 200, is text/plain and
//! has `X-Go-Pprof`.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::content;

pub(crate) const GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");

/// Of a text that is told; the longest of ours has some 300.
const MOST_CHARS: usize = 600;

/// A refusal: what is wrong and what to do, in text.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
    retry_after_s: Option<u32>,
    authenticate: bool,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), retry_after_s: None, authenticate: false }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Too much is asked at once.
    pub(crate) fn busy(text: impl Into<String>, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    pub(crate) fn unauthorized(text: impl Into<String>) -> Self {
        Self { authenticate: true, ..Self::new(StatusCode::UNAUTHORIZED, text) }
    }
}

/// Texts quote what was asked for: one line all the same, without what controls a terminal, and not without end.
fn line(text: &str) -> String {
    let mut line: String =
        text.chars().take(MOST_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        line.push('…');
    }
    line
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut text = line(&self.text);
        text.push('\n');
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content::TEXT));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(GO_PPROF, HeaderValue::from_static("1"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.authenticate {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"diag\""));
        }
        response
    }
}
