//! A recording of CPU time, on the sampler's own thread: arms threads, takes samples out of the ring, disarms, accounts.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::calibrate::Weights;
use super::calls::{Calls, Row, State, Sum};
use super::ladder::{self, Choice};
use super::names::Names;
use super::recording::Control;
use super::threads::Threads;
use super::{CpuError, Source};
use crate::sys::code::Code;
use crate::sys::cpu::handler::{Losses, Shared};
use crate::sys::cpu::ring::Sample;
use crate::sys::cpu::signal::Restored;
use crate::sys::cpu::timer::Timer;
use crate::sys::cpu::{clock, finish, signal};
use crate::sys::unwind::{StackCopy, WalkEnd};

/// The ring is emptied after so long, or when so many samples may be in it: a small part of what it holds. Each time is one that somebody
/// else waits for the processor. More often at first, while every stack is new. The clocks of the threads are read then, too: what one used
/// after the last reading before it ended is guessed, so it is not to be much (with 100 ms, threads of 250 ms were 6 % apart).
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);
const SAMPLES_A_PAUSE: u32 = 128;
/// A thread that begins to be busy fills no more than so many places meanwhile.
const PERIODS_A_PAUSE: u32 = 10;
const DRAIN_AT_FIRST: Duration = Duration::from_millis(5);
const AT_FIRST: Duration = Duration::from_millis(500);
/// Files loaded and unloaded are looked for so often.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// The unwind rules of the program are read in pieces, between two emptyings of the ring.
#[cfg(target_arch = "x86_64")]
const LEARN_AT_ONCE: Duration = Duration::from_millis(1);
/// The process's timer is never faster: it interrupts threads that have their own for nothing.
const PROCESS_PERIOD_NS: u64 = 4_000_000;

/// What a recording found.
pub(super) struct Recorded {
    pub(super) calls: Calls,
    pub(super) names: Names,
    pub(super) weights: Weights,
    pub(super) choice: Choice,
    pub(super) period_ns: u64,
    pub(super) length: Duration,
    pub(super) ended_unix_ns: u64,
    pub(super) samples: u64,
    pub(super) overruns: u64,
    pub(super) losses: BTreeMap<String, u64>,
    pub(super) remarks: Vec<String>,
}

/// Counts of what the sampler's thread sees.
#[derive(Default)]
pub(super) struct Tally {
    samples: u64,
    /// Time sampled by thread, before it is weighted.
    sampled_ns: HashMap<u32, u64>,
    cut: u64,
    lost: u64,
    /// Periods that a sample stood for beyond its own: the timer expired while its signal was on its way.
    overruns: u64,
}

