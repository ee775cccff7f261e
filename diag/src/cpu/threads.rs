//! The threads of the process: armed when they are seen, followed until they end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Source;
use super::calibrate::Accounts;
use crate::sys::cpu::clock;
use crate::sys::cpu::handler::Shared;
use crate::sys::cpu::perf::PerfEvent;
use crate::sys::cpu::timer::Timer;

/// New threads are met within this time.
const SCAN_EVERY: Duration = Duration::from_millis(100);
/// Scans take at most this part of the time, however many threads there are.
const SCAN_SHARE: u32 = 50;
/// Descriptors taken for events: at most so many, and at most this part of those that are free.
const MOST_EVENTS: usize = 512;
const EVENTS_OF_FREE: u64 = 4;

/// What interrupts a thread. Kept for its end.
enum Armed {
    Perf {
        _event: PerfEvent,
    },
    Timer {
        _timer: Timer,
    },
    /// Neither was to be had; the process's timer reaches it.
    Not,
}

struct Tracked {
    armed: Armed,
    /// CPU time when the recording began, or 0 for a thread that came later.
    base_ns: u64,
    /// CPU time at the last look.
    cpu_ns: u64,
    seen: u32,
}

/// See the module.
pub(super) struct Threads {
    shared: &'static Shared,
    period_ns: u64,
    me: u32,
    /// How many events may still be opened.
    events_left: usize,
    tracked: HashMap<u32, Tracked>,
    names: Names,
    scans: u32,
    next_scan: Instant,
    random: Random,
    pub(super) refused: u64,
}

impl Threads {
    /// Nothing is armed yet. The calling thread is the sampler and stays out.
    pub(super) fn new(shared: &'static Shared, source: Source, period_ns: u64) -> Self {
        Self {
            shared,
            period_ns,
            me: clock::own_thread(),
            events_left: if source == Source::PerfCpuClock { events_allowed() } else { 0 },
            tracked: HashMap::new(),
            names: Names::default(),
            scans: 0,
            next_scan: Instant::now(),
            random: Random::new(),
            refused: 0,
        }
    }

    /// Arms threads that are new and forgets those that ended, when it is time.
    pub(super) fn scan_if_due(&mut self) {
        if Instant::now() >= self.next_scan {
            self.scan();
        }
    }

    fn scan(&mut self) {
        let started = Instant::now();
        self.scans += 1;
        let first = self.scans == 1;
        for thread in list() {
            if thread == self.me {
                continue;
            }
            let Some(cpu_ns) = clock::thread_cpu_ns(thread) else { continue };
            match self.tracked.get_mut(&thread) {
                // A clock that went back is another thread with the same number.
                Some(known) if known.cpu_ns <= cpu_ns => (known.seen, known.cpu_ns) = (self.scans, cpu_ns),
                _ => {
                    let armed = self.arm(thread);
                    let base_ns = if first { cpu_ns } else { 0 };
                    self.tracked.insert(thread, Tracked { armed, base_ns, cpu_ns, seen: self.scans });
                }
            }
            self.names.look(thread);
        }
        let (scans, shared) = (self.scans, self.shared);
        self.tracked.retain(|thread, tracked| {
            let stays = tracked.seen == scans;
            if !stays {
                shared.set_armed(*thread, false);
            }
            stays
        });
        let took = started.elapsed();
        self.next_scan = Instant::now() + SCAN_EVERY.max(took * SCAN_SHARE);
    }

    fn arm(&mut self, thread: u32) -> Armed {
        // The first signal comes at a random moment of a period, so that threads too short for a whole one are met in proportion.
        let first_ns = 1 + self.random.below(self.period_ns);
        let armed = self.event(thread, first_ns).or_else(|| {
            let timer = Timer::of_thread(thread, first_ns, self.period_ns).ok()?;
            Some(Armed::Timer { _timer: timer })
        });
        self.shared.set_armed(thread, armed.is_some());
        self.refused += u64::from(armed.is_none());
        armed.unwrap_or(Armed::Not)
    }

    fn event(&mut self, thread: u32, first_ns: u64) -> Option<Armed> {
        if self.events_left == 0 {
            return None;
        }
        let event = PerfEvent::of_thread(thread, first_ns).ok()?;
        self.events_left -= 1;
        Some(Armed::Perf { _event: event })
    }

    /// Sets what is counted from: the CPU time of every thread now.
    pub(super) fn begin_accounts(&mut self) -> u64 {
        for (thread, tracked) in &mut self.tracked {
            let now = clock::thread_cpu_ns(*thread).unwrap_or(tracked.base_ns);
            (tracked.base_ns, tracked.cpu_ns) = (now, now);
        }
        clock::process_cpu_ns().saturating_sub(clock::own_cpu_ns())
    }

    /// Disarms all threads and says what each used since the accounts began.
    pub(super) fn end(&mut self, began_ns: u64) -> Accounts {
        for tracked in self.tracked.values_mut() {
            tracked.armed = Armed::Not;
        }
        let used = clock::process_cpu_ns().saturating_sub(clock::own_cpu_ns());
        let mut threads = HashMap::new();
        for (&thread, tracked) in &self.tracked {
            self.shared.set_armed(thread, false);
            if let Some(now) = clock::thread_cpu_ns(thread) {
                threads.insert(thread, now.saturating_sub(tracked.base_ns));
            }
        }
        for &thread in threads.keys() {
            self.names.read(thread);
        }
        Accounts { threads, process_ns: used.saturating_sub(began_ns) }
    }

    /// The name of a thread that the sampler may not have met.
    pub(super) fn note_name(&mut self, thread: u32, name: &[u8; 16]) {
        self.names.note(thread, name);
    }

    /// The names of all threads that were met.
    pub(super) fn into_names(self) -> Names {
        self.names
    }
}

/// Names of threads by number.
#[derive(Default)]
pub(super) struct Names(HashMap<u32, String>);

/// Threads whose names are kept; those beyond are nameless.
const NAMES: usize = 1 << 15;

impl Names {
    /// Reads a name that is not known yet.
    pub(super) fn look(&mut self, thread: u32) {
        if !self.0.contains_key(&thread) {
            self.read(thread);
        }
    }

    /// Reads the name as it is now: threads are often named after they began.
    fn read(&mut self, thread: u32) {
        if let Ok(name) = std::fs::read(format!("/proc/self/task/{thread}/comm")) {
            self.put(thread, &name);
        }
    }

    fn note(&mut self, thread: u32, name: &[u8; 16]) {
        if name.first().is_some_and(|b| *b != 0) && !self.0.contains_key(&thread) {
            self.put(thread, name);
        }
    }

    fn put(&mut self, thread: u32, name: &[u8]) {
        let end = name.iter().position(|b| *b == 0 || *b == b'\n').unwrap_or(name.len());
        if self.0.len() < NAMES || self.0.contains_key(&thread) {
            self.0.insert(thread, String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned());
        }
    }

    pub(super) fn get(&self, thread: u32) -> &str {
        self.0.get(&thread).map_or("(unknown thread)", String::as_str)
    }
}

/// The threads of this process.
pub(super) fn list() -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// Events that may be opened without taking the host's descriptors.
fn events_allowed() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64);
    (crate::sys::cpu::descriptor_limit().saturating_sub(open) / EVENTS_OF_FREE).min(MOST_EVENTS as u64)
        as usize
}

/// xorshift64*: for the phase of timers.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(crate::sys::clock::monotonic_ns() | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        high % limit.max(1)
    }
}
