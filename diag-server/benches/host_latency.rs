//! What the host's clients notice while diag's listener is abused: latency of an axum service under closed-loop load, in rounds
//! with and without the abuse, in turns, in one run. The target is less than 5 %.
//!
//! ```text
//! cargo bench -p diag-server --bench host_latency -- [--rounds N] [--seconds N]
//! ```
//!
//! Three sorts of rounds. *Quiet*: nobody abuses anything. *Abused*: another process opens 500 connections at once again and again,
//! sends endless headers, huge ones and bad parameters, as fast as it is answered. *Elsewhere*: the same process does the same to
//! a listener of its own, which closes each connection; what moves then is the cost of the abusers on this machine, not of diag. The
//! abusers run with the lowest priority. Figures are medians over the rounds; a difference counts beyond the spread.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Clients of the host, each with one request at a time.
const CLIENTS: usize = 2;
const ABUSERS: usize = 4;
const CONNECTIONS: usize = 500;
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Quiet,
    Elsewhere,
    Abused,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| {
        let at = arguments.iter().position(|a| a == flag)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(at) = arguments.iter().position(|a| a == "--abuse") {
        return abuse(arguments.get(at + 1).and_then(|a| a.parse().ok()));
    }
    let (rounds, seconds) = (value("--rounds").unwrap_or(9), value("--seconds").unwrap_or(4));

    let diag = diag::Diag::builder().service_name("bench").listen(LOCAL).start().expect("diag");
    let server = diag_server::serve(&diag).expect("the listener");
    let host = host();
    let mut results: Vec<(Sort, Vec<Duration>)> = Vec::new();
    for round in 0..rounds {
        let mut order = [Sort::Quiet, Sort::Elsewhere, Sort::Abused];
        order.rotate_left(round as usize % 3);
        for sort in order {
            let abusers = match sort {
                Sort::Quiet => None,
                Sort::Elsewhere => Some(Abusers::start(None)),
                Sort::Abused => Some(Abusers::start(Some(server.local_addr()))),
            };
            load(host, WARM_UP);
            results.push((sort, load(host, Duration::from_secs(seconds))));
            drop(abusers);
        }
    }
    println!(
        "{rounds} rounds of {seconds} s each, {CLIENTS} clients; medians over the rounds (least, most)\n"
    );
    println!("{:<12}{:>12}{:>28}{:>28}", "", "requests/s", "p50 µs", "p99 µs");
    let quiet = row(&results, Sort::Quiet, "quiet", seconds);
    let elsewhere = row(&results, Sort::Elsewhere, "elsewhere", seconds);
    let abused = row(&results, Sort::Abused, "abused", seconds);
    println!("\nround by round, median of the differences (quartiles)");
    compare("abused against quiet", &abused, &quiet);
    compare("abused against elsewhere", &abused, &elsewhere);
    compare("elsewhere against quiet", &elsewhere, &quiet);
    let mut metrics = TcpStream::connect(server.local_addr()).expect("the listener goes on");
    write!(metrics, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    metrics.read_to_string(&mut text).unwrap();
    println!();
    text.lines().filter(|l| l.starts_with("diag_server_")).for_each(|line| println!("{line}"));
}

/// Prints a line; gives p50 and p99 of each round, in microseconds.
fn row(results: &[(Sort, Vec<Duration>)], sort: Sort, name: &str, seconds: u64) -> [Vec<f64>; 2] {
    let rounds = || results.iter().filter(|(s, _)| *s == sort).map(|(_, times)| times);
    let quantile = |q: f64| -> Vec<f64> {
        let one = |times: &Vec<Duration>| {
            let micros: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1e6).collect();
            at(&micros, q)
        };
        rounds().map(one).collect()
    };
    let rates: Vec<f64> = rounds().map(|times| times.len() as f64 / seconds as f64).collect();
    let [p50, p99] = [0.5, 0.99].map(quantile);
    let cell = |v: &[f64]| format!("{:.0} ({:.0}, {:.0})", at(v, 0.5), at(v, 0.0), at(v, 1.0));
    println!("{name:<12}{:>12.0}{:>28}{:>28}", at(&rates, 0.5), cell(&p50), cell(&p99));
    [p50, p99]
}

