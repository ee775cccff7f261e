//! Under real load each leaky program is found within a minute, with the right function first; its twin and the look-alikes
//! are not accused. Found is a leak, or unbounded so far: a process of a minute in which more grows than is level, which
//! happens to those that leak in several places, is not accused yet.
//!
//! All programs run at once, at a modest rate, for a minute. `DIAG_VERDICT_RUNS=20` repeats it with other seeds,
//! `DIAG_VERDICT_ONLY=leaky_map` runs only those of that name. Beside each
//! verdict stands what `go tool pprof -diff_base` ranks first, where there is a Go (`--nocapture` shows the table).

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use diag::leak::{Report, SuspectVerdict, Verdict};

mod tasks;

const WATCHED: Duration = Duration::from_secs(61);
const FIRST_PROFILE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// So many of the leaky programs may be named without being called a leak yet. Seen: none in 18 of 20 runs, one in two.
const NOT_YET: usize = 2;

/// A program, its flags, and the function that leaks, if any.
struct Case {
    name: &'static str,
    program: &'static str,
    flags: &'static [&'static str],
    leaks: Option<&'static str>,
}

macro_rules! cases {
    (leaks { $($program:ident $site:literal,)* } innocent { $($alike:ident $flags:expr,)* }) => {
        vec![
            $(
                Case {
                    name: stringify!($program),
                    program: env!(concat!("CARGO_BIN_EXE_", stringify!($program))),
                    flags: &["--rate", "100"],
                    leaks: Some($site),
                },
                Case {
                    name: concat!(stringify!($program), " --fixed"),
                    program: env!(concat!("CARGO_BIN_EXE_", stringify!($program))),
                    flags: &["--rate", "100", "--fixed"],
                    leaks: None,
                },
            )*
            $(
                Case {
                    name: stringify!($alike),
                    program: env!(concat!("CARGO_BIN_EXE_", stringify!($alike))),
                    flags: $flags,
                    leaks: None,
                },
            )*
        ]
    };
}

/// All, or those that the variable names.
fn cases() -> Vec<Case> {
    let only = std::env::var("DIAG_VERDICT_ONLY").unwrap_or_default();
    let cases: Vec<Case> = all_cases().into_iter().filter(|case| case.name.contains(&only)).collect();
    assert!(!cases.is_empty(), "DIAG_VERDICT_ONLY={only} names no program");
    cases
}

fn all_cases() -> Vec<Case> {
    cases! {
        leaks {
        leaky_map "leaky_map::SessionStore::remember",
        leaky_channel "leaky_channel::AuditTrail::record",
        leaky_cycle "leaky_cycle::SupportDesk::open_chat",
        leaky_task "leaky_task::push_prices",
        leaky_slice "leaky_slice::Gallery::decode_picture",
        leaky_box "leaky_box::RuleBook::compile",
        leaky_labels "leaky_labels::Registry::observe",
        }
        // At this rate the cache is full after half a minute, and a tooth of the saw takes ten seconds.
        innocent {
        warm_cache &["--rate", "500"],
        saw_batch &["--rate", "500"],
        }
    }
}

/// A program that ends with the test.
struct Running {
    child: Child,
    addr: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(program: &str, flags: &[&str], seed: u32) -> Running {
    let mut child = Command::new(program)
        .args(["--seconds", "600", "--listen", "127.0.0.1:0", "--seed", &seed.to_string()])
        .args(flags)
        .env("DIAG_SAMPLE_BYTES", "65536")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let addr = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
    Running { child, addr: addr.to_owned() }
}

fn get(addr: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    answer.split_off(head)
}

/// The first row of `go tool pprof -top -diff_base`, or why there is none.
fn go_first(base: &[u8], new: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let (base_file, new_file) = (dir.path().join("base.pb.gz"), dir.path().join("new.pb.gz"));
    fs::write(&base_file, base).expect("a file");
    fs::write(&new_file, new).expect("a file");
    let run = Command::new("go")
        .args(["tool", "pprof", "-top", "-symbolize=none", "-sample_index=inuse_space", "-diff_base"])
        .arg(&base_file)
        .arg(&new_file)
        .stderr(Stdio::null())
        .output();
    let Ok(out) = run else { return "(no go)".to_owned() };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after_head = text.lines().skip_while(|l| !l.contains("flat%")).nth(1).unwrap_or("(nothing)");
    after_head.split_whitespace().skip(5).collect::<Vec<_>>().join(" ")
}

fn judge(addr: &str) -> Report {
    serde_json::from_slice(&get(addr, "/debug/diag/api/v1/leaks")).expect("a verdict")
}

fn run_once(seed: u32, wrong: &mut Vec<String>) {
    let started = Instant::now();
    let running: Vec<(Case, Running)> = cases()
        .into_iter()
        .map(|case| (start(case.program, case.flags, seed), case))
        .map(|(r, c)| (c, r))
        .collect();
    thread::sleep(FIRST_PROFILE.saturating_sub(started.elapsed()));
    let bases: Vec<Vec<u8>> = running.iter().map(|(_, r)| get(&r.addr, "/debug/pprof/heap")).collect();
    thread::sleep(WATCHED.saturating_sub(started.elapsed()));
    println!("seed {seed}");
    let (mut leaky, mut leaks) = (0, 0);
    for ((case, program), base) in running.iter().zip(&bases) {
        let report = judge(&program.addr);
        let first = report.suspects.iter().find(|s| s.verdict != SuspectVerdict::Saturating);
        let named = first.map_or("-", |s| s.site.as_str());
        let go = go_first(base, &get(&program.addr, "/debug/pprof/heap"));
        println!("  {:<24} {:?}: {named}; go: {go}", case.name, report.verdict);
        let right = match case.leaks {
            Some(site) => report.verdict != Verdict::NoLeak && named.contains(site),
            None => report.verdict != Verdict::Leak,
        };
        if !right {
            wrong.push(format!("seed {seed}, {}: {report}", case.name));
        }
        leaky += usize::from(case.leaks.is_some());
        leaks += usize::from(case.leaks.is_some() && report.verdict == Verdict::Leak);
    }
    if leaks + NOT_YET < leaky {
        wrong.push(format!("seed {seed}: only {leaks} leaky programs were called that"));
    }
}

#[test]
fn leaks_are_named_and_innocents_are_not() {
    let runs: u32 = std::env::var("DIAG_VERDICT_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut wrong = Vec::new();
    for seed in 1..=runs {
        run_once(seed, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
