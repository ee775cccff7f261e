//! The real binary in a scratch directory, and a small HTTP server that misbehaves on demand.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

pub mod aging;
pub mod cgroup;
pub mod server;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use diag::profile::{
    Function, Label, LabelValue, Line, Mapping, MappingSymbols, Period, ProfileBuilder, ValueType,
};

/// What a run of the binary gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stdout_bytes: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// Asserts exit code, one line on stderr that contains all of `says`, and nothing on stdout.
    #[track_caller]
    pub fn fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "not one line: {}", self.stderr);
        for s in says {
            assert!(self.stderr.contains(s), "{s:?} is not in: {}", self.stderr);
        }
        assert_eq!(self.stdout, "");
    }

    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert_eq!(self.code, 0, "stderr: {}", self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        self.ok();
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// `diag-cli` with a clean environment.
pub fn command(dir: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_diag-cli"));
    c.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("DIAG_") || text.to_ascii_lowercase().ends_with("_proxy") || text == "NO_COLOR" {
            c.env_remove(&name);
        }
    }
    c.env("XDG_CACHE_HOME", dir.join("cache"));
    c
}

pub fn run<S: AsRef<std::ffi::OsStr>>(dir: &Path, args: &[S]) -> Run {
    let mut c = command(dir);
    c.args(args);
    finish(c, &[])
}

pub fn run_with_stdin<S: AsRef<std::ffi::OsStr>>(dir: &Path, args: &[S], stdin: &[u8]) -> Run {
    let mut c = command(dir);
    c.args(args).stdin(Stdio::piped());
    finish(c, stdin)
}

/// Runs to the end. The limit is for hangs: a demo on a busy machine takes a minute.
pub fn finish(mut c: Command, stdin: &[u8]) -> Run {
    let mut child = c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(mut pipe) = child.stdin.take() {
        let _ = pipe.write_all(stdin);
    }
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    let out = std::thread::spawn(move || read_all(&mut out));
    let err = std::thread::spawn(move || read_all(&mut err));
    let status = wait(&mut child, Duration::from_secs(240));
    let stdout_bytes = out.join().unwrap();
    Run {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout_bytes).into_owned(),
        stdout_bytes,
        stderr: String::from_utf8_lossy(&err.join().unwrap()).into_owned(),
    }
}

pub fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still running after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_all(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// An example program: beside this crate's binary, where `cargo test --workspace` has built it; else built now.
pub fn example(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_diag-cli")).with_file_name(name);
    if !beside.is_file() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "examples", "--bin", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().unwrap().success() && beside.is_file(), "{} is not built", beside.display());
    }
    beside
}

/// A stack (leaf first), bytes in use, objects in use.
pub type Row<'a> = (&'a [&'a str], i64, i64);

/// A heap profile with names, as diag makes them.
pub fn heap(time_unix_s: i64, rows: &[Row<'_>]) -> diag::profile::Profile {
    let mut b = ProfileBuilder::new(
        [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ]
        .map(|(k, u)| ValueType::new(k, u))
        .to_vec(),
    );
    b.meta_mut().default_sample_type = Some(3);
    b.meta_mut().period = Some(Period { value_type: ValueType::new("space", "bytes"), value: 524_288 });
    b.meta_mut().time_unix_ns = Some(time_unix_s * 1_000_000_000);
    let (file, build_id, empty) =
        (b.str("/opt/svc/orders"), b.str("00112233445566778899aabbccddeeff00112233"), b.str(""));
    let mapping = b.mapping(Mapping {
        start: 0x1000,
        limit: 0x100_0000,
        file_offset: 0,
        file,
        build_id,
        symbols: MappingSymbols::ALL,
    });
    let mut names: Vec<&str> = Vec::new();
    for (stack, bytes, objects) in rows {
        let mut locations = Vec::new();
        for name in *stack {
            let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            let (name_id, file) = (b.str(name), b.str("/src/orders/src/lib.rs"));
            let function = b.function(Function { name: name_id, system_name: empty, file, start_line: 1 });
            locations.push(b.location(
                Some(mapping),
                0x2000 + 16 * at as u64,
                &[Line { function, line: 10 + at as i64 }],
            ));
        }
        let stack = b.stack(&locations);
        let (key, unit) = (b.str("bytes"), b.str("bytes"));
        let labels = b.labels(&[Label { key, value: LabelValue::Num(bytes / (*objects).max(1), unit) }]);
        b.sample(stack, labels, &[objects * 2, bytes * 2, *objects, *bytes]);
    }
    b.finish().unwrap()
}

/// A profile of time over 2 s with names, as diag makes them: stacks with nanoseconds and samples.
pub fn of_time(kind: &str, time_unix_s: i64, rows: &[Row<'_>]) -> diag::profile::Profile {
    let types = vec![ValueType::new("samples", "count"), ValueType::new(kind, "nanoseconds")];
    let mut b = ProfileBuilder::new(types);
    let meta = b.meta_mut();
    meta.default_sample_type = Some(1);
    meta.period = Some(Period { value_type: ValueType::new(kind, "nanoseconds"), value: 10_000_000 });
    meta.time_unix_ns = Some(time_unix_s * 1_000_000_000);
    meta.duration_ns = Some(2_000_000_000);
    meta.comments.push("cpu_source=thread_timers: perf_event_open is refused".to_owned());
    meta.comments.push("cpu_time_ns=1000000000 accounted=0.9970".to_owned());
    let (empty, none) = (b.str(""), b.labels(&[]));
    let mut names: Vec<&str> = Vec::new();
    for (stack, ns, samples) in rows {
        let mut locations = Vec::new();
        for name in *stack {
            let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            let (name, file) = (b.str(name), b.str("/src/shop/src/lib.rs"));
            let function = b.function(Function { name, system_name: empty, file, start_line: 1 });
            let line = Line { function, line: 10 + at as i64 };
            locations.push(b.location(None, 0x2000 + 16 * at as u64, &[line]));
        }
        let stack = b.stack(&locations);
        b.sample(stack, none, &[*samples, *ns]);
    }
    b.finish().unwrap()
}

/// A heap profile of addresses in a program that is not on this machine.
pub fn unnamed(file: &str) -> diag::profile::Profile {
    let mut b = ProfileBuilder::new(vec![ValueType::new("inuse_space", "bytes")]);
    let (file, build_id) = (b.str(file), b.str("ffeeddccbbaa99887766554433221100ffeeddcc"));
    let symbols = MappingSymbols::default();
    let mapping =
        b.mapping(Mapping { start: 0x1000, limit: 0x9000, file_offset: 0, file, build_id, symbols });
    let locations = [b.location(Some(mapping), 0x2000, &[]), b.location(Some(mapping), 0x3000, &[])];
    let (stack, none) = (b.stack(&locations), b.labels(&[]));
    b.sample(stack, none, &[1 << 20]);
    b.finish().unwrap()
}

/// Writes a profile as gzipped pprof.
pub fn save(path: &Path, profile: &diag::profile::Profile) {
    std::fs::write(path, diag::profile::pprof::encode_gz(profile)).unwrap();
}

/// Everything in a directory, hidden files too, except the symbol cache.
pub fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n != "cache")
        .collect();
    names.sort();
    names
}
