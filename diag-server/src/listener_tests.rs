use std::io::{Read as _, Write as _};
use std::net::TcpStream as Socket;

use axum::routing::get;

use super::*;
use crate::testing::diag;

/// Far above anything that is waited for; only a failing test waits so long.
const LONG: Duration = Duration::from_secs(60);
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn connect(addr: SocketAddr) -> Socket {
    let socket = Socket::connect(addr).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

fn get_text(addr: SocketAddr, path: &str) -> String {
    let mut socket = connect(addr);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks again while all places are taken, as the answer says.
fn patiently(addr: SocketAddr, path: &str) -> String {
    loop {
        let answer = get_text(addr, path);
        if !answer.starts_with("HTTP/1.1 503") {
            return answer;
        }
        assert!(answer.contains("Retry-After: 10\r\n") && answer.contains("all connections"), "{answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_serves_on_after_the_handle_is_gone() {
    let server = start(diag(), ANY, None, PATIENCE).unwrap();
    let addr = server.local_addr();
    assert!(server.is_listening() && addr.port() != 0);
    drop(server);
    let answer = get_text(addr, "/debug/pprof/cmdline");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = get_text(addr, "/nowhere");
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/debug/pprof/"), "{answer}");
}

#[test]
fn shutdown_ends_it() {
    let server = start(diag(), ANY, None, PATIENCE).unwrap();
    let addr = server.local_addr();
    let mut idle = connect(addr);
    server.shutdown();
    assert!(Socket::connect(addr).is_err(), "nothing listens any more");
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "idle connections are closed");
}

#[test]
fn a_taken_port_is_one_clear_error() {
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = start(diag(), addr, None, PATIENCE).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {addr}")), "{error}");
    assert!(error.contains("another program") && error.contains("DIAG_LISTEN"), "{error}");
}

#[test]
fn off_loopback_only_with_a_token() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let addr = addr.parse().unwrap();
        let error = start(diag(), addr, None, PATIENCE).unwrap_err();
        assert!(matches!(error, Error::TokenRequired { .. }), "{error:?}");
        assert!(error.to_string().contains("DIAG_TOKEN_FILE"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    let error = start(diag(), ANY, Some(Token::read(&missing)), PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Token { .. }), "a token that was asked for is never left out: {error:?}");
    for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(is_loopback(loopback.parse().unwrap()), "{loopback}");
    }
    assert!(!is_loopback("::ffff:10.0.0.1".parse().unwrap()));
}

#[test]
fn a_token_is_demanded_when_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let server = start(diag(), ANY, Some(Token::read(&file)), PATIENCE).unwrap();
    let addr = server.local_addr();
    let answer = get_text(addr, "/debug/pprof/cmdline");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("x-go-pprof: 1"), "{answer}");
    let mut socket = connect(addr);
    write!(
        socket,
        "GET /debug/pprof/cmdline HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer secret\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.shutdown();
}

#[test]
fn clients_that_are_slow_with_their_headers_are_cut_off() {
    let patience = Patience { headers: Duration::from_millis(50), connections: 2, ..PATIENCE };
    let server = start(diag(), ANY, None, patience).unwrap();
    let addr = server.local_addr();
    let mut half = connect(addr);
    half.write_all(b"GET /debug/pprof/cmdline HTTP/1.1\r\nHost: loc").unwrap();
    let mut silent = connect(addr);
    // Both places are taken; the third client is told so, and answered when they have been cut off.
    assert!(patiently(addr, "/debug/pprof/cmdline").starts_with("HTTP/1.1 200"));
    for socket in [&mut half, &mut silent] {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = socket.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    server.shutdown();
}

#[test]
fn clients_that_do_not_read_lose_their_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let huge = Router::new()
            .route("/huge", get(|| async { vec![b'x'; 64 << 20] }))
            .route("/small", get(|| async { "ok" }));
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        // One connection at a time: the second client gets an answer only when the first has lost its place.
        let patience = Patience { writes: Duration::from_millis(50), connections: 1, ..PATIENCE };
        let server = tokio::spawn(accept(listener, huge, stopped, patience));
        let clients = tokio::task::spawn_blocking(move || {
            let mut deaf = connect(addr);
            deaf.write_all(b"GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut first = [0];
            deaf.read_exact(&mut first).unwrap();
            let answer = patiently(addr, "/small");
            drop(deaf);
            answer
        });
        assert!(clients.await.unwrap().ends_with("ok"));
        stop.send_replace(true);
        server.await.unwrap();
    });
}

#[test]
fn what_is_under_way_at_a_shutdown_is_answered() {
    let patience = Patience { shutdown: LONG, ..PATIENCE };
    let server = start(diag(), ANY, None, patience).unwrap();
    let addr = server.local_addr();
    let mut socket = connect(addr);
    write!(socket, "GET /debug/diag/api/v1/triage?seconds=1 HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    // A later request is answered, so that this one has been read.
    assert!(get_text(addr, "/debug/pprof/cmdline").starts_with("HTTP/1.1 200"));
    server.shutdown();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("diag.triage/1"), "{answer}");
}

#[test]
fn a_panic_is_told_and_the_listener_goes_on() {
    let server = start_with(diag(), ANY, None, PATIENCE, crate::routes::tests::with_panics).unwrap();
    let addr = server.local_addr();
    for path in ["/panics", "/panics/later", "/panics/blocking"] {
        let answer = get_text(addr, path);
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("x-go-pprof: 1"), "{answer}");
        assert!(answer.contains("a bug (on purpose ") && answer.contains("go on"), "{answer}");
    }
    let metrics = get_text(addr, "/metrics");
    assert!(metrics.contains("\ndiag_server_panics_total 3\n"), "{metrics}");
    server.shutdown();
}

#[test]
fn requests_of_a_flood_take_turns() {
    let patience = Patience { interval: Duration::from_millis(20), burst: 5, ..PATIENCE };
    let server = start(diag(), ANY, None, patience).unwrap();
    let addr = server.local_addr();
    let mut socket = connect(addr);
    let started = std::time::Instant::now();
    let one = format!("GET /nothing HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let last = format!("GET /nothing HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    socket.write_all(format!("{}{last}", one.repeat(29)).as_bytes()).unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 30);
    assert!(started.elapsed() >= Duration::from_millis(20 * 24), "{:?}", started.elapsed());
    server.shutdown();
}
