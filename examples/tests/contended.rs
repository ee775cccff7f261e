//! The profiles of contention name who makes others wait, and who waits; the twin that gives its locks back has next to nothing.

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use diag::profile::pprof;

/// Far more than is needed; only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(flags: &[&str]) -> (Running, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_contended"))
        .args(["--seconds", "600"])
        .args(flags)
        .envs([("DIAG_MUTEX_FRACTION", "1"), ("DIAG_BLOCK_RATE_NS", "1")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(program.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening on http://").expect("an address").to_owned();
    (Running(program), address)
}

/// Nanoseconds by the function that stands first, all since the start.
fn delays(address: &str, path: &str) -> BTreeMap<String, i64> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let profile = pprof::decode(&answer.split_off(head)).expect("a profile");
    let mut delays = BTreeMap::new();
    for sample in profile.samples() {
        let leaf = profile.stack(sample.stack).first().and_then(|&l| profile.location(l).lines.first());
        let name = leaf.map_or("", |line| profile.str(profile.function(line.function).name));
        *delays.entry(name.to_owned()).or_default() += sample.values.get(1).copied().unwrap_or(0);
    }
    delays
}

/// The delay at functions whose names end so.
fn at(delays: &BTreeMap<String, i64>, end: &str) -> i64 {
    delays.iter().filter(|(name, _)| name.ends_with(end)).map(|(_, ns)| ns).sum()
}

const SLOW: [(&str, &str); 4] = [
    ("/debug/pprof/mutex", "Prices::reprice_all"),
    ("/debug/pprof/mutex", "settle::{{closure}}"),
    ("/debug/pprof/block", "Prices::quote"),
    ("/debug/pprof/block", "check_out::{{closure}}"),
];

#[test]
fn who_makes_others_wait_and_who_waits() {
    let (_slow, address) = start(&[]);
    let (_fixed, fixed) = start(&["--fixed"]);
    let end = Instant::now() + PATIENCE;
    for (path, function) in SLOW {
        // Half a second of waiting in all.
        while at(&delays(&address, path), function) < 500_000_000 {
            assert!(Instant::now() < end, "{path} {function}: {:#?}", delays(&address, path));
            thread::sleep(Duration::from_millis(100));
        }
        // Both have run alike for as long; it is asked later.
        let (slow, twin) = (at(&delays(&address, path), function), at(&delays(&fixed, path), function));
        assert!(twin < slow / 2, "{path} {function}: {twin} ns with --fixed, {slow} without");
    }
}
