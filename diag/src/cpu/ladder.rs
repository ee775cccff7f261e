//! Which source of signals this system allows, tried on the calling thread.

use super::{CpuError, CpuOptions, Mode, Source};

/// A source, and why it was taken.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) source: Source,
    pub(super) why: String,
    /// A better source is still to be tried, by [`second`].
    pub(super) is_first_step: bool,
}

impl Choice {
    pub(super) fn new(source: Source, why: impl Into<String>) -> Self {
        Self { source, why: why.into(), is_first_step: false }
    }
}

/// What a recording begins with: the source that is asked for, or one that is there at once, while a better one is still to be tried.
/// For the kernel takes 5 to 40 ms to open the first event of the whole machine (it waits until every processor has taken
/// note), and those are not to be missing in front of each profile.
#[cfg(target_os = "linux")]
pub(super) fn first(options: &CpuOptions) -> Result<Choice, CpuError> {
    let may_rise = (options.mode, options.source) == (Mode::Cpu, None) && !filtered();
    match may_rise && timers().is_ok() {
        true => Ok(Choice { is_first_step: true, ..Choice::new(Source::ThreadTimers, String::new()) }),
        false => choose(options),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use choose as first;

/// What a recording goes on with that [`first`] let begin with timers.
#[cfg(target_os = "linux")]
pub(super) fn second() -> Choice {
    match perf() {
        Ok(()) => events(),
        Err(no_perf) => timers_for_want_of_events(&no_perf),
    }
}

/// The best source that works, or the one that is asked for.
#[cfg(target_os = "linux")]
pub(super) fn choose(options: &CpuOptions) -> Result<Choice, CpuError> {
    if options.mode == Mode::Wall {
        let why = "threads are asked where they are".to_owned();
        return match options.source {
            None | Some(Source::Signals) => Ok(Choice::new(Source::Signals, why)),
            Some(other) => Err(unavailable(
                format!("{other:?} measures CPU time, not time that passes"),
                "leave the source out for mode=wall",
            )),
        };
    }
    match options.source {
        None => best(),
        Some(source @ Source::PerfCpuClock) => perf().map(|()| asked(source)),
        Some(source @ Source::ThreadTimers) => timers().map(|()| asked(source)),
        Some(source @ Source::PprofCrate) => pprof_crate().map(|()| asked(source)),
        Some(source @ Source::Signals) => Err(unavailable(
            format!("{source:?} measures time that passes, not CPU time"),
            "ask for mode=wall",
        )),
    }
    .map_err(|why| match why {
        CpuError::Unavailable { .. } => why,
        other => CpuError::Failed { why: other.to_string() },
    })
}

/// Elsewhere there is the `pprof` crate only.
#[cfg(not(target_os = "linux"))]
pub(super) fn choose(options: &CpuOptions) -> Result<Choice, CpuError> {
    match (options.mode, options.source) {
        (Mode::Cpu, None | Some(Source::PprofCrate)) => {
            Ok(Choice::new(Source::PprofCrate, "the sampler of diag is for Linux"))
        }
        _ => Err(unavailable(
            "this system has CPU profiles by the pprof crate only".to_owned(),
            "leave mode and source out",
        )),
    }
}

#[cfg(target_os = "linux")]
fn asked(source: Source) -> Choice {
    Choice::new(source, "it was asked for")
}

#[cfg(target_os = "linux")]
fn events() -> Choice {
    let why = "perf_event_open gives a high-resolution timer on each thread's CPU time";
    Choice::new(Source::PerfCpuClock, why)
}

#[cfg(target_os = "linux")]
fn timers_for_want_of_events(no_perf: &CpuError) -> Choice {
    let hz = ticks_a_second().map_or("CONFIG_HZ".to_owned(), |hz| hz.to_string());
    let why = format!(
        "{no_perf}; timers on each thread's CPU time work and have at most {hz} signals a second, each weighted by the periods it \
         stands for"
    );
    Choice::new(Source::ThreadTimers, why)
}

#[cfg(target_os = "linux")]
fn best() -> Result<Choice, CpuError> {
    let perf = match filtered() {
        // A filter may end the process for a call that it does not allow; nobody asked for that risk.
        true => Err(unavailable(
            "a seccomp filter is in force, so perf_event_open is not tried".to_owned(),
            "CpuOptions::source asks for it all the same",
        )),
        false => perf(),
    };
    let Err(no_perf) = perf else { return Ok(events()) };
    let Err(no_timers) = timers() else { return Ok(timers_for_want_of_events(&no_perf)) };
    match pprof_crate() {
        Ok(()) => Ok(Choice::new(Source::PprofCrate, format!("{no_perf}; {no_timers}"))),
        Err(_) => Err(unavailable(
            format!("{no_perf}; {no_timers}"),
            "allow timer_create to this process (a seccomp filter may forbid it)",
        )),
    }
}

#[cfg(target_os = "linux")]
fn perf() -> Result<(), CpuError> {
    use crate::sys::cpu::perf::PerfEvent;
    const LATER_NS: u64 = 3_600_000_000_000;
    PerfEvent::of_thread(crate::sys::thread::thread_id(), LATER_NS).map(drop).map_err(|e| {
        let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
        let paranoid = match paranoid.trim() {
            "" => String::new(),
            level => format!(", perf_event_paranoid is {level}"),
        };
        unavailable(
            format!("perf_event_open is refused ({e}{paranoid})"),
            "set kernel.perf_event_paranoid to 1 or give the process CAP_PERFMON",
        )
    })
}

#[cfg(target_os = "linux")]
fn timers() -> Result<(), CpuError> {
    use crate::sys::cpu::timer::Timer;
    const LATER_NS: u64 = 3_600_000_000_000;
    Timer::of_thread(crate::sys::thread::thread_id(), LATER_NS, LATER_NS).map(drop).map_err(|e| {
        unavailable(
            format!("timer_create is refused ({e})"),
            "raise RLIMIT_SIGPENDING, or allow the system call",
        )
    })
}

#[cfg(all(target_os = "linux", feature = "cpu-guard"))]
fn pprof_crate() -> Result<(), CpuError> {
    Ok(())
}

#[cfg(all(target_os = "linux", not(feature = "cpu-guard")))]
fn pprof_crate() -> Result<(), CpuError> {
    Err(unavailable(
        "the pprof crate is not part of this build".to_owned(),
        "enable the feature cpu-guard of diag",
    ))
}

fn unavailable(why: String, next: &str) -> CpuError {
    CpuError::Unavailable { why, next: next.to_owned() }
}

/// Whether system calls of this process are filtered (seccomp(2)); containers do, and hardened services.
#[cfg(target_os = "linux")]
pub(super) fn filtered() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|l| l.strip_prefix("Seccomp:")).is_some_and(|mode| mode.trim() != "0")
}

/// The kernel's tick, from its published configuration where that is readable.
#[cfg(target_os = "linux")]
fn ticks_a_second() -> Option<u32> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let config = std::fs::read_to_string(format!("/boot/config-{}", release.trim())).ok()?;
    config.lines().find_map(|line| line.strip_prefix("CONFIG_HZ="))?.parse().ok()
}

/// Whether signals of a timer on the process's CPU time go to the thread that was running: since Linux 6.4.
#[cfg(target_os = "linux")]
pub(super) fn process_timers_hit_the_running_thread() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 4)
}
