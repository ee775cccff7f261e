//! Each embedding gives a heap profile that names the service's own code.

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use diag::profile::{LabelValue, Profile, pprof};

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

fn start(program: &str, flags: &[&str], captures: Option<&Path>) -> Running {
    let mut command = Command::new(program);
    command.args(["--seconds", "600", "--rate", "50"]).args(flags).env("DIAG_SAMPLE_BYTES", "65536");
    if let Some(dir) = captures {
        command.env("DIAG_CAPTURE_DIR", dir).env("DIAG_CAPTURE_EVERY", "1s");
    }
    Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts"))
}

/// The address of the line that is promised: `listening on http://127.0.0.1:PORT`.
fn address(program: &mut Running) -> String {
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned()
}

fn get(addr: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    answer.split_off(head)
}

fn names(profile: &Profile, function: &str) -> bool {
    profile.functions().iter().any(|f| profile.str(f.name).contains(function))
}

/// The catalogue of the shop is some 16 MiB and lives for ever: 250 samples or so at a period of 64 KiB.
fn heap_names_the_catalogue(program: &str) {
    let mut running = start(program, &[], None);
    let addr = address(&mut running);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heap = pprof::decode(&get(&addr, "/debug/pprof/heap?symbolize=true")).expect("a profile");
        if names(&heap, "examples::shop::Item::load") {
            return;
        }
        assert!(Instant::now() < deadline, "{program} does not name Item::load");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn axum_service() {
    heap_names_the_catalogue(env!("CARGO_BIN_EXE_embed_axum"));
}

#[test]
fn axum_counts_its_requests_as_work() {
    let mut running = start(env!("CARGO_BIN_EXE_embed_axum"), &[], None);
    let addr = address(&mut running);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = String::from_utf8(get(&addr, "/metrics")).expect("text");
        let units =
            metrics.lines().find_map(|l| l.strip_prefix("diag_work_units_total ")).expect("the counter");
        let units: u64 = units.parse().expect("a number");
        let served = String::from_utf8(get(&addr, "/served")).expect("text");
        let served: u64 = served.trim().parse().expect("a number");
        assert!(units <= served, "{units} units, {served} requests: something else counts as work");
        if units >= 20 {
            return;
        }
        assert!(Instant::now() < deadline, "{units} units of {served} requests");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The shop remembers sessions, which are born on one route.
#[test]
fn axum_says_on_which_route_memory_was_born() {
    let mut running = start(env!("CARGO_BIN_EXE_embed_axum"), &["--rate", "500"], None);
    let addr = address(&mut running);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heap = get(&addr, "/debug/pprof/heap?ages=1&symbolize=false");
        let heap = pprof::decode(&heap).expect("a profile");
        let routes: Vec<&str> = heap
            .samples()
            .flat_map(|sample| heap.label_set(sample.labels))
            .filter(|label| heap.str(label.key) == "route")
            .filter_map(|label| match label.value {
                LabelValue::Str(route) => Some(heap.str(route)),
                LabelValue::Num(..) => None,
            })
            .collect();
        if routes.contains(&"/login") {
            return;
        }
        assert!(Instant::now() < deadline, "{routes:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn threads_without_a_runtime() {
    heap_names_the_catalogue(env!("CARGO_BIN_EXE_embed_threads"));
}

#[test]
fn own_jemallocator() {
    heap_names_the_catalogue(env!("CARGO_BIN_EXE_embed_jemallocator"));
}

#[test]
fn captures_without_a_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let _running = start(env!("CARGO_BIN_EXE_embed_threads"), &["--listen", "none"], Some(dir.path()));
    let deadline = Instant::now() + PATIENCE;
    let heaps = loop {
        let heaps: Vec<PathBuf> = fs::read_dir(dir.path())
            .expect("the directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().ends_with(".pb.gz"))
            .collect();
        if heaps.len() >= 2 {
            break heaps;
        }
        assert!(Instant::now() < deadline, "no two captures: {heaps:?}");
        thread::sleep(Duration::from_millis(100));
    };
    for heap in heaps {
        let profile = pprof::decode(&fs::read(&heap).expect("a capture")).expect("whole files only");
        assert_eq!(profile.sample_types().len(), 4, "{}", heap.display());
    }
}
