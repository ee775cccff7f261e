//! A leaking service is put into a memory cgroup and runs until the kernel kills it. What it left behind was written before, is whole,
//! and names the leak.
//!
//! `DIAG_KILL_RUNS=20` repeats it (one run takes up to a minute or two, the time of the leak). Skipped, with the reason, where no memory
//! cgroup can be made; with `DIAG_REQUIRE_CLIENTS=1` that is a failure where the cgroup file system can be written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{finish, run};
use diag::profile::pprof;
use serde_json::Value;

const LIMIT_BYTES: u64 = 128 << 20;
const LEAK: &str = "SessionStore::remember";
/// The default rule, and one for the last moment.
const RULES: &str = r#"
[[rule]]
name = "near_limit"
when = { limit = "90%" }
do = ["heap", "memory"]

[[rule]]
name = "last_call"
when = { limit = "98%" }
do = ["heap"]
"#;
/// Far more than the leak needs.
const PATIENCE: Duration = Duration::from_secs(300);

/// A memory cgroup of this test's own; removed when dropped.
struct Cgroup {
    dir: PathBuf,
    version: u8,
}

/// Why there is none, and whether the file system could be written all the same.
struct NoCgroup {
    why: String,
    writable: bool,
}

impl Cgroup {
    /// Below the own cgroup, or where that holds processes, which v2 does not allow, below one above it.
    fn make(name: &str) -> Result<Self, NoCgroup> {
        let none = |why: String, writable| Err(NoCgroup { why, writable });
        let waterline = diag::memory::read();
        let own = match waterline.cgroup.as_result() {
            Ok(own) => own,
            Err(why) => return none(why.to_owned(), false),
        };
        let mut reason = String::new();
        let mut writable = false;
        for above in Path::new(&own.directory).ancestors().take_while(|d| d.join("cgroup.procs").exists()) {
            if own.version == 2 {
                // Refused where the cgroup holds processes; then the next one up.
                let _ = fs::write(above.join("cgroup.subtree_control"), "+memory");
            }
            let cgroup = Self { dir: above.join(name), version: own.version };
            match fs::create_dir(&cgroup.dir) {
                // In v2 those below have limits only where the controller is handed down.
                Ok(()) => {
                    let handed = fs::read_to_string(above.join("cgroup.subtree_control")).unwrap_or_default();
                    writable |= own.version == 1 || handed.split_whitespace().any(|c| c == "memory");
                }
                Err(e) => {
                    reason = format!("{}: {e}", cgroup.dir.display());
                    // Nothing to remove.
                    std::mem::forget(cgroup);
                    continue;
                }
            }
            match cgroup.limit() {
                Ok(()) => return Ok(cgroup),
                Err(e) => reason = format!("{} has no limit to set: {e}", cgroup.dir.display()),
            }
        }
        none(reason, writable)
    }

    fn limit(&self) -> std::io::Result<()> {
        let (limit, swap, swap_bytes) = match self.version {
            1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", LIMIT_BYTES),
            _ => ("memory.max", "memory.swap.max", 0),
        };
        fs::write(self.dir.join(limit), LIMIT_BYTES.to_string())?;
        // Not there where swap is not counted.
        let _ = fs::write(self.dir.join(swap), swap_bytes.to_string());
        Ok(())
    }

    /// What can be seen of a process that should have been killed by now.
    fn scene(&self, pid: u32, captures: &Path) -> String {
        let mut seen = String::new();
        let files = [
            "memory.usage_in_bytes",
            "memory.current",
            "memory.failcnt",
            "memory.oom_control",
            "memory.stat",
        ];
        let of_cgroup = files.map(|f| self.dir.join(f));
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let of_process = ["status", "io"].map(|f| proc.join(f));
        for file in of_cgroup.iter().chain(&of_process) {
            if let Ok(text) = fs::read_to_string(file) {
                let _ = writeln!(seen, "{}\n{text}", file.display());
            }
        }
        for thread in fs::read_dir(proc.join("task")).into_iter().flatten().flatten() {
            let read = |f: &str| fs::read_to_string(thread.path().join(f)).unwrap_or_default();
            let _ = writeln!(seen, "{} {} {}", read("comm").trim(), read("wchan"), read("stat").trim());
        }
        for file in fs::read_dir(captures).into_iter().flatten().flatten() {
            let _ = writeln!(seen, "{} {}", file.path().display(), file.metadata().map_or(0, |m| m.len()));
        }
        seen
    }

    fn kills(&self) -> u64 {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("oom_kill "));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A killed process is gone a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.dir).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The example that leaks: beside this crate's binary, where `cargo test --workspace` has built it; else built now.
fn leaky_map() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_diag-cli")).with_file_name("leaky_map");
    if !beside.is_file() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--package", "examples", "--bin", "leaky_map"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().unwrap().success() && beside.is_file(), "{} is not built", beside.display());
    }
    beside
}

