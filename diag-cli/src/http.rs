//! Fetching from a live target: bounded in time, in redirects and in size, and every failure a sentence.
//!
//! One connection a request: captures are seconds apart, and a kept connection that the server has closed in between
//! would look like a failure. Proxies of the environment are used, except for this machine's own addresses.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Timeout};

use crate::error::{Error, Result, one_line};
use crate::target::Endpoint;

/// Largest body that is read. A profile of a million stacks has some 100 MB.
const MAX_BODY_BYTES: u64 = 1 << 30;
const MAX_REDIRECTS: u32 = 4;
/// How much of an error page is worth reading.
const MAX_ERROR_BODY_BYTES: u64 = 4 << 10;

/// How to reach live targets: the same for every command.
#[derive(Clone, Debug, clap::Args)]
pub struct HttpArgs {
    /// Token of the target, sent as a Bearer token (write user:token@host in the URL for Basic)
    #[arg(long, env = "DIAG_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true, help_heading = LIVE)]
    pub token: Option<String>,
    /// File that holds the token
    #[arg(long, env = "DIAG_TOKEN_FILE", value_name = "FILE", global = true, help_heading = LIVE)]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https, in place of the public ones
    #[arg(long, env = "DIAG_CA_FILE", value_name = "FILE", global = true, help_heading = LIVE)]
    pub ca_file: Option<PathBuf>,
    /// How long to wait for an answer to begin, and then for its body
    #[arg(long, env = "DIAG_TIMEOUT", value_name = "TIME", default_value = "30s", global = true,
          value_parser = crate::cli::parse_duration, help_heading = LIVE)]
    pub timeout: Duration,
}

const LIVE: &str = "Live targets";

/// A client with its credentials.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    loopback: Agent,
    bearer: Option<String>,
    timeout: Duration,
}

/// A complete answer with status 200.
#[derive(Debug)]
pub struct Answer {
    /// The body, complete as far as HTTP can tell.
    pub body: Vec<u8>,
    /// The headers.
    pub headers: HeaderMap,
}

/// Why a fetch failed. [`FetchError::explain`] makes the sentence.
#[derive(Debug)]
pub enum FetchError {
    /// An answer with another status than 200.
    Status {
        /// The status.
        status: u16,
        /// `Retry-After`, when it is a number of seconds.
        retry_after: Option<Duration>,
        /// First words of the body, when it is plain text.
        says: String,
    },
    /// No complete answer.
    Transport(ureq::Error),
    /// The connection closed before the announced end of the body.
    Truncated {
        /// What arrived.
        got: u64,
        /// `Content-Length`.
        announced: Option<u64>,
    },
}

impl Client {
    /// A client for these settings.
    ///
    /// # Errors
    /// When the token file or the certificates cannot be read.
    pub fn new(args: &HttpArgs) -> Result<Self> {
        let tls = match &args.ca_file {
            None => ureq::tls::TlsConfig::default(),
            Some(path) => tls_with_roots(path)?,
        };
        let build = |proxy: Option<ureq::Proxy>| {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(MAX_REDIRECTS)
                .max_redirects_will_error(true)
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .user_agent(concat!("diag-cli/", env!("CARGO_PKG_VERSION")))
                .max_idle_connections(0)
                .timeout_resolve(Some(args.timeout.min(Duration::from_secs(10))))
                .timeout_connect(Some(args.timeout.min(Duration::from_secs(10))))
                .timeout_recv_body(Some(args.timeout.saturating_mul(4)))
                .tls_config(tls.clone())
                .proxy(proxy)
                .build()
                .new_agent()
        };
        Ok(Self {
            agent: build(ureq::Proxy::try_from_env()),
            loopback: build(None),
            bearer: token(args)?,
            timeout: args.timeout,
        })
    }

    /// Fetches `path_and_query` of the target. `extra_wait` is the time the target needs by design (`seconds=30`).
    pub fn get(
        &self,
        target: &Endpoint,
        path_and_query: &str,
        extra_wait: Duration,
    ) -> std::result::Result<Answer, FetchError> {
        let agent = if target.is_loopback() { &self.loopback } else { &self.agent };
        let mut request = agent.get(target.url(path_and_query)).header("Accept", "*/*");
        if let Some(value) = self.authorization(target) {
            request = request.header("Authorization", value);
        }
        let wait = self.timeout + extra_wait.saturating_mul(3) / 2;
        let sent = request.config().timeout_recv_response(Some(wait)).build().call();
        Self::complete(sent.map_err(FetchError::Transport)?)
    }

