//! Abuse of the own listener, over loopback, bounded in count and time. Whatever is sent is answered with one clear line or cut
//! off, the listener goes on, and afterwards descriptors, threads and memory are what they were.
//!
//! One test in a process of its own, for it counts the process's threads and files. Clients that do not read are in
//! `src/listener_tests.rs`, where the patience can be short; how the host fares meanwhile is `benches/host_latency`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

#[path = "../common/mod.rs"]
mod common;
mod nonsense;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{ask, get, get_ok, server};

/// Far above anything that is waited for; only a failing test waits so long.
const LONG: Duration = Duration::from_secs(120);
const CONNECTIONS: usize = 500;
const THREADS: usize = 20;

/// What must come back.
#[derive(Clone, Copy, Debug)]
struct Usage {
    files: usize,
    threads: usize,
    allocated_bytes: u64,
}

impl Usage {
    fn now() -> Self {
        let count = |dir| std::fs::read_dir(dir).unwrap().count();
        let waterline = diag::memory::read_quick();
        let allocated = waterline.jemalloc.known().and_then(|j| j.allocated_bytes.value());
        Self {
            files: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            allocated_bytes: allocated.expect("the allocator's own count"),
        }
    }

    /// Once it is no more than before. Idle threads for blocking work end after ten seconds.
    fn is_back(self, before: Self) -> bool {
        self.files <= before.files
            && self.threads <= before.threads
            && self.allocated_bytes <= before.allocated_bytes + (4 << 20)
    }
}

#[test]
fn whatever_is_sent_the_listener_goes_on_and_nothing_stays() {
    let addr = server();
    // What is made once stays: names, tables, buffers of the allocator, the thread that reads for names.
    abuse(addr);
    settled(addr);
    let before = settle(|now, last| now.files <= last.files && now.threads <= last.threads);
    abuse(addr);
    let after = settle(|now, _| now.is_back(before));
    println!("before {before:?}, after {after:?}");
    assert!(after.is_back(before), "before {before:?}, after {after:?}");

    let metrics = get_ok(addr, "/metrics").text();
    let value = |name: &str| metrics.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    assert_eq!(value("diag_server_panics_total"), Some("0"));
    assert!(value("diag_server_connections_refused_total").is_some_and(|n| n != "0"), "{metrics}");
}

fn abuse(addr: SocketAddr) {
    for (what, phase) in [
        ("500 connections at once", at_once as fn(SocketAddr)),
        ("headers that never end, and silence", slow_loris),
        ("bad parameters", nonsense::every_parameter),
        ("huge headers", huge_headers),
        ("cut off requests", truncated),
        ("not HTTP", garbage),
        ("pipelining", pipelined),
        ("asked and gone", gone),
    ] {
        let started = Instant::now();
        phase(addr);
        settled(addr);
        println!("{what}: {:.1} s", started.elapsed().as_secs_f64());
    }
}

/// The listener answers again, with all its lanes.
fn settled(addr: SocketAddr) {
    for path in ["/debug/diag/api/v1/status", "/debug/pprof/heap?symbolize=false"] {
        let started = Instant::now();
        loop {
            let answer = get(addr, path);
            if answer.status == 200 {
                break;
            }
            assert_eq!(answer.status, 503, "{path}: {}", answer.text());
            assert!(started.elapsed() < LONG, "{path}: {}", answer.text());
            sleep(Duration::from_millis(50));
        }
    }
}

/// Waits until what is used satisfies, at most for [`LONG`].
fn settle(enough: impl Fn(Usage, Usage) -> bool) -> Usage {
    // Longer than an idle thread for blocking work lives.
    sleep(Duration::from_secs(11));
    let (started, mut last) = (Instant::now(), Usage::now());
    loop {
        let now = Usage::now();
        if enough(now, last) || started.elapsed() > LONG {
            return now;
        }
        last = now;
        sleep(Duration::from_millis(200));
    }
}