/// Reads the program, so that its pages are in memory and count for this test's own cgroup. Counted in the small one, the kernel
/// would take them first, again and again: a process in such a state crawls for minutes and is not killed.
fn keep_in_memory(program: &Path) {
    let mut file = fs::File::open(program).unwrap();
    std::io::copy(&mut file, &mut std::io::sink()).unwrap();
}

/// Runs until the kernel ends it.
fn run_until_killed(cgroup: &Cgroup, captures: &Path, rules: &Path) {
    let program = leaky_map();
    keep_in_memory(&program);
    let mut shell = Command::new("sh");
    // In the cgroup before it is the program, so that all it allocates counts there.
    shell.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&cgroup.dir).arg(&program);
    shell.args(["--rate", "1500", "--seconds", "300", "--listen", "none"]);
    shell.env("DIAG_CAPTURE_DIR", captures).env("DIAG_CAPTURE_EVERY", "5s").env("DIAG_RULES", rules);
    let mut child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(500));
                keep_in_memory(&program);
            }
            None => {
                let seen = cgroup.scene(child.id(), captures);
                let _ = child.kill();
                let _ = child.wait();
                panic!("not killed within {} s\n{seen}", PATIENCE.as_secs());
            }
        }
    };
    assert_eq!(status.signal(), Some(9), "{status}");
    assert!(cgroup.kills() >= 1, "it was not the kernel that killed it");
}

/// One run: what was left behind, checked by the command's own verbs. Gives a line about it.
fn one_run(dir: &Path, cgroup: &Cgroup) -> String {
    let (captures, rules) = (dir.join("captures"), dir.join("rules.toml"));
    fs::create_dir(&captures).unwrap();
    fs::write(&rules, RULES).unwrap();
    let from = Instant::now();
    run_until_killed(cgroup, &captures, &rules);
    let took_s = from.elapsed().as_secs_f64();

    let name = captures.to_str().unwrap();
    let list = run(dir, &["captures", name, "--by-rule", "--format", "json"]).json();
    let found = list["captures"].as_array().unwrap();
    let of = |rule: &str| found.iter().find(|c| c["rule"] == rule);
    let near = of("near_limit").unwrap_or_else(|| panic!("no capture of near_limit: {list}"));
    let last = of("last_call").unwrap_or_else(|| panic!("no capture of last_call: {list}"));
    assert!(near["why"].as_str().unwrap().contains("128.0 MiB"), "{near}");
    let files: Vec<&Value> = found.iter().flat_map(|c| c["files"].as_array().unwrap()).collect();
    let heaps: Vec<PathBuf> = files
        .iter()
        .filter(|f| f["kind"] == "heap")
        .map(|f| captures.join(f["file"].as_str().unwrap()))
        .collect();
    // Whole: a cut gzip does not decode.
    for heap in &heaps {
        let profile =
            pprof::decode(&fs::read(heap).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", heap.display()));
        assert!(profile.meta().comments.iter().any(|c| c.starts_with("reason=")), "{}", heap.display());
    }
    let text = run(dir, &["captures", name]);
    assert!(
        text.ok().stdout.contains("near_limit: ") && text.stdout.contains("next: diag-cli leaks"),
        "{}",
        text.stdout
    );

    let top = run(dir, &["top", heaps[0].to_str().unwrap(), "--cum", "-n", "10"]);
    assert!(top.ok().stdout.contains(LEAK), "{}", top.stdout);
    let mut leaks = common::command(dir);
    leaks.args(["leaks", name, "--format", "json"]);
    let leaks = finish(leaks, &[]);
    let report: Value =
        serde_json::from_str(&leaks.stdout).unwrap_or_else(|e| panic!("{e}: {}", leaks.stderr));
    let first = report["suspects"][0]["site"].as_str().unwrap_or_default();
    assert!(first.contains(LEAK), "first is {first}: {report}");
    format!(
        "killed after {took_s:.0} s; near_limit {}, last_call {}; verdict {}, first {first}",
        near["why"].as_str().unwrap_or_default(),
        last["why"].as_str().unwrap_or_default(),
        report["verdict"].as_str().unwrap_or_default()
    )
}

#[test]
fn a_leak_is_captured_before_the_kernel_kills() {
    let runs: u32 = std::env::var("DIAG_KILL_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for number in 1..=runs {
        let cgroup = match Cgroup::make(&format!("diag-kill-{}-{number}", std::process::id())) {
            Ok(cgroup) => cgroup,
            Err(none) => {
                let required = std::env::var_os("DIAG_REQUIRE_CLIENTS").is_some_and(|v| v == "1");
                assert!(
                    !(required && none.writable),
                    "no memory cgroup, though they can be made: {}",
                    none.why
                );
                eprintln!("skipped: no memory cgroup can be made here ({})", none.why);
                return;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        eprintln!("run {number} of {runs}: {}", one_run(dir.path(), &cgroup));
    }
}