    /// Asks the target to do something, without a body; `extra_wait` as of [`get`](Self::get). Redirects are not followed as a POST.
    pub fn post(
        &self,
        target: &Endpoint,
        path: &str,
        extra_wait: Duration,
    ) -> std::result::Result<Answer, FetchError> {
        let agent = if target.is_loopback() { &self.loopback } else { &self.agent };
        let mut request = agent.post(target.url(path)).header("Accept", "*/*");
        if let Some(value) = self.authorization(target) {
            request = request.header("Authorization", value);
        }
        let wait = self.timeout + extra_wait.saturating_mul(3) / 2;
        let sent = request.config().timeout_recv_response(Some(wait)).build().send_empty();
        Self::complete(sent.map_err(FetchError::Transport)?)
    }

    fn complete(mut response: Response<ureq::Body>) -> std::result::Result<Answer, FetchError> {
        let status = response.status();
        let announced = response.body().content_length();
        if status != StatusCode::OK {
            let retry_after = header(response.headers(), "retry-after").and_then(|v| v.trim().parse().ok());
            let is_html = header(response.headers(), "content-type").is_some_and(|t| t.contains("html"));
            let body = response.body_mut().with_config().limit(MAX_ERROR_BODY_BYTES).read_to_vec();
            let text = body.ok().filter(|_| !is_html).map(|b| String::from_utf8_lossy(&b).into_owned());
            return Err(FetchError::Status {
                status: status.as_u16(),
                retry_after: retry_after.map(Duration::from_secs),
                says: text.map(|t| first_words(&t)).unwrap_or_default(),
            });
        }
        let headers = response.headers().clone();
        match response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec() {
            Ok(body) => match announced {
                Some(n) if (body.len() as u64) < n => {
                    Err(FetchError::Truncated { got: body.len() as u64, announced })
                }
                _ => Ok(Answer { body, headers }),
            },
            Err(ureq::Error::Io(e)) if e.kind() == ErrorKind::UnexpectedEof => {
                Err(FetchError::Truncated { got: 0, announced })
            }
            Err(e) => Err(FetchError::Transport(e)),
        }
    }

    fn authorization(&self, target: &Endpoint) -> Option<String> {
        match target.credentials() {
            Some(c) => Some(format!("Basic {}", base64(format!("{}:{}", c.user, c.password).as_bytes()))),
            None => self.bearer.as_ref().map(|t| format!("Bearer {t}")),
        }
    }

    /// Whether any credentials would be sent to this target.
    pub fn has_credentials(&self, target: &Endpoint) -> bool {
        self.authorization(target).is_some()
    }
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl FetchError {
    /// Whether the same request may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Truncated { .. } => true,
            Self::Transport(e) => matches!(
                e,
                ureq::Error::Io(_)
                    | ureq::Error::Timeout(_)
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::HostNotFound
                    | ureq::Error::Protocol(_)
            ),
        }
    }

    /// How long the target asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error as a sentence about this address. `has_token`: whether credentials were sent.
    pub fn explain(&self, target: &Endpoint, path_and_query: &str, has_token: bool) -> Error {
        let url = target.url(path_and_query);
        match self {
            Self::Status { status, says, retry_after } => {
                let mut what = format!("{url} answered {status}");
                if let Some(reason) = StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()) {
                    let _ = write!(what, " {reason}");
                }
                if !says.is_empty() {
                    let _ = write!(what, " ({says})");
                }
                if *status == 403 && says.contains("read-only") {
                    return Error::failed(
                        what,
                        "ask the owner of the service, or leave out what changes something",
                    );
                }
                Error::failed(what, status_advice(*status, *retry_after, has_token))
            }
            Self::Truncated { got, announced } => {
                let of = announced.map(|n| format!(" of {n}")).unwrap_or_default();
                let got = if *got > 0 { format!(" after {got}{of} bytes") } else { String::new() };
                Error::failed(
                    format!("{url}: the answer was cut short{got}"),
                    "the target or a proxy closed the connection: try again, and look at the target's log",
                )
            }
            Self::Transport(e) => transport(&url, target, e),
        }
    }
}

fn status_advice(status: u16, retry_after: Option<Duration>, has_token: bool) -> String {
    match status {
        401 | 403 if has_token => {
            "the token was refused: check --token, --token-file, DIAG_TOKEN or the one in the URL".into()
        }
        401 | 403 => "it wants a token: give --token-file FILE, or set DIAG_TOKEN".into(),
        404 | 405 => "nothing is served there: is diag_server's router merged, and is this its port? \
                      A full URL is used as it is"
            .into(),
        501 => "it was built or set up without that, and says what it needs".into(),
        429 | 503 => match retry_after {
            Some(t) => format!("it is busy: try again in {} s", t.as_secs()),
            None => "it is busy: try again shortly".into(),
        },
        _ => "look at the target's log, or ask `diag-cli doctor`".into(),
    }
}

