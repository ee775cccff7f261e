//! A cell of the matrix: a load of known CPU time, and what a profile says of it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::thread;
use std::time::Duration;

use diag::cpu::{Cpu, CpuError, CpuOptions, Source};
use diag::profile::{Label, LabelValue, Profile};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    /// Always at work.
    Busy,
    /// 1 ms of work, 1 ms of sleep.
    HalfIdle,
    /// Threads of 5 ms, one after the other.
    ShortLived,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) hz: u32,
    /// At once.
    pub(crate) threads: usize,
    pub(crate) load: Load,
    /// CPU time of all together.
    pub(crate) cpu: Duration,
}

/// What was found in a cell.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// By getrusage, the sampler's own thread excepted.
    pub(crate) used_ns: f64,
    pub(crate) reported_ns: f64,
    /// Share of the time that samples stood for before they were weighted.
    pub(crate) accounted: Option<f64>,
    /// Reported for each of the threads, which used the same.
    pub(crate) by_thread_ns: Vec<f64>,
}

impl Found {
    pub(crate) fn ratio(&self) -> f64 {
        self.reported_ns / self.used_ns
    }

    /// Most minus least over the mean, of threads that live all the time.
    pub(crate) fn skew(&self) -> f64 {
        let most = self.by_thread_ns.iter().copied().fold(0.0, f64::max);
        let least = self.by_thread_ns.iter().copied().fold(f64::INFINITY, f64::min);
        let mean = self.by_thread_ns.iter().sum::<f64>() / self.by_thread_ns.len() as f64;
        if mean > 0.0 { (most - least) / mean } else { 0.0 }
    }
}

pub(crate) fn name(thread: usize) -> String {
    format!("load-{thread}")
}

impl Cell {
    /// Does the work.
    pub(crate) fn run(&self) {
        let each_ns = self.cpu.as_nanos() as u64 / self.threads as u64;
        thread::scope(|s| {
            for i in 0..self.threads {
                let work = move || self.work(each_ns);
                thread::Builder::new().name(name(i)).spawn_scoped(s, work).unwrap();
            }
        });
    }

    fn work(&self, cpu_ns: u64) {
        match self.load {
            Load::Busy => _ = black_box(burn(cpu_ns)),
            Load::HalfIdle => {
                let until = own_ns() + cpu_ns;
                while own_ns() < until {
                    black_box(burn(1_000_000));
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Load::ShortLived => {
                for _ in 0..cpu_ns.div_ceil(5_000_000) {
                    thread::spawn(|| black_box(burn(5_000_000))).join().unwrap();
                }
            }
        }
    }

    /// By diag. `None` where the source is not to be had.
    pub(crate) fn by_diag(&self, source: Option<Source>) -> Option<Found> {
        let mut options = CpuOptions::default().hz(self.hz);
        options.source = source;
        let recording = match Cpu::new().record(&options) {
            Err(CpuError::Unavailable { why, .. }) => {
                println!("skipped: {why}");
                return None;
            }
            other => other.unwrap(),
        };
        let before = used_ns();
        self.run();
        let used_ns = (used_ns() - before) as f64;
        let profile = recording.finish().unwrap();
        let by_name = by_thread(&profile);
        let raw = profile.meta().comments.iter().find_map(|c| c.split_once("accounted=")).unwrap().1;
        Some(Found {
            used_ns,
            reported_ns: profile.total(1) as f64,
            accounted: raw.split_whitespace().next().and_then(|share| share.parse().ok()),
            by_thread_ns: match self.load {
                Load::ShortLived => Vec::new(),
                _ => (0..self.threads).map(|i| by_name.get(&name(i)).copied().unwrap_or(0) as f64).collect(),
            },
        })
    }
}

fn by_thread(profile: &Profile) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for sample in profile.samples() {
        let thread = |l: &Label| match l.value {
            LabelValue::Str(name) if profile.str(l.key) == "thread" => Some(profile.str(name).to_owned()),
            _ => None,
        };
        let name = profile.label_set(sample.labels).iter().find_map(thread).unwrap_or_default();
        *sums.entry(name).or_insert(0) += sample.values[1];
    }
    sums
}

#[inline(never)]
fn burn(cpu_ns: u64) -> u64 {
    let until = own_ns() + cpu_ns;
    let mut x = 1u64;
    while own_ns() < until {
        for i in 0..2_000u64 {
            x = black_box(x.wrapping_mul(i | 1).rotate_left(5));
        }
    }
    x
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the struct.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn own_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of the process by getrusage, without that of diag's sampler, by the clock of its thread.
pub(crate) fn used_ns() -> u64 {
    let is_sampler = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "diag-cpu\n")
    };
    let sampler = std::fs::read_dir("/proc/self/task").unwrap().flatten().find(is_sampler);
    let sampler: Option<u32> = sampler.and_then(|task| task.file_name().to_str()?.parse().ok());
    // SAFETY: plain numbers; written by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let ns = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000;
    let sampler_ns = sampler.map_or(0, |thread| clock_ns(((!thread as libc::clockid_t) << 3) | 6));
    ns(usage.ru_utime) + ns(usage.ru_stime) - sampler_ns
}