fn at(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * quantile) as usize]
}

/// What else the machine does changes slowly: neighbours in time are compared.
fn compare(what: &str, new: &[Vec<f64>; 2], base: &[Vec<f64>; 2]) {
    let cell = |i: usize| {
        let percent: Vec<f64> =
            new[i].iter().zip(&base[i]).map(|(new, base)| (new / base - 1.0) * 100.0).collect();
        format!("{:+.1} % ({:+.1}, {:+.1})", at(&percent, 0.5), at(&percent, 0.25), at(&percent, 0.75))
    };
    println!("{what:<26}p50 {:>24}    p99 {:>24}", cell(0), cell(1));
}

/// A service that does some work and allocates for each request, on a runtime of its own.
fn host() -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(LOCAL)).unwrap();
    let addr = listener.local_addr().unwrap();
    let work = || async {
        let rows: Vec<String> = (0..2000u32).map(|n| format!("row {n}")).collect();
        rows.iter().map(|row| row.len()).sum::<usize>().to_string()
    };
    runtime.spawn(async move { axum::serve(listener, Router::new().route("/", get(work))).await });
    // It serves until the process ends.
    std::mem::forget(runtime);
    addr
}

/// The latencies of a closed loop of clients, each on one connection.
fn load(host: SocketAddr, length: Duration) -> Vec<Duration> {
    let client = || {
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_nodelay(true).unwrap();
        let (end, mut times, mut answer) = (Instant::now() + length, Vec::new(), [0; 4096]);
        while Instant::now() < end {
            let started = Instant::now();
            socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            assert!(socket.read(&mut answer).unwrap() > 0);
            times.push(started.elapsed());
            // Some idle time: a host at its limit is slow whatever else happens.
            std::thread::sleep(Duration::from_micros(500));
        }
        times
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|c| c.join().unwrap()).collect()
    })
}

/// The process that abuses. It ends with the value.
struct Abusers(Child);

impl Abusers {
    fn start(target: Option<SocketAddr>) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(exe).arg("--abuse");
        let target = target.map_or("elsewhere".to_owned(), |addr| addr.to_string());
        let mut child = command.arg(target).stdout(Stdio::piped()).spawn().expect("nice is there");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "abusing\n");
        Self(child)
    }
}

impl Drop for Abusers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn abuse(target: Option<SocketAddr>) {
    let target = target.unwrap_or_else(closing_listener);
    println!("abusing");
    // Until the process is killed.
    std::thread::scope(|scope| {
        for number in 0..ABUSERS {
            scope.spawn(move || {
                loop {
                    one_turn(target, number);
                }
            });
        }
    });
}

fn closing_listener() -> SocketAddr {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    addr
}

/// As the number of the abuser says.
fn one_turn(target: SocketAddr, number: usize) {
    let connect = || {
        let socket = TcpStream::connect_timeout(&target, Duration::from_secs(1)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        Some(socket)
    };
    let one = |request: &[u8]| {
        if let Some(mut socket) = connect() {
            let _ = socket.write_all(request);
            let _ = socket.read_to_end(&mut Vec::new());
        }
    };
    match number % ABUSERS {
        // Open all at once, say nothing, and go.
        0 => drop((0..CONNECTIONS).filter_map(|_| connect()).collect::<Vec<_>>()),
        // Endless headers.
        1 => {
            let mut socket = connect();
            for _ in 0..100 {
                let _ = socket.as_mut().map(|s| s.write_all(b"X-Drip: 1\r\n"));
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        // Bad parameters, one connection each.
        2 => one(
            b"GET /debug/pprof/heap?seconds=never HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        // Huge headers, and a hundred requests in one packet.
        _ => {
            one(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200 << 10)).as_bytes());
            let many = "GET /debug/diag/api/v1/status?x HTTP/1.1\r\nHost: nobody.example\r\n\r\n".repeat(100);
            one(many.as_bytes());
        }
    }
}
