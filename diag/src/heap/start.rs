//! Brings the collector up: what jemalloc is this, who has its hooks, which rate.

use std::sync::OnceLock;

use super::collector::Collector;
use super::handle::{Source, refused};
use super::{Heap, HeapError, Started, calibrate};
use crate::config::{Config, Problem};
use crate::sys::thread::Unprofiled;
use crate::sys::{fork, hooks, jemalloc};

/// Smallest and largest period: one byte (every allocation) and 1 TiB.
const LG_PERIODS: std::ops::RangeInclusive<u32> = 0..=40;

/// Made once; a later start takes it up again.
static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// log2 of a period, rounded to the nearest power of two.
pub(crate) fn lg_period(bytes: u64) -> usize {
    let bytes = bytes.max(1);
    let below = bytes.ilog2();
    let up = bytes as f64 / (1u64 << below) as f64 >= std::f64::consts::SQRT_2;
    (below + u32::from(up)).clamp(*LG_PERIODS.start(), *LG_PERIODS.end()) as usize
}

/// Starts sampling.
pub(crate) fn start(config: &Config) -> Result<Started, HeapError> {
    let _unprofiled = Unprofiled::begin();
    jemalloc::keep_shipped_conf();
    check_jemalloc()?;
    let mut problems = Vec::new();
    let source = match COLLECTOR.get() {
        Some(collector) if !config.force_prof_dump => Source::Hooks(collector),
        _ => choose(config, &mut problems)?,
    };
    let heap = Heap { source };
    let lg_before = jemalloc::lg_sample().unwrap_or(0);
    let lg = set_period(&heap, config.sample_bytes, &mut problems)?;
    heap.set_active(true)?;
    if let Source::Hooks(collector) = source {
        collector.set_period(1 << lg);
        let code = calibrate::allocator_functions(collector, 1 << lg_before);
        if code.is_empty() {
            problems.push(Problem {
                part: "heap".into(),
                what: "the allocator's own frames could not be told apart at this sampling rate".into(),
                next: "they are stripped by name in symbolized profiles; nothing to do".into(),
            });
        }
        collector.set_allocator_code(code);
    }
    Ok(Started { heap, problems })
}

/// Whether the process allocates from a jemalloc that can sample.
fn check_jemalloc() -> Result<(), HeapError> {
    let unavailable =
        |why: &str, next: &str| Err(HeapError::Unavailable { why: why.to_owned(), next: next.to_owned() });
    if !is_global_allocator() {
        return unavailable(
            "the global allocator of this program is not jemalloc",
            "add `#[global_allocator] static ALLOC: diag::Allocator = diag::Allocator;`",
        );
    }
    match jemalloc::opt_prof() {
        Ok(true) => Ok(()),
        Ok(false) => {
            let (why, next) = why_off(cfg!(target_env = "musl"));
            unavailable(why, next)
        }
        Err(_) => unavailable(
            "this jemalloc was built without profiling",
            "enable the feature `profiling` of tikv-jemallocator",
        ),
    }
}

/// Why jemalloc does not profile, and what to do. On musl our settings are not shipped (see `sys/jemalloc.rs`), and prof:true is nothing to
/// recommend.
fn why_off(musl: bool) -> (&'static str, &'static str) {
    if musl {
        return (
            "on musl diag leaves jemalloc's profiling off (opt.prof is false): with it a program may hang before main",
            "build the service for a -gnu target to get heap profiles, and do not set prof:true for this one; CPU profiles, tasks, \
             locks and the memory waterline do not need it",
        );
    }
    (
        "jemalloc was told at start-up not to profile (opt.prof is false)",
        "remove prof:false from the environment (_RJEM_MALLOC_CONF, or MALLOC_CONF when jemalloc replaces malloc), \
         or add prof:true to the malloc_conf symbol of the program",
    )
}

/// Whether an ordinary allocation shows in jemalloc's count of this thread.
fn is_global_allocator() -> bool {
    let Ok(before) = jemalloc::thread_allocated() else { return false };
    let block = std::hint::black_box(Vec::<u8>::with_capacity(64 << 10));
    let after = jemalloc::thread_allocated().unwrap_or(before);
    drop(block);
    after.wrapping_sub(before) >= 64 << 10
}

fn choose(config: &Config, problems: &mut Vec<Problem>) -> Result<Source, HeapError> {
    let fallback = |why: &str| Problem {
        part: "heap".into(),
        what: format!("heap profiles come from jemalloc's prof.dump: {why}"),
        next: "in-use bytes and objects are still right; ages and allocation totals are missing".into(),
    };
    if config.force_prof_dump {
        problems.push(fallback("it was asked for"));
        return Ok(Source::Dump);
    }
    match jemalloc::hooks_taken() {
        Ok(false) => {}
        Ok(true) => {
            problems.push(fallback("another part of this program owns jemalloc's sample hooks"));
            return Ok(Source::Dump);
        }
        Err(_) => {
            problems.push(fallback("this jemalloc has no sample hooks (they came with 5.3.1)"));
            return Ok(Source::Dump);
        }
    }
    let period = jemalloc::lg_sample().map_or(512 << 10, |lg| 1u64 << lg.min(63));
    let collector = Collector::new(config.heap_table_bytes, period).map_err(|e| HeapError::Unavailable {
        why: format!("the tables could not be reserved: {e}"),
        next: "allow more address space (ulimit -v) or set a smaller heap_table_bytes".into(),
    })?;
    // Lives as long as the process: hooks may be running at any time.
    let collector: &'static Collector = Box::leak(Box::new(collector));
    fork::guard(collector);
    hooks::install(collector, config.stacks_for_jemalloc).map_err(|e| HeapError::Unavailable {
        why: format!("jemalloc refused the sample hooks: {e}"),
        next: "please report this with the version of jemalloc".into(),
    })?;
    let _ = COLLECTOR.set(collector);
    Ok(Source::Hooks(collector))
}

/// Gives log2 of the period in force.
fn set_period(heap: &Heap, asked: Option<u64>, problems: &mut Vec<Problem>) -> Result<usize, HeapError> {
    let now = jemalloc::lg_sample().map_err(|e| refused("prof.lg_sample", &e))?;
    let Some(bytes) = asked else { return Ok(now) };
    let lg = lg_period(bytes);
    if bytes != 1 << lg {
        problems.push(Problem {
            part: "config".into(),
            what: format!("a sampling period of {bytes} bytes is not a power of two; {} is used", 1u64 << lg),
            next: "set a power of two to silence this".into(),
        });
    }
    if lg != now {
        heap.set_sample_period_bytes(1 << lg)?;
    }
    Ok(lg)
}

#[cfg(test)]
mod tests {
    use super::{lg_period, why_off};

    #[test]
    fn nobody_is_told_to_switch_on_what_hangs() {
        let ((_, musl), (why, elsewhere)) = (why_off(true), why_off(false));
        assert!(musl.contains("-gnu target") && musl.contains("do not set prof:true"));
        assert!(why.contains("opt.prof") && elsewhere.contains("add prof:true"));
    }

    #[test]
    fn periods_round_to_the_nearest_power() {
        for (bytes, lg) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (500_000, 19),
            (524_288, 19),
            (700_000, 19),
            (800_000, 20),
            (u64::MAX, 40),
        ] {
            assert_eq!(lg_period(bytes), lg, "{bytes}");
        }
    }
}
