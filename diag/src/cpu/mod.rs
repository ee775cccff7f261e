//! CPU profiles of the running process: where the time goes, and with [`Mode::Wall`] where threads wait.
//!
//! On Linux each thread has a timer on its own CPU time whose signal interrupts it where it is; the handler notes the stack and
//! nothing else. The best source that the system allows is taken ([`Source`]); which one, and why, is in [`Cpu::stats`] and in
//! the profile's comments. Threads that begin while sampling are met within 100 ms, and until then sampled by a timer on the
//! process's CPU time. One profile at a time.
//!
//! Nanoseconds add up to the CPU time that the kernel charged to the process, the sampler's own thread excepted: each
//! thread's samples are weighted so that they sum to that thread's time, those of threads with few samples
//! together. How much the samples accounted for before that is in the comments (`accounted`).
//!
//! A profile begins within 2 ms: with timers where events are still to be opened, for which the kernel takes up to 40 ms.
//!
//! Between two profiles nothing runs and nothing is held but 4 MiB of reserved address space and, on x86-64, the unwind rules of the program's own
//! code: about a fifth of that code's size, 4 MiB at most ([`CpuStats::memory_bytes`]).

#[cfg(target_os = "linux")]
mod calibrate;
#[cfg(target_os = "linux")]
mod calls;
#[cfg(any(feature = "cpu-guard", not(target_os = "linux")))]
mod guard;
mod ladder;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod profile;
mod recording;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod wall;

#[cfg(all(test, target_os = "linux"))]
mod tests;

#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use session::bench_samples;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::profile::{Profile, ProfileError};
pub use recording::Recording;

/// Samples a second and thread when nothing is said. Not a divisor of common timers' rates.
pub const DEFAULT_HZ: u32 = 99;
/// The highest rate.
pub const MOST_HZ: u32 = 4_999;
/// Looks a second and thread in [`Mode::Wall`] when nothing is said.
pub const DEFAULT_WALL_HZ: u32 = 19;

/// What is sampled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// Time on a processor, in the program and in the kernel: `samples/count` and `cpu/nanoseconds`.
    #[default]
    Cpu,
    /// Time that passes, running or waiting: `samples/count` and `wall/nanoseconds`, with the label `state`. Each look at a thread
    /// that has run since the last one interrupts it: system calls that do not restart end with EINTR. At most 1,000 looks a
    /// second; with more threads each is looked at more rarely.
    Wall,
}

/// What sends the signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// The kernel's event `cpu-clock`, a high-resolution timer: any rate is kept. Needs `perf_event_paranoid` of at most 1 or
    /// CAP_PERFMON. A process that replaces itself by exec while it records may be ended by a signal that is pending
    /// then (three in four at 1,000 Hz): end the recording first. Children are safe.
    PerfCpuClock,
    /// POSIX timers on each thread's CPU time, which the kernel looks at CONFIG_HZ times a second: at higher rates a
    /// sample stands for several periods, as the kernel counts them.
    ThreadTimers,
    /// Looks from the sampler's thread; for [`Mode::Wall`].
    Signals,
    /// The `pprof` crate, where there is nothing else (macOS, FreeBSD; on Linux with the feature `cpu-guard`). One timer for
    /// the process; samples that meet another one are lost uncounted.
    PprofCrate,
}

/// How to sample.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CpuOptions {
    /// Samples a second of CPU time and thread; `None` for [`DEFAULT_HZ`], or [`DEFAULT_WALL_HZ`].
    pub hz: Option<u32>,
    /// What is sampled.
    pub mode: Mode,
    /// Take this source and no other; `None` for the best.
    pub source: Option<Source>,
    /// The recording ends by itself after so long; `None` for an hour.
    pub at_most: Option<Duration>,
}

impl CpuOptions {
    /// Sets the rate.
    #[must_use]
    pub fn hz(mut self, hz: u32) -> Self {
        self.hz = Some(hz);
        self
    }

    /// Sets what is sampled.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Takes this source and no other.
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Ends the recording by itself.
    #[must_use]
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = Some(time);
        self
    }

    fn rate(&self) -> u32 {
        let default = match self.mode {
            Mode::Cpu => DEFAULT_HZ,
            Mode::Wall => DEFAULT_WALL_HZ,
        };
        self.hz.unwrap_or(default)
    }
}

/// Why there is no CPU profile.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// One at a time.
    #[error("a CPU profile is being recorded already; it ends in at most {} s", .ends_in.as_secs().max(1))]
    Busy {
        /// At the latest.
        ends_in: Duration,
    },
    /// A rate out of bounds.
    #[error("{hz} Hz is not a rate that can be sampled at; take 1 to {MOST_HZ}")]
    Rate {
        /// As asked for.
        hz: u32,
    },
    /// No source is to be had.
    #[error("CPU profiles are not available: {why}; {next}")]
    Unavailable {
        /// The cause.
        why: String,
        /// What to do.
        next: String,
    },
    /// A profile could not be made.
    #[error("the CPU profile could not be made: {why}")]
    Failed {
        /// The cause.
        why: String,
    },
}

impl From<ProfileError> for CpuError {
    fn from(error: ProfileError) -> Self {
        Self::Failed { why: error.to_string() }
    }
}

/// State of the sampler, for `status` and `/metrics`.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// Whether a profile is being recorded now.
    pub recording: bool,
    /// Profiles recorded so far.
    pub profiles_total: u64,
    /// Samples taken so far.
    pub samples_total: u64,
    /// Periods so far that a sample stood for beyond its own, as the kernel counted them: rates above its tick.
    pub overruns_total: u64,
    /// What sends the signals: of the last profile, or what the next one would take.
    pub source: Option<Source>,
    /// Why that one.
    pub why: String,
    /// Of the last profile: share of the CPU time that its samples stood for before they were weighted to it.
    pub accounted: Option<f64>,
    /// Memory held for samples now: the ring between handlers and the sampler, reserved at the first profile, and the unwind rules of the program's
    /// own code.
    pub memory_bytes: u64,
    /// What was lost in all profiles so far, by name.
    pub losses: BTreeMap<String, u64>,
}

/// The CPU sampler of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    _private: (),
}

impl Cpu {
    /// It needs nothing else to run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records for so long, and gives the profile: addresses only; see [`Diag::symbolize`](crate::Diag::symbolize).
    ///
    /// # Errors
    /// [`CpuError`].
    pub fn profile(&self, time: Duration, options: &CpuOptions) -> Result<Profile, CpuError> {
        let recording = self.record(options)?;
        std::thread::sleep(time);
        recording.finish()
    }

    /// Begins to record. Dropping the recording ends it.
    ///
    /// # Errors
    /// [`CpuError`].
    pub fn record(&self, options: &CpuOptions) -> Result<Recording, CpuError> {
        recording::start(options)
    }

    /// State and counters.
    #[must_use]
    pub fn stats(&self) -> CpuStats {
        recording::stats()
    }
}
