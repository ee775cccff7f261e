//! Where it ran, with what, and what else ran there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use diag_peers::cost::cpu_ns;
use nix::sys::resource::UsageWho;

/// USER_HZ, in which /proc/stat counts (proc(5)); 100 on all that Linux runs on today.
const TICK_NS: i64 = 10_000_000;

pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) date: String,
    pub(crate) load_before: String,
    pub(crate) priority: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: model.trim_start_matches([':', '\t', ' ']).to_owned(),
            processors: processors(),
            kernel: release.trim().to_owned(),
            rustc: said_by("rustc", &["--version"]),
            date: said_by("date", &["-u", "+%F %H:%M UTC"]),
            load_before: load_average(),
            priority: niceness(),
        }
    }
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Of the last minute, five and fifteen.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The 19th field of stat, by proc(5); the second has the name in parentheses.
fn niceness() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_ascii_whitespace().nth(16).unwrap_or("0").to_owned()
}

/// The first line that it prints; empty when it is not there.
pub(crate) fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("").trim().to_owned()
}

/// Versions by the lock file that all was built with.
pub(crate) fn versions(names: &[&str]) -> Vec<(String, String)> {
    let lock = include_str!("../../../Cargo.lock");
    let mut found = BTreeSet::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(text) = line.strip_prefix("name = ") {
            name = text.trim_matches('"');
        } else if let Some(text) = line.strip_prefix("version = ")
            && names.contains(&name)
        {
            found.insert((name.to_owned(), text.trim_matches('"').to_owned()));
        }
    }
    found.into_iter().collect()
}

/// What all processors did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    all_ns: i64,
    mine_ns: i64,
    at: std::time::Instant,
}

impl Busy {
    pub(crate) fn now() -> Self {
        Self {
            all_ns: busy_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default()) * TICK_NS,
            mine_ns: cpu_ns(UsageWho::RUSAGE_SELF),
            at: std::time::Instant::now(),
        }
    }

    /// Processors that others than the driver and its child were given since, in the mean: 0.5 is half of one.
    pub(crate) fn others_since(self, before: Self, child_ns: i64) -> f64 {
        let others = (self.all_ns - before.all_ns) - (self.mine_ns - before.mine_ns) - child_ns;
        let wall = (self.at - before.at).as_nanos().max(1) as f64;
        (others as f64 / wall).max(0.0)
    }
}

/// user nice system idle iowait irq softirq steal; what the host took counts as others' too.
fn busy_ticks(stat: &str) -> i64 {
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) else { return 0 };
    let ticks: Vec<i64> = line.split_ascii_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
    ticks.iter().sum::<i64>() - ticks.iter().skip(3).take(2).sum::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_not_busy() {
        assert_eq!(busy_ticks("cpu  10 20 30 4000 500 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"), 81);
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let found = versions(&["dhat", "jemalloc_pprof"]);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|(_, version)| version.contains('.')));
    }
}