/// All that comes until the end or a reset.
fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let started = Instant::now();
    let end = socket.read_to_end(&mut bytes);
    assert!(started.elapsed() < LONG, "{end:?}: the connection is neither answered nor closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&addr, LONG).expect("the kernel's queue has a place in time");
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

/// Answered, told when to come back, or cut off; and some of them are answered.
fn at_once(addr: SocketAddr) {
    let all_open = Barrier::new(THREADS);
    let answers: Vec<String> = std::thread::scope(|scope| {
        let client = || {
            let mut sockets: Vec<TcpStream> = (0..CONNECTIONS / THREADS).map(|_| connect(addr)).collect();
            all_open.wait();
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
            for socket in &mut sockets {
                // Refused when it was cut off already.
                let _ = socket.write_all(request.as_bytes());
            }
            sockets.iter_mut().map(rest).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(client)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let of = |start: &str| answers.iter().filter(|a| a.starts_with(start)).count();
    let (served, told, cut) =
        (of("HTTP/1.1 200"), of("HTTP/1.1 503"), answers.iter().filter(|a| a.is_empty()).count());
    println!("  of {CONNECTIONS}: {served} answered, {told} told to come back, {cut} cut off");
    assert_eq!(served + told + cut, CONNECTIONS);
    assert!(served > 0 && told > 0);
    for told in answers.iter().filter(|a| a.starts_with("HTTP/1.1 503")) {
        assert!(told.to_ascii_lowercase().contains("retry-after: "), "{told}");
    }
}

/// They take all places and lose them: the listener is patient for ten seconds, whatever it is sent.
fn slow_loris(addr: SocketAddr) {
    let mut sockets: Vec<TcpStream> = (0..80).map(|_| connect(addr)).collect();
    for (i, socket) in sockets.iter_mut().enumerate() {
        let _ = match i % 3 {
            0 => Ok(()),
            1 => write!(socket, "GET /metrics HTTP/1.1\r\nHost: {addr}\r\n"),
            // Asks, and then keeps the connection.
            _ => write!(socket, "GET /metrics HTTP/1.1\r\nHost: {addr}\r\n\r\n"),
        };
    }
    let mut drips = 0;
    let started = Instant::now();
    while !sockets.is_empty() {
        assert!(started.elapsed() < LONG, "{} still hold their places", sockets.len());
        sockets.retain_mut(|socket| {
            let _ = socket.write_all(b"X");
            socket.set_nonblocking(true).unwrap();
            let mut bytes = [0; 4096];
            let open = loop {
                match socket.read(&mut bytes) {
                    Ok(0) => break false,
                    Ok(_) => {}
                    Err(e) => break e.kind() == std::io::ErrorKind::WouldBlock,
                }
            };
            socket.set_nonblocking(false).unwrap();
            open
        });
        drips += 1;
        sleep(Duration::from_millis(200));
    }
    assert!(drips > 1);
}

/// Refused with an error of the client, or cut off.
fn huge_headers(addr: SocketAddr) {
    let long = "x".repeat(200 << 10);
    let many: String = (0..2000).map(|i| format!("X-{i}: y\r\n")).collect();
    for (what, request) in [
        ("a long header", format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nX-Long: {long}\r\n\r\n")),
        ("many headers", format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\n{many}\r\n")),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nHost: {addr}\r\n\r\n")),
        ("a long query", format!("GET /debug/pprof/heap?{long} HTTP/1.1\r\nHost: {addr}\r\n\r\n")),
        ("a long method", format!("{long} / HTTP/1.1\r\nHost: {addr}\r\n\r\n")),
        ("headers without end", format!("GET / HTTP/1.1\r\n{many}{many}{many}")),
    ] {
        for _ in 0..5 {
            let mut socket = connect(addr);
            let _ = socket.write_all(request.as_bytes());
            let answer = rest(&mut socket);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        }
    }
}

fn truncated(addr: SocketAddr) {
    let post = format!(
        "POST /debug/pprof/symbol HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n0x10+0x20"
    );
    for cut in (1..=post.len()).step_by(3) {
        let mut socket = connect(addr);
        socket.write_all(&post.as_bytes()[..cut]).unwrap();
        let _ = socket.shutdown(Shutdown::Write);
        let answer = rest(&mut socket);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "cut at {cut}: {answer}");
    }
}

fn garbage(addr: SocketAddr) {
    let head = format!("POST /debug/pprof/symbol HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
    let bodies = [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n0x10\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n0x10",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n4\r\n0xzz\r\n0\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nxyzz",
        "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n0xzzz",
        "Content-Length: 4\r\n\r\n\u{0}\u{1}\u{2}\u{3}",
    ];
    let mut requests: Vec<Vec<u8>> = bodies.iter().map(|body| format!("{head}{body}").into_bytes()).collect();
    requests.extend(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting".as_slice(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /metrics\r\n\r\n",
            b"GET  /metrics  HTTP/1.1\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\n Folded: yes\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\n\r\n",
            b"GET /\xc3\x28\x00 HTTP/1.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ]
        .map(<[u8]>::to_vec),
    );
    requests.push(vec![0; 10_000]);
    requests.push(b"\r\n".repeat(10_000));
    for request in requests {
        let mut socket = connect(addr);
        let _ = socket.write_all(&request);
        let _ = socket.shutdown(Shutdown::Write);
        let answer = rest(&mut socket);
        let head = String::from_utf8_lossy(&request[..request.len().min(80)]);
        let refused = answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 100 ");
        assert!(answer.is_empty() || refused, "{head:?}: {answer}");
    }
}

fn pipelined(addr: SocketAddr) {
    let mut socket = connect(addr);
    let one = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n{more}\r\n");
    let mut all = String::new();
    for _ in 0..49 {
        all += &one("/debug/pprof/cmdline", "");
        all += &one("/debug/pprof/heap?seconds=never", "");
    }
    all += &one("/nothing", "Connection: close\r\n");
    socket.write_all(all.as_bytes()).unwrap();
    let answers = rest(&mut socket);
    let statuses: Vec<&str> =
        answers.split("HTTP/1.1 ").skip(1).filter_map(|a| a.split(' ').next()).collect();
    assert_eq!(statuses.len(), 99);
    assert!(statuses.chunks(2).take(49).all(|pair| pair == ["200", "400"]), "{statuses:?}");
}

/// Ask for what is expensive and hang up.
fn gone(addr: SocketAddr) {
    for path in [
        "/debug/pprof/heap",
        "/debug/pprof/heap?seconds=60",
        "/debug/diag/api/v1/flamegraph",
        "/debug/diag/api/v1/leaks?watch=60",
        "/debug/diag/api/v1/triage?seconds=60",
    ] {
        for _ in 0..10 {
            drop(ask(addr, &format!("GET {path}")));
        }
    }
    // The places for those that wait are free again.
    let started = Instant::now();
    loop {
        let answer = get(addr, "/debug/diag/api/v1/triage?seconds=1");
        if answer.status == 200 {
            return;
        }
        assert!(answer.status == 503 && started.elapsed() < LONG, "{}", answer.text());
        sleep(Duration::from_millis(50));
    }
}
