//! One POST of a small JSON over plain HTTP/1.1, within strict times. No TLS, no redirects, no proxies, no retries.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// For the request and the first line of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const MOST_ANSWER_BYTES: usize = 512;

/// `http://host[:port][/path]`, taken apart.
#[derive(PartialEq, Eq, Debug)]
struct Url<'a> {
    /// With port, as the header `Host` wants it.
    host: &'a str,
    connect_to: String,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, String> {
        let wrong =
            || format!("{url:?} is not http://host:port/path; https wants a proxy beside the service");
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let plain = |c: char| c.is_ascii_graphic() && c != '@';
        if host.is_empty() || !host.chars().all(plain) || !path.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong());
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let connect_to = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { host, connect_to, path })
    }
}

/// Sends the JSON; any 2xx is fine.
pub(super) fn post(url: &str, json: &[u8]) -> Result<(), String> {
    let parsed = Url::parse(url)?;
    let fail = |what: &str, e: &std::io::Error| format!("{url}: {what}: {e}");
    let mut addresses =
        parsed.connect_to.to_socket_addrs().map_err(|e| fail("the name has no address", &e))?;
    let address = addresses.next().ok_or_else(|| format!("{url}: the name has no address"))?;
    let mut stream =
        TcpStream::connect_timeout(&address, CONNECT_WITHIN).map_err(|e| fail("cannot connect", &e))?;
    let until = Instant::now() + ANSWER_WITHIN;
    stream.set_write_timeout(Some(ANSWER_WITHIN)).map_err(|e| fail("cannot set a time limit", &e))?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: diag/{}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        parsed.path,
        parsed.host,
        env!("CARGO_PKG_VERSION"),
        json.len()
    );
    stream.write_all(&[head.as_bytes(), json].concat()).map_err(|e| fail("cannot send", &e))?;
    let status = first_line(&mut stream, until).map_err(|e| fail("no answer", &e))?;
    let code = status.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
    match code {
        Some(200..=299) => Ok(()),
        Some(code) => Err(format!("{url} answered {code}")),
        None => Err(format!("{url} did not answer in HTTP")),
    }
}

/// One byte at a time does not stretch the time: the whole has an end.
fn first_line(stream: &mut TcpStream, until: Instant) -> std::io::Result<String> {
    let mut answer = Vec::new();
    let mut chunk = [0u8; 256];
    while !answer.contains(&b'\n') && answer.len() < MOST_ANSWER_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let line = answer.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn urls_are_taken_apart() {
        let of = |url| Url::parse(url).map(|u| (u.host, u.connect_to, u.path));
        assert_eq!(of("http://h:9/x?y"), Ok(("h:9", "h:9".into(), "/x?y")));
        assert_eq!(of("http://h"), Ok(("h", "h:80".into(), "/")));
        assert_eq!(of("http://[::1]:9/"), Ok(("[::1]:9", "[::1]:9".into(), "/")));
        assert_eq!(of("http://[::1]/"), Ok(("[::1]", "[::1]:80".into(), "/")));
        for bad in ["https://h/", "h:9", "http:///x", "http://u:p@h/", "http://h/a b", "http://h/\r\nx: y"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    /// A server that reads the request and answers with this, or holds its tongue.
    fn server(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            if answer.is_empty() {
                thread::sleep(ANSWER_WITHIN + Duration::from_millis(500));
            }
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        (url, served)
    }

    #[test]
    fn a_post_is_sent_and_its_answer_judged() {
        let (url, served) = server(b"HTTP/1.1 204 No Content\r\n\r\n");
        post(&url, b"{\"a\":1}").unwrap();
        let request = served.join().unwrap();
        assert!(
            request.starts_with("POST /hook HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"a\":1}"),
            "{request}"
        );
        let (url, _) = server(b"HTTP/1.1 500 Oh\r\n\r\n");
        assert!(post(&url, b"{}").unwrap_err().ends_with("answered 500"));
        let (url, _) = server(b"SSH-2.0\r\n");
        assert!(post(&url, b"{}").unwrap_err().contains("HTTP"));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(post(&format!("http://{closed}/"), b"{}").unwrap_err().contains("cannot connect"));
    }

    #[test]
    fn a_silent_server_costs_a_bounded_time() {
        let (url, _) = server(b"");
        let from = Instant::now();
        assert!(post(&url, b"{}").unwrap_err().contains("no answer"));
        assert!(from.elapsed() < ANSWER_WITHIN + Duration::from_secs(2));
    }
}