fn transport(url: &str, target: &Endpoint, error: &ureq::Error) -> Error {
    let failed = |what: String, next: &str| Error::failed(what, next);
    match error {
        ureq::Error::Timeout(Timeout::Resolve) | ureq::Error::HostNotFound => unresolved(url),
        // The standard library has no kind for it.
        ureq::Error::Io(e) if e.to_string().contains("lookup address") => unresolved(url),
        ureq::Error::Timeout(Timeout::Connect) => failed(
            format!("{url}: no connection in time"),
            "check host, port and firewall; --timeout waits longer",
        ),
        ureq::Error::Timeout(Timeout::RecvBody) => failed(
            format!("{url}: the answer began and then stalled"),
            "the target hangs or the line is slow; --timeout waits longer",
        ),
        ureq::Error::Timeout(_) => failed(
            format!("{url}: connected, but no answer in time"),
            "the target hangs or is very busy; --timeout waits longer",
        ),
        ureq::Error::TooManyRedirects => {
            failed(format!("{url}: more than {MAX_REDIRECTS} redirects"), "use the final address")
        }
        ureq::Error::BodyExceedsLimit(_) => failed(
            format!("{url}: the answer is larger than {} MiB", MAX_BODY_BYTES >> 20),
            "this is no profile; check the path",
        ),
        ureq::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => failed(
            format!("{url}: connection refused"),
            "nothing listens there: is the service up, and diag_server::serve or its router in it?",
        ),
        ureq::Error::Io(e)
            if matches!(
                e.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof
            ) =>
        {
            failed(
                format!("{url}: the connection was closed before the answer was complete"),
                "the target may have restarted, or it speaks something else than HTTP (https?)",
            )
        }
        ureq::Error::Io(e) if url.starts_with("https:") => {
            failed(format!("{url}: TLS failed: {e}"), "is it http:// there, or does it need --ca-file?")
        }
        ureq::Error::Io(e) => failed(format!("{url}: {e}"), "check host, port and network"),
        ureq::Error::Protocol(e) => failed(
            format!("{url} does not answer in HTTP ({e})"),
            if target.url("").starts_with("https") {
                "check the port"
            } else {
                "check the port; is it https?"
            },
        ),
        ureq::Error::Rustls(e) => {
            failed(format!("{url}: TLS failed: {e}"), "give the CA with --ca-file, or check the name")
        }
        ureq::Error::Tls(e) => {
            failed(format!("{url}: TLS failed: {e}"), "is it http:// rather than https://?")
        }
        e => failed(format!("{url}: {e}"), "check the address"),
    }
}

fn unresolved(url: &str) -> Error {
    Error::failed(format!("{url}: the host name does not resolve"), "check the name, or use its address")
}

fn token(args: &HttpArgs) -> Result<Option<String>> {
    if let Some(token) = args.token.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
        return printable(token, "--token or DIAG_TOKEN").map(Some);
    }
    let Some(path) = &args.token_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::failed(format!("cannot read the token file {}: {e}", path.display()), "check --token-file")
    })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Error::failed(
            format!("the token file {} is empty", path.display()),
            "write the token into it",
        ));
    }
    printable(token, &path.display().to_string()).map(Some)
}

fn printable(token: &str, source: &str) -> Result<String> {
    if token.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        Ok(token.to_owned())
    } else {
        Err(Error::usage(
            format!("the token of {source} has blanks or characters that HTTP cannot carry"),
            "give one word of ASCII",
        ))
    }
}

fn tls_with_roots(path: &std::path::Path) -> Result<ureq::tls::TlsConfig> {
    let fail = |why: &dyn std::fmt::Display| {
        Error::failed(format!("cannot use the certificates of {}: {why}", path.display()), "give a PEM file")
    };
    let pem = std::fs::read(path).map_err(|e| fail(&e))?;
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let ureq::tls::PemItem::Certificate(c) = item.map_err(|e| fail(&e))? {
            roots.push(c);
        }
    }
    if roots.is_empty() {
        return Err(fail(&"it holds none"));
    }
    let roots = ureq::tls::RootCerts::new_with_certs(&roots);
    Ok(ureq::tls::TlsConfig::builder().root_certs(roots).build())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The beginning of an error text, on one line.
fn first_words(text: &str) -> String {
    const MAX_CHARS: usize = 160;
    let line = one_line(text);
    if line.chars().count() <= MAX_CHARS {
        return line;
    }
    let mut cut: String = line.chars().take(MAX_CHARS).collect();
    cut.push('…');
    cut
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = (n >> (18 - 6 * i) & 63) as usize;
            out.push(if i > chunk.len() {
                '='
            } else {
                char::from(ALPHABET.get(six).copied().unwrap_or(b'='))
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn error_pages_are_cut() {
        assert_eq!(first_words("  a\n b "), "a b");
        assert_eq!(first_words(&"x".repeat(500)).chars().count(), 161);
    }
}
