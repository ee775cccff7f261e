//! Whose CPU time it was, from /proc: of threads by name, of a process, of a processor.

use std::collections::BTreeMap;
use std::fs;

/// Nanoseconds on a processor, by thread, of this process's threads whose name begins so.
pub type Threads = BTreeMap<String, u64>;

pub fn threads(prefix: &str) -> Threads {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Threads::new() };
    let one = |task: fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let ns = on_processor_ns(&fs::read_to_string(task.path().join("schedstat")).ok()?)?;
        name.starts_with(prefix).then(|| (task.file_name().to_string_lossy().into_owned(), ns))
    };
    tasks.flatten().filter_map(one).collect()
}

/// What came since. A thread that is gone had done nothing for longer than a round: idle ones end after 10 s.
pub fn since(before: &Threads, now: &Threads) -> u64 {
    now.iter().map(|(thread, ns)| ns.saturating_sub(before.get(thread).copied().unwrap_or(0))).sum()
}

/// Nanoseconds that a process's first thread was on a processor.
pub fn of_process(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    on_processor_ns(&text).unwrap_or(0)
}

/// The first field of schedstat (Documentation/scheduler/sched-stats).
fn on_processor_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// A processor's ticks: at work, with interrupts, and all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processor {
    pub busy: u64,
    pub all: u64,
}

impl Processor {
    pub fn now(number: &str) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let name = format!("cpu{number} ");
        let Some(line) = stat.lines().find_map(|line| line.strip_prefix(&name)) else {
            return Self::default();
        };
        // user nice system idle iowait irq softirq steal
        let ticks: Vec<u64> = line.split_ascii_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
        let all: u64 = ticks.iter().sum();
        Self { busy: all - ticks.iter().skip(3).take(2).sum::<u64>(), all }
    }

    pub fn busy_percent_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        if all == 0 { f64::NAN } else { self.busy.saturating_sub(before.busy) as f64 / all as f64 * 100.0 }
    }
}

/// The numbers of the processors that this process may use.
pub fn allowed() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    let mut numbers = Vec::new();
    for range in list.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>()) {
            numbers.extend((from..=to).map(|n| n.to_string()));
        }
    }
    numbers
}
