//! Who may ask. One place, before every route.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use diag::{Config, endpoints};

use crate::failure::Failure;
use crate::origin;
use crate::token::Token;

/// What a request must show.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// The token.
    Token(Token),
    /// Nothing: inside a host that decides for itself.
    Host,
    /// That it was meant for this machine: a listener on loopback without a token.
    Loopback,
    /// Closed: a token is wanted, but there is none to compare with.
    Closed(String),
}

impl Access {
    /// For a router inside a host.
    pub(crate) fn embedded(config: &Config) -> Self {
        match Token::configured(config) {
            None => Self::Host,
            Some(token) => token.map_or_else(Self::Closed, Self::Token),
        }
    }

    fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        authority: Option<&Authority>,
    ) -> Result<(), Failure> {
        origin::may_fetch(headers)?;
        if !method.is_safe() {
            origin::may_change(headers, authority)?;
        }
        match self {
            Self::Host => Ok(()),
            Self::Closed(why) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("closed: {why}"))),
            Self::Token(token) => match headers.get(header::AUTHORIZATION) {
                Some(shown) if token.is_shown_by(shown) => Ok(()),
                Some(_) => Err(Failure::unauthorized(
                    "the token is not right; it is the content of the file that DIAG_TOKEN_FILE names, or DIAG_TOKEN",
                )),
                None => Err(Failure::unauthorized(
                    "a token is required: `curl -H \"Authorization: Bearer $TOKEN\" ...` or \
                     `go tool pprof http://any:$TOKEN@host:port/debug/pprof/heap`",
                )),
            },
            Self::Loopback => meant_for_this_machine(headers, authority),
        }
    }
}

/// What stands before the routes.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) access: Access,
    /// Nothing may be changed.
    pub(crate) read_only: bool,
}

/// POST though nothing of the host changes: the question is long; a profile is kept in this server's own memory, which is bounded
/// (`kept`), and costs what a GET of the same profile costs.
const HARMLESS_POSTS: &[&str] = &[endpoints::PPROF_SYMBOL, endpoints::API_KEPT];

impl Gate {
    fn check(&self, request: &Request) -> Result<(), Failure> {
        self.access.check(request.method(), request.headers(), request.uri().authority())?;
        let reads = request.method().is_safe() || HARMLESS_POSTS.contains(&request.uri().path());
        if self.read_only && !reads {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                "this server is read-only (DIAG_READ_ONLY, or read_only in its code): it changes nothing in the process; profiles, \
                 baselines and verdicts without sample_bytes can be asked for",
            ));
        }
        Ok(())
    }
}

/// Runs before every route.
pub(crate) async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.check(&request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// A page whose own name was rebound to 127.0.0.1 still sends that name as `Host`.
fn meant_for_this_machine(headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), Failure> {
    let refused = |host: &str| {
        let host: String = host.chars().take(100).collect();
        Failure::new(
            StatusCode::FORBIDDEN,
            format!(
                "the name {host:?} is not answered here without a token; ask for localhost or the IP address, \
                 or set DIAG_TOKEN_FILE"
            ),
        )
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| refused("?"))?),
        (Some(_), Some(_)) => return Err(refused("two names")),
    };
    for name in host.into_iter().chain(authority.map(Authority::as_str)) {
        if !is_local_name(host_of(name)) {
            return Err(refused(without_user(name)));
        }
    }
    Ok(())
}

/// The host without port and without the brackets of IPv6.
fn host_of(authority: &str) -> &str {
    let authority = without_user(authority);
    if let Some((inside, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// Without `user:password@`, which is nobody's business.
fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn is_local_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn names_that_a_rebinding_page_cannot_have() {
        for local in [
            "localhost",
            "LOCALHOST:6060",
            "diag.localhost",
            "127.0.0.1:6060",
            "10.1.2.3",
            "[::1]:6060",
            "localhost.",
        ] {
            assert!(is_local_name(host_of(local)), "{local}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example:6060",
            "127.0.0.1.evil.example",
            "evillocalhost",
            "x@y",
        ] {
            assert!(!is_local_name(host_of(other)), "{other}");
        }
    }

    #[test]
    fn two_host_headers_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(meant_for_this_machine(&headers, None).is_ok());
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(meant_for_this_machine(&headers, None).is_err());
    }
}
