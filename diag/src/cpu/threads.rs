//! The threads of the process: armed when they are seen, followed until they end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Source;
use super::calibrate::Accounts;
use super::names::Names;
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
    /// CPU time when the recording began; 0 for a thread that came later.
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
    began: Option<Instant>,
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
            began: None,
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
        let recorded_ns = self.began.map_or(0, |began| began.elapsed().as_nanos() as u64);
        for thread in list().unwrap_or_default() {
            if thread == self.me {
                continue;
            }
            let Some(cpu_ns) = clock::thread_cpu_ns(thread) else { continue };
            match self.tracked.get_mut(&thread) {
                // A clock that went back is another thread with the same number.
                Some(known) if known.cpu_ns <= cpu_ns => (known.seen, known.cpu_ns) = (self.scans, cpu_ns),
                other => {
                    let replaced = other.is_some_and(|known| matches!(known.armed, Armed::Perf { .. }));
                    self.events_left += usize::from(replaced);
                    let armed = self.arm(thread);
                    // A thread that was there before but not met used no more than this since.
                    let base_ns = cpu_ns.saturating_sub(recorded_ns);
                    self.tracked.insert(thread, Tracked { armed, base_ns, cpu_ns, seen: self.scans });
                }
            }
            self.names.look(thread);
        }
        self.forget_ended();
        let took = started.elapsed();
        self.next_scan = Instant::now() + SCAN_EVERY.max(took * SCAN_SHARE);
    }

    fn forget_ended(&mut self) {
        let (scans, shared, events_left) = (self.scans, self.shared, &mut self.events_left);
        self.tracked.retain(|thread, tracked| {
            // The list ends early when a thread ends while it is read, and there is none without a free descriptor.
            let stays = tracked.seen == scans
                || clock::thread_cpu_ns(*thread).is_some_and(|cpu_ns| cpu_ns >= tracked.cpu_ns);
            if !stays {
                shared.set_armed(*thread, false);
                *events_left += usize::from(matches!(tracked.armed, Armed::Perf { .. }));
            }
            stays
        });
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
        self.began = Some(Instant::now());
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

/// The threads of this process: those that live on, and perhaps not all, when some end meanwhile. `None` without a descriptor.
pub(super) fn list() -> Option<Vec<u32>> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    Some(tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok()).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(events_left: usize) -> Threads {
        let mut threads = Threads::new(Shared::of_process().unwrap(), Source::PerfCpuClock, 1_000_000_000);
        threads.events_left = events_left;
        threads
    }

    /// A thread that is there until the sender is dropped.
    fn waiting() -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<u32>) {
        let (stay, end) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(()).unwrap();
            _ = end.recv();
            clock::own_thread()
        });
        told.recv().unwrap();
        (stay, thread)
    }

    #[test]
    fn events_of_threads_that_ended_are_free_again() {
        let _alone = crate::cpu::tests::alone();
        let mut threads = threads(10_000);
        if PerfEvent::of_thread(clock::own_thread(), 1_000_000_000).is_err() {
            return println!("skipped: no perf_event_open here");
        }
        let waiting: Vec<_> = (0..20).map(|_| waiting()).collect();
        threads.scan();
        let used = |threads: &Threads| {
            threads.tracked.values().filter(|t| matches!(t.armed, Armed::Perf { .. })).count()
        };
        assert!(used(&threads) >= 20);
        for (stay, thread) in waiting {
            drop(stay);
            thread.join().unwrap();
        }
        threads.scan();
        assert_eq!(threads.events_left + used(&threads), 10_000);
    }

    #[test]
    fn a_thread_that_was_missed_at_first_is_not_charged_with_its_past() {
        let _alone = crate::cpu::tests::alone();
        let mut threads = threads(0);
        let me = clock::own_thread();
        while clock::own_cpu_ns() < 200_000_000 {
            std::hint::black_box(());
        }
        let began_ns = threads.begin_accounts();
        // As if the sampler were another thread that meets this one only now.
        threads.me = 0;
        threads.scan();
        let accounts = threads.end(began_ns);
        let charged = accounts.threads[&me];
        assert!(charged < 100_000_000, "{charged}");
        // A list that cannot be read, or that ends early, makes nobody forgotten.
        threads.tracked.get_mut(&me).unwrap().seen = 0;
        threads.scans += 1;
        threads.forget_ended();
        assert!(threads.tracked.contains_key(&me));
    }
}
