//! CPU time in profiles over the CPU time that was used, for diag's sources and the `pprof` crate in the same run:
//! perf events, timers on threads, and what is taken when nothing is asked for (timers first, and events as soon as the kernel has them).
//!
//! `cargo bench -p diag --bench cpu_accuracy` prints for each rate, number of threads and load: nanoseconds reported over those used
//! by getrusage (the sampler's own thread excepted), for diag also the share that samples stood for before they were
//! weighted, and the skew: most minus least over the mean of threads that used the same. Ends with 1 when diag misses its
//! targets: 2 % (5 % of threads that live 5 ms), skew 5 %. `-- --short` runs a part; `-- --seconds N` sets the CPU seconds of a
//! cell, 1.5 by default.
#![allow(clippy::unwrap_used)] // a benchmark that cannot set up has nothing to say

#[cfg(target_os = "linux")]
#[path = "../tests/cpu_accuracy/cell.rs"]
mod cell;

#[cfg(target_os = "linux")]
fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|a| a == "--bench") && !table::print() {
        std::process::exit(1);
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod table {
    use std::time::Duration;

    use diag::cpu::Source;

    use crate::cell::{Cell, Found, Load, name, used_ns};

    const MOST_OFF: f64 = 0.02;
    const MOST_OFF_SHORT_LIVED: f64 = 0.05;
    const MOST_SKEW: f64 = 0.05;

    /// Says whether the targets are met.
    pub(crate) fn print() -> bool {
        let args: Vec<String> = std::env::args().collect();
        let short = args.iter().any(|a| a == "--short");
        let seconds = args.iter().position(|a| a == "--seconds").and_then(|i| args.get(i + 1)?.parse().ok());
        let cpu = Duration::from_secs_f64(seconds.unwrap_or(1.5));
        let rates: &[u32] = if short { &[99, 999] } else { &[99, 499, 999] };
        let counts: &[usize] = if short { &[2, 16] } else { &[1, 2, 8, 16] };
        println!("reported / used, (accounted before weighting), skew between equal threads");
        println!(
            "{:>4} {:>7} {:>11} {:>25} {:>25} {:>25} {:>16}",
            "Hz", "threads", "load", "perf cpu-clock", "thread timers", "default", "pprof crate"
        );
        let mut met = true;
        for load in [Load::Busy, Load::HalfIdle, Load::ShortLived] {
            for &hz in rates {
                for &threads in counts {
                    // A quarter of a second each at least: their share of a period or a tick is small then.
                    let cpu = cpu.max(Duration::from_millis(250) * threads as u32);
                    let cell = Cell { hz, threads, load, cpu };
                    let ours = [Some(Source::PerfCpuClock), Some(Source::ThreadTimers), None]
                        .map(|source| cell.by_diag(source));
                    let theirs = by_pprof(&cell);
                    let [perf, timers, default] = ours.map(|found| show(&cell, found.as_ref(), &mut met));
                    let theirs = format!("{:.3} {}", theirs.ratio(), skew(&cell, &theirs));
                    let load = format!("{load:?}");
                    println!(
                        "{hz:>4} {threads:>7} {load:>11} {perf:>25} {timers:>25} {default:>25} {theirs:>16}"
                    );
                }
            }
        }
        println!("{}", if met { "all targets are met" } else { "targets were missed: see !" });
        met
    }

    fn show(cell: &Cell, found: Option<&Found>, met: &mut bool) -> String {
        let Some(found) = found else { return "-".to_owned() };
        let most_off = if cell.load == Load::ShortLived { MOST_OFF_SHORT_LIVED } else { MOST_OFF };
        let fine = (found.ratio() - 1.0).abs() <= most_off && found.skew() <= MOST_SKEW;
        *met &= fine;
        let accounted = found.accounted.unwrap_or(0.0);
        let mark = if fine { "" } else { " !" };
        format!("{:.4} ({accounted:.3}) {}{mark}", found.ratio(), skew(cell, found))
    }

    fn skew(cell: &Cell, found: &Found) -> String {
        match cell.load {
            Load::ShortLived => "-".to_owned(),
            _ => format!("{:.3}", found.skew()),
        }
    }

    /// Its samples times the period, as it exports them itself.
    fn by_pprof(cell: &Cell) -> Found {
        let guard = pprof::ProfilerGuardBuilder::default().frequency(cell.hz as i32).build().unwrap();
        let before = used_ns();
        cell.run();
        let used_ns = (used_ns() - before) as f64;
        let report = guard.report().build().unwrap();
        let period_ns = 1e9 / f64::from(cell.hz);
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            let counts = report.data.iter().filter(|(frames, _)| wanted(&frames.thread_name));
            counts.map(|(_, count)| *count as f64).sum::<f64>() * period_ns
        };
        Found {
            used_ns,
            reported_ns: sum(&|_| true),
            accounted: None,
            by_thread_ns: (0..cell.threads).map(|i| sum(&|thread| thread == name(i))).collect(),
        }
    }
}
