//! A leaking service is put into a memory cgroup and runs until the kernel kills it. What it left behind was written before, is whole,
//! and names the leak.
//!
//! `DIAG_KILL_RUNS=20` repeats it (one run takes up to a minute or two, the time of the leak). Skipped, with the reason, where no memory
//! cgroup can be made; with `DIAG_REQUIRE_CLIENTS=1` that is a failure where the cgroup file system can be written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::cgroup::Cgroup;
use common::{example, finish, run};
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

/// Reads the program, so that its pages are in memory and count for this test's own cgroup. Counted in the small one, the kernel
/// would take them first, again and again: a process in such a state crawls for minutes and is not killed.
fn keep_in_memory(program: &Path) {
    let mut file = fs::File::open(program).unwrap();
    std::io::copy(&mut file, &mut std::io::sink()).unwrap();
}

/// Runs until the kernel ends it.
fn run_until_killed(cgroup: &Cgroup, captures: &Path, rules: &Path) {
    let program = example("leaky_map");
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
        let cgroup = match Cgroup::make(&format!("diag-kill-{}-{number}", std::process::id()), LIMIT_BYTES) {
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
