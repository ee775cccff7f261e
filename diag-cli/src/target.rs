//! `TARGET`: a live process, a file, a directory of captures, or stdin. Parsing only; nothing is opened here
//! except to ask what kind of file a name is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where a profile comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process that answers over HTTP.
    Live(Endpoint),
    /// A file (or pipe, or device) in any format that `diag::profile::detect` knows.
    File(PathBuf),
    /// A directory of captures.
    Dir(PathBuf),
    /// Standard input.
    Stdin,
}

/// Address of a live target. Its `Display` form never shows credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    /// `host[:port]`, without user information.
    authority: String,
    /// Path and query as the user gave them; `None` when the usual endpoints are meant.
    path: Option<String>,
    credentials: Option<Credentials>,
}

/// User and password from a URL, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; may be empty.
    pub user: String,
    /// The password: for `diag` the token.
    pub password: String,
}

impl Target {
    /// Parses what the user wrote.
    ///
    /// An existing file or directory wins over `host:port`, so that a file can have any name.
    ///
    /// # Errors
    /// A wrong URL is a usage error; a name that is neither a file nor an address fails as missing input.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("the target is empty", HOW));
        }
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let scheme = match scheme.to_ascii_lowercase().as_str() {
                "http" => "http",
                "https" => "https",
                other => {
                    return Err(Error::usage(
                        format!("cannot fetch {other}:// addresses"),
                        "write http://host:port or https://host:port, or the plain path of a file",
                    ));
                }
            };
            return Ok(Self::Live(Endpoint::parse(scheme, rest, text)?));
        }
        match std::fs::metadata(Path::new(text)) {
            Ok(m) if m.is_dir() => return Ok(Self::Dir(text.into())),
            Ok(_) => return Ok(Self::File(text.into())),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Error::failed(
                    format!("cannot look at {text}: {e}"),
                    "check the permissions of the file and of its directories",
                ));
            }
            Err(_) => {}
        }
        if looks_like_address(text) {
            return Ok(Self::Live(Endpoint::parse("http", text, text)?));
        }
        Err(Error::failed(format!("{text}: no such file or directory"), HOW))
    }
}

const HOW: &str =
    "a target is host:port, http://host:port, a profile file, a directory of captures, or - for stdin";

impl Endpoint {
    fn parse(scheme: &'static str, rest: &str, whole: &str) -> Result<Self> {
        let rest = rest.split('#').next().unwrap_or(rest);
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        // What is shown in errors must not hold the password.
        let shown =
            if userinfo.is_some() { format!("{scheme}://…@{host}{path}") } else { whole.to_owned() };
        let wrong = |why: &str| {
            Error::usage(
                format!("{shown} is not an address: {why}"),
                "write host:port or http://host:port/path",
            )
        };
        let (name, port) =
            split_port(host).ok_or_else(|| wrong("the port must be a number from 1 to 65535"))?;
        let name = match name {
            "" if port.is_some() => "127.0.0.1",
            "" => return Err(wrong("it has no host")),
            name => name,
        };
        let bracketed = name.starts_with('[');
        let allowed = |c: char| {
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '-' | '_')
                || (bracketed && matches!(c, '[' | ']' | ':' | '%'))
        };
        if !name.chars().all(allowed) {
            return Err(wrong("the host name has a character that none has"));
        }
        if path.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            return Err(wrong("the path has blanks or characters that need percent-encoding"));
        }
        let path = match path {
            "" | "/" => None,
            p if p.starts_with('?') => Some(format!("/{p}")),
            p => Some(p.to_owned()),
        };
        Ok(Self {
            scheme,
            authority: port.map_or_else(|| name.to_owned(), |p| format!("{name}:{p}")),
            path,
            credentials: userinfo.map(|u| {
                let (user, password) = u.split_once(':').unwrap_or((u, ""));
                // A lone word before the @ can only be the token.
                let (user, password) = if password.is_empty() { ("", user) } else { (user, password) };
                Credentials { user: percent_decode(user), password: percent_decode(password) }
            }),
        })
    }

    /// The path and query the user asked for, if any.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// User information of the URL.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// `http://host:port` with this path and query.
    pub fn url(&self, path_and_query: &str) -> String {
        format!("{}://{}{}", self.scheme, self.authority, path_and_query)
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether the host is this machine by name: proxies are left out then.
    pub fn is_loopback(&self) -> bool {
        let name = split_port(&self.authority).map_or("", |(name, _)| name);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path.as_deref().unwrap_or(""))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(e) => e.fmt(f),
            Self::File(p) | Self::Dir(p) => p.display().fmt(f),
            Self::Stdin => f.write_str("stdin"),
        }
    }
}

/// `host`, `host:port` or `[v6]:port`; `None` when the port is no port.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = host.rfind(']').map_or(0, |at| at + 1);
    let Some(tail) = host.get(after_bracket..) else { return Some((host, None)) };
    match tail.rfind(':') {
        None => Some((host, None)),
        Some(at) => {
            let (name, port) = host.split_at(after_bracket + at);
            let port: u16 = port.get(1..)?.parse().ok()?;
            (port != 0).then_some((name, Some(port)))
        }
    }
}

/// `host:digits`, with or without user information before and a path after.
fn looks_like_address(text: &str) -> bool {
    let authority = text.split(['/', '?']).next().unwrap_or(text);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let Some((_, port)) = host.rsplit_once(':') else { return false };
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let hex = (b == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                i += 3;
            }
            None => {
                out.push(b);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
