//! What the sampler must leave as it was, read from outside of it.
#![allow(unsafe_code)]

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Duration;

/// Resident memory may grow by so much over a storm: what the allocator keeps after a profile was made, mostly.
const MOST_GROWTH_KIB: u64 = 32 << 10;

pub(crate) struct Host {
    descriptors: usize,
    handler: usize,
    resident_kib: u64,
}

impl Host {
    pub(crate) fn now() -> Self {
        Self { descriptors: count("/proc/self/fd"), handler: handler(), resident_kib: resident_kib() }
    }

    pub(crate) fn must_be_left_as_it_was(&self) {
        let now = Self::now();
        println!("resident: {} KiB before, {} KiB after", self.resident_kib, now.resident_kib);
        assert_eq!(now.descriptors, self.descriptors, "descriptors");
        assert_eq!(now.handler, self.handler, "the handler of SIGPROF");
        assert!(now.resident_kib < self.resident_kib + MOST_GROWTH_KIB, "KiB resident");
        // Not in every kernel's configuration.
        if let Ok(timers) = fs::read_to_string("/proc/self/timers") {
            assert_eq!(timers, "", "timers");
        }
        // A thread that was joined is in the kernel's list for a moment yet.
        let is_there = || threads().iter().any(|(_, name)| name == "diag-cpu");
        let has_ended = (0..500).any(|_| {
            let ended = !is_there();
            if !ended {
                thread::sleep(Duration::from_millis(10));
            }
            ended
        });
        assert!(has_ended, "the sampler's thread has ended");
    }
}

/// CPU time of the process, that of the sampler's thread apart.
pub(crate) struct Clocks {
    process_ns: u64,
    sampler_ns: u64,
}

impl Clocks {
    pub(crate) fn now() -> Self {
        let sampler = threads().into_iter().find(|(_, name)| name == "diag-cpu").map(|(thread, _)| thread);
        Self { process_ns: rusage_ns(), sampler_ns: sampler.map_or(0, thread_ns) }
    }

    pub(crate) fn since(&self, before: &Self) -> u64 {
        (self.process_ns - before.process_ns) - (self.sampler_ns - before.sampler_ns)
    }
}

fn rusage_ns() -> u64 {
    // SAFETY: plain numbers; written by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|t| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000)
        .sum()
}

/// By the kernel's clock id of a thread's CPU time.
fn thread_ns(thread: u32) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the struct.
    unsafe { libc::clock_gettime(((!thread as libc::clockid_t) << 3) | 6, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub(crate) fn own_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn threads() -> Vec<(u32, String)> {
    let name = |thread: u32| fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let numbers = tasks.filter_map(|t| t.file_name().to_str()?.parse().ok());
    numbers.map(|thread| (thread, name(thread).trim().to_owned())).collect()
}

/// The function that handles SIGPROF, or SIG_DFL or SIG_IGN.
pub(crate) fn handler() -> usize {
    // SAFETY: only reads the disposition.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGPROF, std::ptr::null(), &mut action), 0);
        action.sa_sigaction
    }
}

fn count(dir: &str) -> usize {
    fs::read_dir(dir).unwrap().count()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// For a storm that does not end.
pub(crate) fn where_threads_are(process: u32) -> String {
    let mut text = String::from("\nno end; its threads:\n");
    for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let of =
            |what: &str| fs::read_to_string(task.path().join(what)).unwrap_or_default().trim().to_owned();
        let _ = writeln!(text, "{} in {} at {}, {}", of("comm"), of("wchan"), of("syscall"), of("stat"));
    }
    text
}