impl Tally {
    /// Takes a sample over into the calls; gives the node of its stack.
    pub(super) fn take(
        &mut self,
        code: &Code,
        calls: &mut Calls,
        sample: &mut Sample,
        copy: Option<&StackCopy<'_>>,
    ) -> u32 {
        self.samples += 1;
        self.overruns += u64::from(sample.periods.saturating_sub(1));
        match finish(code.walker(), sample, copy) {
            WalkEnd::Root => {}
            WalkEnd::BufferFull => self.cut += 1,
            WalkEnd::Lost => self.lost += 1,
        }
        calls.node(sample.frames.get(..sample.len as usize).unwrap_or_default())
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// What was lost, by name; zeros left out.
    pub(super) fn losses(&self, calls: &Calls, handler: &Losses) -> BTreeMap<String, u64> {
        let of = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
        [
            ("cpu_ring_full", of(&handler.dropped_samples)),
            ("cpu_truncated_stacks", self.cut),
            ("cpu_unwind_errors", self.lost),
            ("cpu_no_stack_bounds", of(&handler.no_stack_bounds)),
            ("cpu_call_tree_full", calls.overflow()),
            ("foreign_sigprof", of(&handler.foreign_signals)),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| (what.to_owned(), count))
        .collect()
    }
}

/// What is to be said of the handler.
pub(super) fn remark(restored: std::io::Result<Restored>) -> Option<String> {
    match restored {
        Ok(Restored::Yes) => None,
        Ok(Restored::Replaced) => Some(
            "the handler of SIGPROF was replaced while sampling: samples are missing unless it passes them on"
                .to_owned(),
        ),
        Ok(Restored::Pending) => Some(
            "the sampler's handler of SIGPROF stays installed: a signal is pending in a thread that blocks it"
                .to_owned(),
        ),
        Err(e) => Some(format!("the earlier handler of SIGPROF could not be put back: {e}")),
    }
}

/// What a recording stands on.
pub(super) struct Begun {
    pub(super) code: &'static Code,
    pub(super) shared: &'static Shared,
    pub(super) installed: signal::Installed,
}

/// From now on signals are samples, but for those of the calling thread, which is the sampler.
pub(super) fn begin(period_ns: u64) -> Result<Begun, CpuError> {
    let failed = |what: &str, e: std::io::Error| CpuError::Failed { why: format!("{what}: {e}") };
    signal::block_in_this_thread();
    let code = Code::of_process().map_err(|e| failed("the unwinder's tables could not be reserved", e))?;
    let shared = Shared::of_process().map_err(|e| failed("the ring could not be reserved", e))?;
    code.refresh();
    // What a handler left behind that came too late for the last recording.
    shared.ring.drain(|_, _| {});
    let installed =
        signal::install().map_err(|e| failed("the handler of SIGPROF could not be installed", e))?;
    shared.begin(period_ns, ladder::filtered());
    Ok(Begun { code, shared, installed })
}

/// Records until it is told to end. Tells `control` when it has begun.
pub(super) fn run(mut choice: Choice, hz: u32, control: &Control) -> Result<Recorded, CpuError> {
    crate::sys::thread::push_nobody();
    let period_ns = 1_000_000_000 / u64::from(hz);
    let Begun { code, shared, installed } = begin(period_ns)?;

    let mut threads = Threads::new(shared, choice.source, period_ns);
    threads.scan_if_due();
    let process_period_ns = period_ns.max(PROCESS_PERIOD_NS);
    let process_timer = ladder::process_timers_hit_the_running_thread()
        .then(|| Timer::of_process(process_period_ns, process_period_ns).ok())
        .flatten();
    let began_ns = threads.begin_accounts();
    let began = Instant::now();
    control.begun();
    if choice.is_first_step {
        // Samples wait in the ring meanwhile.
        choice = ladder::second();
        if choice.source == Source::PerfCpuClock {
            threads.use_events();
        }
    }

    let (mut calls, mut tally) = (Calls::new(), Tally::default());
    let mut drain = |threads: &mut Threads| {
        let before = tally.samples;
        shared.ring.drain(|sample, copy| {
            let node = tally.take(code, &mut calls, sample, copy.as_ref());
            let period_ns = if sample.by_process { process_period_ns } else { period_ns };
            let ns = u64::from(sample.periods) * period_ns;
            threads.note(sample.thread, sample.cpu_ns, &sample.name);
            *tally.sampled_ns.entry(sample.thread).or_insert(0) += ns;
            let row = Row { node, thread: sample.thread, context: sample.context, state: State::Running };
            calls.add(row, Sum { samples: 1, ns });
            #[cfg(feature = "recorder")]
            {
                let frames = sample.frames.get(..sample.len as usize).unwrap_or_default();
                crate::sys::cpu::moments::put(sample.at_ticks, sample.thread, frames);
            }
        });
        tally.samples - before
    };
    #[cfg(target_arch = "x86_64")]
    let mut learning = code.walker().program_to_learn();
    let mut refreshed = Instant::now();
    let (mut pause, mut drained) = (DRAIN_AT_FIRST, Instant::now());
    while !control.wait(pause) {
        let samples = drain(&mut threads);
        let took = drained.elapsed();
        drained = Instant::now();
        if began.elapsed() >= AT_FIRST {
            pause = next_pause(samples, took, Duration::from_nanos(period_ns));
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(mut program) = learning.take() {
            match program.go_on(LEARN_AT_ONCE) {
                true => learning = Some(program),
                false => code.walker().know_program(program.finish()),
            }
        }
        threads.look_if_due();
        threads.scan_if_due();
        if refreshed.elapsed() >= REFRESH_EVERY {
            code.refresh();
            refreshed = Instant::now();
        }
    }
    let length = began.elapsed();
    drop(process_timer);
    let process_ns = threads.end(began_ns);
    shared.end();
    drain(&mut threads);
    let accounts = threads.accounts(process_ns);
    let restored = remark(installed.restore());
    shared.give_back();

    let mut losses = tally.losses(&calls, &shared.losses);
    if threads.refused > 0 {
        losses.insert("cpu_threads_not_armed".to_owned(), threads.refused);
    }
    let weights = Weights::new(period_ns, &tally.sampled_ns, &accounts);
    let mut remarks = vec![format!(
        "cpu_time_ns={} accounted={:.4} samples={} overruns={}",
        accounts.process_ns,
        weights.accounted.unwrap_or(1.0),
        tally.samples,
        tally.overruns,
    )];
    remarks.extend(restored);
    let (samples, overruns) = (tally.samples, tally.overruns);
    Ok(Recorded {
        calls,
        names: threads.into_names(),
        weights,
        choice,
        period_ns,
        length,
        ended_unix_ns: crate::sys::clock::unix_ns(),
        samples,
        overruns,
        losses,
        remarks,
    })
}

/// How long the sampler may sleep after so many samples in that time.
fn next_pause(samples: u64, took: Duration, period: Duration) -> Duration {
    let longest = (period * PERIODS_A_PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
    let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
    (took * SAMPLES_A_PAUSE / samples).clamp(SHORTEST_PAUSE, longest)
}

/// For the benchmark: takes up to 500 samples of the calling stack as the handler does, without the signals; gives the CPU time
/// and the frames of the last. With `anew` no frame is taken over from the sample before. `None` while a profile is recorded, or when not every walk went to the root by cached rules.
#[doc(hidden)]
pub fn bench_samples(count: u32, anew: bool) -> Option<(Duration, usize)> {
    let (code, shared) = (Code::of_process().ok()?, Shared::of_process().ok()?);
    if super::Cpu::new().stats().recording {
        return None;
    }
    let (count, mut calls, mut tally) = (count.min(500), Calls::new(), Tally::default());
    let began_ns = clock::own_cpu_ns();
    for _ in 0..count {
        if anew {
            code.walker().forget_walks();
        }
        shared.sample_here();
    }
    let took = Duration::from_nanos(clock::own_cpu_ns() - began_ns);
    let (mut frames, mut stuck) = (0, false);
    shared.ring.drain(|sample, copy| {
        stuck |= copy.is_some();
        tally.take(code, &mut calls, sample, copy.as_ref());
        frames = sample.len as usize;
    });
    let whole = !stuck && tally.samples == u64::from(count) && tally.cut + tally.lost == 0;
    whole.then_some((took, frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_long_where_little_comes() {
        let ms = Duration::from_millis;
        let at = |hz: u64| Duration::from_nanos(1_000_000_000 / hz);
        assert_eq!(next_pause(0, ms(5), at(99)), ms(40));
        assert_eq!(next_pause(8, ms(40), at(99)), ms(40), "two busy threads");
        assert_eq!(next_pause(160, ms(40), at(99)), ms(32), "40 of them");
        assert_eq!(next_pause(10_000, ms(100), at(99)), ms(20));
        assert_eq!(next_pause(0, ms(20), at(999)), ms(20));
        assert_eq!(next_pause(0, ms(100), at(1)), ms(40));
        assert_eq!(next_pause(u64::MAX, ms(0), at(499)), ms(20));
    }
}
