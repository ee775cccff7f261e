//! `diag-cli` and `go tool pprof` on the same two pprof files of 200,000 samples, 48 frames deep, 50,000 functions.
//!
//! `cargo bench -p diag-cli --bench big_files` writes the files below the target folder, runs each command as a process
//! of its own and prints wall time, and for ours peak memory (`VmHWM`, looked at every few milliseconds; Go's tool works in a
//! process below `go`, out of sight). Without Go's tool the peer is left out and that is said.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../../diag/benches/big_profile/mod.rs"]
mod big_profile;

/// Wall time and peak memory in MiB of a command.
fn run(command: &mut Command) -> Option<(Duration, u64)> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let high = high.and_then(|v| v.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak_kib = peak_kib.max(high.unwrap_or(0));
        match child.try_wait().ok()? {
            Some(status) => return status.success().then(|| (start.elapsed(), peak_kib >> 10)),
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    }
}

/// Median of some runs by time.
fn median(runs: usize, mut command: impl FnMut() -> Command) -> Option<(Duration, u64)> {
    let mut results = (0..runs).map(|_| run(&mut command())).collect::<Option<Vec<_>>>()?;
    results.sort();
    results.get(results.len() / 2).copied()
}

fn show(name: &str, result: Option<(Duration, u64)>) {
    match result {
        Some((time, mib)) if name.starts_with("diag-cli") => {
            println!("{name:<44} {:>7.2} s {mib:>6} MiB", time.as_secs_f64());
        }
        Some((time, _)) => println!("{name:<44} {:>7.2} s", time.as_secs_f64()),
        None => println!("{name:<44} could not be run"),
    }
}

fn main() -> std::io::Result<()> {
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (base, new) = big_profile::pair(big_profile::Size::FULL);
    let [base_file, new_file] = [dir.join("big_base.pb.gz"), dir.join("big_new.pb.gz")];
    for (file, profile) in [(&base_file, &base), (&new_file, &new)] {
        let bytes = diag::profile::pprof::encode_gz(profile);
        println!(
            "{}: {} samples, {:.1} MB",
            file.display(),
            profile.sample_count(),
            bytes.len() as f64 / 1e6
        );
        std::fs::write(file, bytes)?;
    }
    drop((base, new));

    let ours = || Command::new(env!("CARGO_BIN_EXE_diag-cli"));
    let go = || {
        let mut go = Command::new("go");
        go.args(["tool", "pprof"]).env("PPROF_TMPDIR", dir);
        go
    };
    show(
        "diag-cli top",
        median(5, || {
            let mut c = ours();
            c.arg("top").arg(&base_file);
            c
        }),
    );
    show(
        "diag-cli diff",
        median(5, || {
            let mut c = ours();
            c.arg("diff").args([&base_file, &new_file]);
            c
        }),
    );
    show(
        "go tool pprof -top",
        median(1, || {
            let mut c = go();
            c.arg("-top").arg(&base_file);
            c
        }),
    );
    show(
        "go tool pprof -top -diff_base",
        median(1, || {
            let mut c = go();
            c.arg("-top").arg("-diff_base").args([&base_file, &new_file]);
            c
        }),
    );
    Ok(())
}
