//! A process for each storm and source, and what must hold after each storm.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use diag::cpu::{Cpu, CpuError, CpuOptions, Recording, Source};
use diag::profile::{Profile, pprof};

use crate::host::{Clocks, Host};

/// Says to a process which source it is for.
const SOURCE: &str = "DIAG_STORM_SOURCE";
const SECONDS: &str = "DIAG_STORM_SECONDS";
pub(crate) const HZ: u32 = 1_000;
/// What a storm may take besides its length, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// A storm, in its own process.
pub(crate) struct Storm {
    pub(crate) source: Source,
    until: Instant,
}

impl Storm {
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    pub(crate) fn options(&self) -> CpuOptions {
        CpuOptions::default().hz(HZ).source(self.source)
    }

    /// As [`Cpu::record`]; fails the storm.
    pub(crate) fn record(&self) -> Recording {
        Cpu::new().record(&self.options()).unwrap()
    }
}

/// Runs `storm` in two processes at a time, each with one source. `name` is the test's.
pub(crate) fn each_source(name: &str, storm: fn(&Storm)) {
    each(name, storm, 1);
}

/// The same for a quarter of the time: so that all together take less than six minutes in CI.
pub(crate) fn each_source_briefly(name: &str, storm: fn(&Storm)) {
    each(name, storm, 4);
}

fn each(name: &str, storm: fn(&Storm), part: u64) {
    if let Ok(source) = std::env::var(SOURCE) {
        return child(&source, storm);
    }
    let seconds: u64 = std::env::var(SECONDS).ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let length = Duration::from_secs((seconds / part).max(2));
    let ends = ["perf", "timers"].map(|source| {
        std::thread::spawn({
            let name = name.to_owned();
            move || run(&name, source, length)
        })
    });
    for (end, source) in ends.into_iter().zip(["perf", "timers"]) {
        let (status, output) = end.join().unwrap();
        println!("{source}: {output}");
        assert!(
            status.is_some_and(|s| s.success()),
            "{name} with {source}: {status:?} (None: no end)\n{output}"
        );
    }
}

/// `None` when it does not end.
fn run(name: &str, source: &str, length: Duration) -> (Option<ExitStatus>, String) {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(SOURCE, source)
        .env(SECONDS, length.as_secs().to_string())
        .stdin(Stdio::null())
        .env("RUST_BACKTRACE", "0")
        .stdout(output.as_file().try_clone().unwrap())
        .stderr(output.as_file().try_clone().unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + 2 * length + PATIENCE;
    let mut status = child.try_wait().unwrap();
    while status.is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        status = child.try_wait().unwrap();
    }
    let stuck = if status.is_none() { crate::host::where_threads_are(child.id()) } else { String::new() };
    // Of a child that has ended these do nothing.
    _ = child.kill();
    child.wait().unwrap();
    let output = std::fs::read(output.path()).unwrap();
    (status, String::from_utf8_lossy(&output).into_owned() + &stuck)
}

fn child(source: &str, storm: fn(&Storm)) {
    let source = if source == "perf" { Source::PerfCpuClock } else { Source::ThreadTimers };
    let seconds = std::env::var(SECONDS).unwrap().parse().unwrap();
    // What is made once a process is not a leak of the storm.
    match Cpu::new().profile(Duration::from_millis(50), &CpuOptions::default().hz(HZ).source(source)) {
        Err(CpuError::Unavailable { why, .. }) => return println!("skipped: {why}"),
        other => drop(other.unwrap()),
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let before = Host::now();
    storm(&Storm { source, until });
    before.must_be_left_as_it_was();
}

/// Records while `body` runs. The profile must be right, whatever happened.
pub(crate) fn recorded(storm: &Storm, body: impl FnOnce(&Storm)) {
    let recording = storm.record();
    let before = Clocks::now();
    body(storm);
    let used_ns = Clocks::now().since(&before);
    let profile = recording.finish().unwrap();
    check(&profile, used_ns);
}

/// Valid, nothing lost uncounted, and nanoseconds that are the process's: within 3 % and the 40 ms of both ends.
pub(crate) fn check(profile: &Profile, used_ns: u64) {
    let again = pprof::decode(&pprof::encode(profile)).unwrap();
    let (samples, ns) = (profile.total(0), profile.total(1));
    assert_eq!((again.total(0), again.total(1)), (samples, ns));
    let comments = &profile.meta().comments;
    let raw = comments.iter().find(|c| c.contains("accounted=")).unwrap();
    println!("{samples} samples, {ns} ns of {used_ns} used, {raw}, losses {:?}", profile.meta().losses);
    assert!(profile.samples().all(|s| s.values.iter().all(|v| *v >= 0)), "nothing is negative");
    assert!(profile.samples().all(|s| !profile.stack(s.stack).is_empty()), "every sample is somewhere");
    let off = ns.unsigned_abs().abs_diff(used_ns) as f64;
    assert!(off < 0.03 * used_ns as f64 + 40e6, "{ns} ns in the profile, {used_ns} ns used");
    assert!(samples > 0);
}
