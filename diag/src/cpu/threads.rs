//! The threads of the process: armed when they are seen, followed until they end.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Source;
use super::calibrate::{Accounts, OWN_RATIO_PERIODS};
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
/// Threads that ended whose time is kept: about 1 MiB. Those beyond share one ratio.
const MOST_ENDED: usize = 1 << 14;

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
    /// CPU time at the last look, or the last sample.
    cpu_ns: u64,
    /// That at the last look, and how much came since the look before.
    looked_ns: u64,
    pace_ns: u64,
    has_ended: bool,
    seen: u32,
}

impl Tracked {
    fn new(armed: Armed, base_ns: u64, cpu_ns: u64, seen: u32) -> Self {
        Self { armed, base_ns, cpu_ns, looked_ns: cpu_ns, pace_ns: u64::MAX, has_ended: false, seen }
    }

    fn used_ns(&self, period_ns: u64) -> u64 {
        // It ended somewhere before the next sample or look would have been. What a perf event counted would be of no use: that
        // has the time in it that a hypervisor took, 16 of 76 ms once (2026-11-30), which the clocks have not.
        let unseen_ns = if self.has_ended { self.pace_ns.min(period_ns) / 2 } else { 0 };
        self.cpu_ns.saturating_sub(self.base_ns) + unseen_ns
    }
}

/// See the module.
pub(super) struct Threads {
    shared: &'static Shared,
    period_ns: u64,
    me: u32,
    /// How many events may still be opened.
    events_left: usize,
    tracked: HashMap<u32, Tracked>,
    /// Threads that ended. Only of those that used much: of others
    /// nothing would be gained, and short-lived threads are many.
    ended: HashMap<u32, Tracked>,
    names: Names,
    scans: u32,
    began: Option<Instant>,
    next_scan: Instant,
    next_look: Instant,
    random: Random,
    pub(super) refused: u64,
}

impl Threads {
    /// Nothing is armed yet. The calling thread is the sampler and stays out.
    pub(super) fn new(shared: &'static Shared, source: Source, period_ns: u64) -> Self {
        Self {
            shared,
            period_ns,
            me: crate::sys::thread::thread_id(),
            events_left: if source == Source::PerfCpuClock { events_allowed() } else { 0 },
            tracked: HashMap::new(),
            ended: HashMap::new(),
            names: Names::default(),
            scans: 0,
            began: None,
            next_scan: Instant::now(),
            next_look: Instant::now(),
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
                _ => {
                    if let Some(ended) = self.tracked.remove(&thread) {
                        self.bury(thread, ended);
                    }
                    let armed = self.arm(thread);
                    // A thread that was there before but not met used no more than this since.
                    let base_ns = cpu_ns.saturating_sub(recorded_ns);
                    self.tracked.insert(thread, Tracked::new(armed, base_ns, cpu_ns, self.scans));
                }
            }
            self.names.look(thread);
        }
        self.forget_ended();
        let took = started.elapsed();
        self.next_scan = Instant::now() + SCAN_EVERY.max(took * SCAN_SHARE);
    }

    /// Reads the CPU time of the threads that are known, when it is time: so that it is nearly known of those that end.
    pub(super) fn look_if_due(&mut self) {
        let started = Instant::now();
        if started < self.next_look {
            return;
        }
        for (&thread, tracked) in &mut self.tracked {
            // A clock that went back is another thread's.
            if let Some(cpu_ns) = clock::thread_cpu_ns(thread).filter(|ns| *ns >= tracked.cpu_ns) {
                tracked.pace_ns = cpu_ns - tracked.looked_ns;
                (tracked.looked_ns, tracked.cpu_ns) = (cpu_ns, cpu_ns);
            }
        }
        self.next_look = Instant::now() + started.elapsed() * SCAN_SHARE;
    }

    fn forget_ended(&mut self) {
        let scans = self.scans;
        // The list ends early when a thread ends while it is read, and there is none without a free descriptor.
        let has_ended = |thread: &u32, tracked: &mut Tracked| {
            tracked.seen != scans
                && clock::thread_cpu_ns(*thread).is_none_or(|cpu_ns| cpu_ns < tracked.cpu_ns)
        };
        let ended: Vec<_> = self.tracked.extract_if(has_ended).collect();
        for (thread, tracked) in ended {
            self.shared.set_armed(thread, false);
            self.bury(thread, tracked);
        }
    }

    fn bury(&mut self, thread: u32, mut tracked: Tracked) {
        self.events_left += usize::from(matches!(tracked.armed, Armed::Perf { .. }));
        (tracked.armed, tracked.has_ended) = (Armed::Not, true);
        let much = tracked.used_ns(self.period_ns) >= OWN_RATIO_PERIODS * self.period_ns;
        if much && self.ended.len() < MOST_ENDED {
            self.ended.insert(thread, tracked);
        }
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

    /// Goes over to events from timers, with which the recording began.
    pub(super) fn use_events(&mut self) {
        self.events_left = events_allowed();
        let mut tracked = std::mem::take(&mut self.tracked);
        for (&thread, tracked) in &mut tracked {
            // The timer's period ends here and the event's begins, each at a random moment: no sample more or less on average.
            let first_ns = 1 + self.random.below(self.period_ns);
            if let Some(event) = self.event(thread, first_ns) {
                tracked.armed = event;
                self.shared.set_armed(thread, true);
            }
        }
        self.tracked = tracked;
    }

    /// Sets what is counted from: the CPU time of every thread now.
    pub(super) fn begin_accounts(&mut self) -> u64 {
        self.began = Some(Instant::now());
        for (thread, tracked) in &mut self.tracked {
            let now = clock::thread_cpu_ns(*thread).unwrap_or(tracked.base_ns);
            (tracked.base_ns, tracked.cpu_ns, tracked.looked_ns) = (now, now, now);
        }
        clock::process_cpu_ns().saturating_sub(clock::own_cpu_ns())
    }

    /// Disarms all threads and gives the CPU time since the accounts began. Samples may still be on their way.
    pub(super) fn end(&mut self, began_ns: u64) -> u64 {
        for tracked in self.tracked.values_mut() {
            tracked.armed = Armed::Not;
        }
        let used_ns = clock::process_cpu_ns().saturating_sub(clock::own_cpu_ns());
        for (&thread, tracked) in &mut self.tracked {
            self.shared.set_armed(thread, false);
            match clock::thread_cpu_ns(thread) {
                Some(now) if now >= tracked.cpu_ns => {
                    tracked.cpu_ns = now;
                    self.names.read(thread);
                }
                _ => tracked.has_ended = true,
            }
        }
        used_ns.saturating_sub(began_ns)
    }

    /// What each thread used, when all samples were noted.
    pub(super) fn accounts(&self, process_ns: u64) -> Accounts {
        let mut accounts = Accounts { process_ns, ..Accounts::default() };
        for (&thread, tracked) in self.ended.iter().chain(&self.tracked) {
            let of = if tracked.has_ended { &mut accounts.ended } else { &mut accounts.threads };
            *of.entry(thread).or_default() += tracked.used_ns(self.period_ns);
        }
        accounts
    }

    /// Takes from a sample how far its thread's CPU time was, and its name, which the sampler may not know.
    pub(super) fn note(&mut self, thread: u32, cpu_ns: u64, name: &[u8; 16]) {
        self.names.note(thread, name);
        if let Some(known) = self.tracked.get_mut(&thread).or_else(|| self.ended.get_mut(&thread)) {
            known.cpu_ns = known.cpu_ns.max(cpu_ns);
        }
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
