//! False alarms and power. A short run by default; `DIAG_SIMULATIONS=1 cargo test --release -p diag --lib leak::simulation --
//! --nocapture` prints the table of many.

use super::population::{Births, Lifetime, Population, Process};
use super::rivals;
use crate::leak::{SuspectVerdict, Verdict};

/// An hour.
const UNTIL: f64 = 3600.0;

/// What an innocent process is made of, in turn.
fn innocent(number: usize) -> Population {
    let rate = [0.02, 0.05, 0.1, 0.3][number / 16 % 4];
    let (births, lifetime) = match number % 16 {
        0 => (Births::Steady(rate), Lifetime::Exponential(5.0)),
        1 => (Births::Steady(rate), Lifetime::Exponential(120.0)),
        2 => (Births::Steady(rate), Lifetime::Exponential(400.0)),
        3 => (Births::Steady(rate), Lifetime::Pareto { scale: 10.0, shape: 1.5 }),
        4 => (Births::Steady(rate), Lifetime::Pareto { scale: 60.0, shape: 2.5 }),
        5 => (Births::Steady(rate), Lifetime::Bimodal { short: 2.0, long: 300.0, share_long: 0.1 }),
        6 => (Births::Batched { rate: rate / 8.0, size: 8 }, Lifetime::Exponential(200.0)),
        7 => (Births::Batched { rate: rate / 30.0, size: 30 }, Lifetime::Ttl(300.0)),
        8 => (Births::Doubling { rate, at: 1800.0 }, Lifetime::Exponential(200.0)),
        9 => (Births::Doubling { rate, at: 2500.0 }, Lifetime::Ttl(500.0)),
        10 => (Births::Wave { rate, period: 7200.0 }, Lifetime::Exponential(150.0)),
        11 => (Births::Steady(rate), Lifetime::Bounded((rate * 300.0) as usize + 1)),
        12 => (Births::Steady(rate), Lifetime::Bounded((rate * 1700.0) as usize + 1)),
        13 => (Births::Steady(rate), Lifetime::Ttl(600.0)),
        14 => (Births::Steady(rate), Lifetime::Saw(300.0)),
        _ => (Births::Startup { count: (rate * 500.0) as u32 + 1, seconds: 30.0 }, Lifetime::Ttl(1e9)),
    };
    Population { births, lifetime }
}

fn innocents(count: usize) -> Vec<Population> {
    (0..count).map(innocent).collect()
}

#[test]
fn innocent_processes_are_left_in_peace() {
    let processes = if std::env::var_os("DIAG_SIMULATIONS").is_some() { 300 } else { 6 };
    let (mut accused, mut difference, mut trend) = (0, 0, 0);
    for seed in 0..processes {
        let process = Process::new(&innocents(1000), UNTIL, seed);
        let report = process.judge(0.0, 64.0);
        if report.verdict == Verdict::Leak {
            accused += 1;
            let worst = report.suspects.first().unwrap();
            let number: usize = worst.site.trim_start_matches("stack").parse().unwrap();
            println!("seed {seed}: {} {:?} {}", worst.site, innocent(number), worst.evidence);
        }
        difference += usize::from(rivals::difference(&process).is_some());
        trend += usize::from(!rivals::mann_kendall(&process).is_empty());
    }
    println!(
        "innocent processes of 1,000 stacks told that they leak, of {processes}: gained against lost {accused}, \
         difference {difference}, Mann-Kendall {trend}"
    );
    assert!(accused * 100 <= processes.max(100) as usize, "{accused} of {processes}");
}

#[test]
fn a_leak_of_24_periods_is_found() {
    let runs = if std::env::var_os("DIAG_SIMULATIONS").is_some() { 400 } else { 40 };
    // The window is the second half.
    let rate = 24.0 / (UNTIL / 2.0);
    let leak =
        Population { births: Births::Steady(rate), lifetime: Lifetime::Leak { share: 1.0, mean: 1.0 } };
    let others_in = if std::env::var_os("DIAG_SIMULATIONS").is_some() { 1000 } else { 100 };
    let leaky = format!("stack{others_in}");
    let (mut found, mut others, mut difference, mut trend) = (0, 0, 0, 0);
    for seed in 0..runs {
        let mut populations = innocents(others_in);
        populations.push(leak);
        let process = Process::new(&populations, UNTIL, 1000 + seed);
        let report = process.judge(0.0, 64.0);
        for suspect in report.suspects.iter().filter(|s| s.verdict == SuspectVerdict::Leak) {
            if suspect.site == leaky { found += 1 } else { others += 1 }
        }
        if let Some(s) = report.suspects.iter().find(|s| s.site == leaky)
            && s.verdict != SuspectVerdict::Leak
        {
            println!("seed {seed}: {:?} {}", s.verdict, s.evidence);
        }
        difference += usize::from(rivals::difference(&process) == Some(others_in));
        trend += usize::from(rivals::mann_kendall(&process) == [others_in]);
    }
    println!(
        "a leak of 24 periods among {others_in} innocents, found and nobody else, of {runs}: gained against lost {found} \
         (others accused {others}), first by difference {difference}, Mann-Kendall {trend}"
    );
    assert!(found * 100 >= runs as usize * 95, "{found} of {runs}");
    assert!(others <= 1 + runs as usize / 100, "{others}");
}
