//! A process to look at: a listener of its own and known allocations that stay.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "not every test binary needs all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "part of tests")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use diag::Diag;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// Far above anything that is waited for; only a failing test waits so long.
const LONG: Duration = Duration::from_secs(120);
/// What [`retain`] keeps: far more than anything else here, in pieces that are sampled nearly always.
pub const RETAINED_BYTES: usize = 32 << 20;
const PIECE_BYTES: usize = 64 << 10;
pub const PERIOD_BYTES: u64 = 16 << 10;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

trait Store {
    fn keep(&mut self, bytes: usize);
}

struct Ledger;

impl Store for Ledger {
    #[inline(never)]
    fn keep(&mut self, bytes: usize) {
        for _ in 0..bytes / PIECE_BYTES {
            let piece = make_piece();
            KEPT.lock().unwrap().push(piece);
        }
    }
}

/// Always inlined: it has a name in a profile only if inlined frames are expanded.
#[inline(always)]
fn make_piece() -> Vec<u8> {
    std::hint::black_box(vec![1u8; PIECE_BYTES])
}

/// Keeps so many bytes for the life of the process.
///
/// On a new thread: jemalloc draws a thread's next sampling point ahead, so that a thread which is older than the start
/// of diag goes on with the former period until then.
pub fn retain(bytes: usize) {
    let keep = move || std::hint::black_box(&mut Ledger as &mut dyn Store).keep(bytes);
    std::thread::spawn(keep).join().expect("no panic");
}

/// Keeps a little, again and again, until the flag is set; gives the number of bytes.
#[inline(never)]
pub fn drip(stop: &AtomicBool) -> usize {
    let mut bytes = 0;
    while !stop.load(Ordering::Relaxed) {
        KEPT.lock().unwrap().push(std::hint::black_box(vec![2u8; PIECE_BYTES]));
        bytes += PIECE_BYTES;
        std::thread::sleep(Duration::from_millis(10));
    }
    bytes
}

/// Tests that wait for `seconds=` take turns: one of them takes all the places.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The listener with [`RETAINED_BYTES`] behind it.
pub fn server() -> SocketAddr {
    static SERVER: OnceLock<(SocketAddr, Diag)> = OnceLock::new();
    SERVER
        .get_or_init(|| {
            let diag = Diag::builder()
                .service_name("shop & sons <test>")
                .sample_bytes(PERIOD_BYTES)
                .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
                .start()
                .expect("one start");
            let server = diag_server::serve(&diag).expect("a listener");
            retain(RETAINED_BYTES);
            (server.local_addr(), diag)
        })
        .0
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

/// Sends a request and leaves the connection open.
pub fn ask(addr: SocketAddr, request: &str) -> TcpStream {
    let mut socket = TcpStream::connect(addr).expect("the listener");
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
    write!(socket, "{request} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").expect("sent");
    socket
}

/// Runs a program, and gives what it printed to both streams.
pub fn run(program: &str, arguments: &[&str], scratch: &Path) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .env("PPROF_TMPDIR", scratch)
        .env("HOME", scratch)
        .current_dir(scratch)
        .output()
        .expect("the program runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Whether a client is installed. Without it a test is skipped aloud, or fails where clients are required.
pub fn has_client(program: &str, argument: &str) -> bool {
    if Command::new(program).arg(argument).output().is_ok_and(|o| o.status.success()) {
        return true;
    }
    let required = std::env::var_os("DIAG_REQUIRE_CLIENTS").is_some_and(|v| v == "1");
    assert!(!required, "{program} is not installed, and DIAG_REQUIRE_CLIENTS=1");
    println!("SKIPPED: {program} is not installed");
    false
}

pub fn read(mut socket: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).expect("an answer");
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("headers");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

pub fn get(addr: SocketAddr, path: &str) -> Answer {
    read(ask(addr, &format!("GET {path}")))
}

pub fn get_ok(addr: SocketAddr, path: &str) -> Answer {
    let answer = get(addr, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}
