//! The service whose latency is looked at, and its clients.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;

/// Clients, each with one connection and one request at a time.
pub const CLIENTS: u64 = 2;
/// Between two requests of a client, in the mean: together a fifth to a third of a processor.
const MEAN_GAP: Duration = Duration::from_millis(2);

/// A service that does some work and allocates for each request, on a runtime of its own. It serves until the process ends.
pub fn start(at: SocketAddr) -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(at)).unwrap();
    let addr = listener.local_addr().unwrap();
    let work = || async {
        let rows: Vec<String> = (0..2000u32).map(|n| format!("row {n}")).collect();
        rows.iter().map(|row| row.len()).sum::<usize>().to_string()
    };
    runtime.spawn(async move { axum::serve(listener, Router::new().route("/", get(work))).await });
    std::mem::forget(runtime);
    addr
}

/// Latencies in microseconds. Requests are due at times that the seed fixes, whether the one before is answered or not; who is late because
/// of it has waited since then.
pub fn load(host: SocketAddr, length: Duration, seed: u64) -> Vec<f64> {
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|n| scope.spawn(move || client(host, length, seed * CLIENTS + n))).collect();
        clients.into_iter().flat_map(|c| c.join().unwrap()).collect()
    })
}

fn client(host: SocketAddr, length: Duration, seed: u64) -> Vec<f64> {
    let mut socket = TcpStream::connect(host).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut times = Vec::with_capacity((length.as_nanos() / MEAN_GAP.as_nanos()) as usize + 100);
    let (began, mut due, mut answer) = (Instant::now(), Duration::ZERO, [0; 4096]);
    loop {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        due += MEAN_GAP.mul_f64(0.5 + (random >> 11) as f64 / (1u64 << 53) as f64);
        if due >= length {
            return times;
        }
        let now = began.elapsed();
        let since = if now < due {
            std::thread::sleep(due - now);
            began.elapsed()
        } else {
            due
        };
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let read = socket.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "the host answers");
        times.push((began.elapsed() - since).as_secs_f64() * 1e6);
    }
}
