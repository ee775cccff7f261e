//! Reading a request: head into strings, body into its own buffer.

use crate::traffic::Kind;

/// A request as a handler sees it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// What follows the question mark, or empty.
    pub query: String,
    /// Lower-case names with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads a whole HTTP/1.1 request. `None` when it is not one.
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(raw.get(..end)?).ok()?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?, first.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: raw.get(end + 4..)?.to_vec(),
        })
    }

    /// The value of a header, by its lower-case name; empty when missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The user who asks.
    pub fn user(&self) -> u64 {
        self.header("x-user").parse().unwrap_or(0)
    }

    /// What is asked for; `None` for a path that does not exist.
    pub fn kind(&self) -> Option<Kind> {
        let mut parts = self.path.split('/').skip(1);
        Some(match (parts.next()?, parts.next(), parts.next()) {
            ("items", Some(_), None) => Kind::Browse,
            ("search", None, None) => Kind::Search,
            ("login", None, None) => Kind::Login,
            ("orders", None, None) => Kind::Order,
            ("uploads", Some(_), None) => Kind::Upload,
            ("prices", Some(_), Some("follow")) => Kind::Subscribe,
            ("reports", Some(_), None) => Kind::Report,
            _ => return None,
        })
    }

    /// The number in the second part of the path: `/items/17` is 17.
    pub fn number(&self) -> Option<u64> {
        self.path.split('/').nth(2)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Request;
    use crate::traffic::Traffic;

    #[test]
    fn what_the_traffic_writes_is_read() {
        let mut traffic = Traffic::new(3, 0);
        for _ in 0..300 {
            let call = traffic.next_call();
            let request = Request::parse(&call.to_http()).expect("a request");
            assert_eq!(request.kind(), Some(call.kind));
            assert_eq!((request.user(), request.body), (call.user, call.body));
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for raw in ["", "GET", "GET\r\n\r\n", "\r\n\r\n"] {
            assert!(Request::parse(raw.as_bytes()).is_none(), "{raw:?}");
        }
    }
}
