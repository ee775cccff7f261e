//! The same program under `perf record` and under diag: where the time goes must be the same, within sampling error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use diag::cpu::{Cpu, CpuError, CpuOptions, Source};

const HZ: u32 = 999;
const NAME: &str = "the_top_functions_are_those_of_perf";
/// Set for the program; says who records it.
const RUNS_UNDER: &str = "DIAG_RUNS_UNDER";

/// Functions of their own, with the time that each gets of every piece of work.
macro_rules! functions {
    ($($name:ident $weight:literal,)*) => {
        $(
            // Plain operations: in a build without optimisation each method would be a function of its own.
            #[inline(never)]
            fn $name(mut x: u64, rounds: u64) -> u64 {
                let mut i = 0;
                while i < rounds {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    x ^= $weight;
                    i += 1;
                }
                x
            }
        )*
        const FUNCTIONS: &[(&str, u64, fn(u64, u64) -> u64)] = &[$((stringify!($name), $weight, $name)),*];
    };
}

functions! {
    share_01 100, share_02 92, share_03 85, share_04 79, share_05 74, share_06 69, share_07 64, share_08 60,
    share_09 56, share_10 52, share_11 48, share_12 45, share_13 42, share_14 39, share_15 36, share_16 33,
    share_17 30, share_18 27, share_19 24, share_20 21, share_21 18, share_22 15, share_23 12, share_24 9,
}

/// The same pieces in the same order each time. The order is drawn, so that no rhythm meets that of the samples.
fn program() {
    let (mut seed, mut x) = (7u64, 1u64);
    for _ in 0..PIECES {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (_, weight, function) = FUNCTIONS[(seed >> 33) as usize % FUNCTIONS.len()];
        x = black_box(function(black_box(x | 1), weight * ROUNDS));
    }
}

const PIECES: u32 = 24_000;
/// For about 2 s of CPU time.
const ROUNDS: u64 = if cfg!(debug_assertions) { 400 } else { 1_400 };

/// Samples whose innermost function is each of ours, and of all.
#[derive(Default)]
struct Leaves(BTreeMap<&'static str, f64>, f64);

impl Leaves {
    fn count(&mut self, symbol: &str, samples: f64) {
        if let Some((name, ..)) = FUNCTIONS.iter().find(|(name, ..)| symbol.contains(name)) {
            *self.0.entry(name).or_default() += samples;
        }
        self.1 += samples;
    }

    fn share(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0) / self.1
    }
}

fn program_under(mut command: Command, who: &str) -> std::process::Output {
    command.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env(RUNS_UNDER, who).output().unwrap()
}

fn by_perf() -> Result<Leaves, String> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "-e", "cpu-clock", "-F", &HZ.to_string(), "-g", "-o"]).arg(&data).arg("--");
    record.arg(std::env::current_exe().unwrap());
    let recorded = program_under(record, "perf");
    if !recorded.status.success() {
        return Err(String::from_utf8_lossy(&recorded.stderr).into_owned());
    }
    let script =
        Command::new("perf").args(["script", "-F", "comm,ip,sym", "-i"]).arg(&data).output().unwrap();
    // A line with the thread, then the frames, innermost first, then an empty line.
    let mut leaves = Leaves::default();
    for sample in String::from_utf8_lossy(&script.stdout).split("\n\n") {
        if let Some(leaf) = sample.trim_start_matches('\n').lines().nth(1) {
            leaves.count(leaf, 1.0);
        }
    }
    Ok(leaves)
}

/// In the program: records it, and prints its innermost functions.
fn record_program() {
    let diag = diag::Diag::builder().start().unwrap();
    let recording = match Cpu::new().record(&CpuOptions::default().hz(HZ).source(Source::PerfCpuClock)) {
        Err(CpuError::Unavailable { .. }) => Cpu::new().record(&CpuOptions::default().hz(HZ)),
        other => other,
    };
    let recording = recording.unwrap();
    program();
    let profile = diag.symbolize(&recording.finish().unwrap()).unwrap();
    for sample in profile.samples() {
        let leaf = profile.location(profile.stack(sample.stack)[0]);
        let name = leaf.lines.first().map_or("", |line| profile.str(profile.function(line.function).name));
        println!("leaf {} {name}", sample.values[0]);
    }
}

fn by_diag() -> Leaves {
    let output = program_under(Command::new(std::env::current_exe().unwrap()), "diag");
    assert!(output.status.success(), "{output:?}");
    let mut leaves = Leaves::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // The first comes behind the name of the test.
        if let Some((_, leaf)) = line.split_once("leaf ") {
            let (samples, name) = leaf.split_once(' ').unwrap();
            leaves.count(name, samples.parse().unwrap());
        }
    }
    leaves
}

#[test]
fn the_top_functions_are_those_of_perf() {
    match std::env::var(RUNS_UNDER).as_deref() {
        Ok("perf") => return program(),
        Ok(_) => return record_program(),
        Err(_) => {}
    }
    let required = std::env::var_os("DIAG_REQUIRE_CLIENTS").is_some();
    if Command::new("perf").arg("--version").output().is_err() {
        assert!(!required, "perf is missing (Debian: linux-perf)");
        return println!("skipped: no perf here");
    }
    let perf = match by_perf() {
        Ok(leaves) => leaves,
        Err(why) => {
            // Where diag may open the event, perf may too.
            let options = CpuOptions::default().source(Source::PerfCpuClock);
            let allowed = Cpu::new().profile(Duration::from_millis(1), &options).is_ok();
            assert!(!(required && allowed), "perf record failed: {why}");
            return println!("skipped: perf record does not run here: {why}");
        }
    };
    let diag = by_diag();
    println!("{} samples of perf, {} of diag", perf.1, diag.1);
    assert!(perf.1 > 400.0 && diag.1 > 100.0);
    let mut top: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
    top.sort_by(|a, b| perf.share(b).total_cmp(&perf.share(a)));
    for name in &top[..20] {
        let (p, q) = (perf.share(name), diag.share(name));
        let both = (p * perf.1 + q * diag.1) / (perf.1 + diag.1);
        let error = (both * (1.0 - both) * (1.0 / perf.1 + 1.0 / diag.1)).sqrt();
        println!(
            "{name}: perf {:.2} %, diag {:.2} %, one standard error {:.2} %",
            p * 100.0,
            q * 100.0,
            error * 100.0
        );
        assert!((p - q).abs() <= 4.0 * error + 0.005, "{name}: perf {p}, diag {q}");
    }
    let all = |leaves: &Leaves| leaves.0.values().sum::<f64>() / leaves.1;
    assert!(all(&perf) > 0.8 && all(&diag) > 0.8, "the program is what was recorded");
}
