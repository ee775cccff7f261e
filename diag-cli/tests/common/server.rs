//! An HTTP/1.1 server of a hundred lines: each path does what the test tells it to, also what no server should do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub query: String,
    pub headers: Vec<String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|h| {
            let (n, v) = h.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim())
        })
    }
}

/// What the server does.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A complete answer.
    Answer { status: u16, headers: Vec<String>, body: Vec<u8> },
    /// Announces `announced` bytes, sends `body`, closes.
    Short { announced: usize, body: Vec<u8> },
    /// A chunked answer that ends in the middle of a chunk.
    ShortChunk(Vec<u8>),
    /// Half an answer, then a TCP reset.
    Reset(Vec<u8>),
    /// Accepts and never answers.
    Hang,
    /// Sends headers and the beginning of the body, then nothing more.
    Stall(Vec<u8>),
    /// Not HTTP.
    Bytes(Vec<u8>),
}

pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer { status: 200, headers: vec![format!("Content-Type: {content_type}")], body: body.into() }
}

pub fn status(status: u16, body: &str) -> Reply {
    Reply::Answer { status, headers: vec!["Content-Type: text/plain".into()], body: body.into() }
}

pub fn profile(profile: &diag::profile::Profile) -> Reply {
    ok("application/octet-stream", diag::profile::pprof::encode_gz(profile))
}

/// The status document of a process.
pub fn diag_status(pid: u32, started_unix_s: u64) -> Reply {
    ok(
        "application/json",
        format!(
            r#"{{"schema":"diag.status/1","pid":{pid},"started_unix_s":{started_unix_s}.5,"uptime_s":60.0,"config":{{"service_name":"orders"}},"heap":{{"source":"hooks","active":true,"sample_period_bytes":524288,"samples_total":1000,"live_samples":500,"stacks":10,"memory_bytes":1000,"memory_limit_bytes":100000,"losses":{{}}}},"problems":[]}}"#
        ),
    )
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running server; stops when dropped.
pub struct Server {
    pub addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let (seen, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (handler, seen, stopped) =
                    (Arc::clone(&handler), Arc::clone(&seen), Arc::clone(&stopped));
                std::thread::spawn(move || serve(stream, &*handler, &seen, &stopped));
            }
        });
        Self { addr, requests, stop, thread: Some(thread) }
    }

    /// Every path gets this reply.
    pub fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    pub fn host(&self) -> String {
        self.addr.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, seen: &Mutex<Vec<Request>>, stopped: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    // Byte by byte, and all but the last: what is unread at the close turns it into a reset.
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r") {
        match stream.read(&mut byte) {
            Ok(1) => head.extend_from_slice(&byte),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let target = lines.next().and_then(|l| l.split(' ').nth(1)).unwrap_or("/").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let request = Request {
        path: path.into(),
        query: query.into(),
        headers: lines.map(str::to_owned).filter(|l| !l.trim().is_empty()).collect(),
    };
    seen.lock().unwrap().push(request.clone());
    let reply = handler(&request);
    if !matches!(reply, Reply::Reset(_)) {
        let _ = stream.read(&mut byte);
    }
    let _ = send(stream, reply, stopped);
}

fn send(mut out: TcpStream, reply: Reply, stopped: &AtomicBool) -> std::io::Result<()> {
    match reply {
        Reply::Answer { status, headers, body } => {
            write!(out, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
            for h in headers {
                write!(out, "{h}\r\n")?;
            }
            out.write_all(b"\r\n")?;
            out.write_all(&body)
        }
        Reply::Short { announced, body } => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n")?;
            out.write_all(&body)
        }
        Reply::ShortChunk(body) => {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len() + 10)?;
            out.write_all(&body)
        }
        Reply::Reset(body) => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() * 2)?;
            out.write_all(&body)?;
            out.flush()
        }
        Reply::Hang => {
            hang(&mut out, stopped);
            Ok(())
        }
        Reply::Stall(body) => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() * 2)?;
            out.write_all(&body)?;
            hang(&mut out, stopped);
            Ok(())
        }
        Reply::Bytes(bytes) => out.write_all(&bytes),
    }
}

/// Until the client goes away, or the test ends.
fn hang(out: &mut TcpStream, stopped: &AtomicBool) {
    let _ = out.set_read_timeout(Some(Duration::from_millis(20)));
    let mut byte = [0];
    while !stopped.load(Ordering::SeqCst) {
        match out.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
