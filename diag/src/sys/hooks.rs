//! The functions jemalloc calls for sampled allocations. They run inside malloc, realloc and free of any thread.
//!
//! Calls made from here, and why each is allowed:
//! - thread-local state: constant-initialised, no destructor ([`super::thread`]);
//! - the walk ([`super::unwind`]): reads the stack, allocates nothing, takes one of its own locks;
//! - stack bounds, on a thread's first sample: open, ioctl or read, close;
//! - clock_gettime (vDSO); prctl, on a few of a thread's samples;
//! - the sink, which keeps the same rules: its own locks, memory from mmap.
//!
//! errno is saved and restored. Re-entry (a signal handler that allocates) is refused and counted. Locks are taken
//! before fork and released after it. When a table is full the sample is dropped and counted. No hook unwinds: the
//! code avoids panicking operations, and `extern "C"` would abort rather than unwind into C.

use std::ffi::{c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::jemalloc;
use super::own_stack::{MAX_FRAMES, walk as walk_in_handler};
use super::thread::{self, ThreadState};
use super::unwind::{Registers, WalkEnd, Walker};

/// A sampled allocation, seen inside malloc.
pub(crate) struct SampledAllocation<'a> {
    pub(crate) address: u64,
    /// As asked for.
    pub(crate) size: u64,
    /// Of the size class.
    pub(crate) usable_size: u64,
    /// Innermost first, allocator frames included.
    pub(crate) frames: &'a [u64],
    pub(crate) thread: &'a ThreadState,
}

/// Who is told of sampled allocations. Implementations keep the rules of the module.
pub(crate) trait SampleSink: Sync {
    /// An allocation was sampled.
    fn sampled_in_handler(&self, sample: &SampledAllocation<'_>);
    /// An allocation of a thread that records nothing was sampled.
    fn skipped_in_handler(&self, thread: &ThreadState);
    /// A sampled allocation is freed.
    fn freed_in_handler(&self, address: u64);
    /// The walker to use.
    fn walker(&self) -> &Walker;
}

/// Losses of the hooks themselves.
#[derive(Default, Debug)]
pub(crate) struct HookLosses {
    pub(crate) reentered_samples: AtomicU64,
    pub(crate) reentered_frees: AtomicU64,
    pub(crate) truncated_stacks: AtomicU64,
    pub(crate) unwind_errors: AtomicU64,
    pub(crate) no_stack_bounds: AtomicU64,
}

pub(crate) static LOSSES: HookLosses = HookLosses {
    reentered_samples: AtomicU64::new(0),
    reentered_frees: AtomicU64::new(0),
    truncated_stacks: AtomicU64::new(0),
    unwind_errors: AtomicU64::new(0),
    no_stack_bounds: AtomicU64::new(0),
};

static SINK: OnceLock<&'static dyn SampleSink> = OnceLock::new();
/// Give jemalloc the real stacks too, so that its own dumps stay useful.
static STACKS_FOR_JEMALLOC: AtomicBool = AtomicBool::new(false);
/// jemalloc's own backtrace function, kept for benchmarks against it.
static JEMALLOC_BACKTRACE: OnceLock<jemalloc::BacktraceHook> = OnceLock::new();

/// Directs jemalloc's sampler to `sink` for the rest of the process.
pub(crate) fn install(sink: &'static dyn SampleSink, stacks_for_jemalloc: bool) -> jemalloc::Result<()> {
    STACKS_FOR_JEMALLOC.store(stacks_for_jemalloc, Ordering::Relaxed);
    if SINK.set(sink).is_err() {
        return Ok(());
    }
    let _ = JEMALLOC_BACKTRACE.set(jemalloc::backtrace_hook()?);
    // SAFETY: the three functions below keep the rules, as the header argues.
    unsafe { jemalloc::set_hooks(Some(sample_in_handler), Some(free_in_handler), Some(backtrace_in_handler)) }
}

/// Who does the work of a sample. For benchmarks.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooked {
    /// This library.
    Diag,
    /// jemalloc as it does without this library.
    Jemalloc,
    /// Nobody: what jemalloc's sampling costs by itself, all its samples under one stack.
    Nobody,
}

/// For benchmarks. Frees of our samples that come while others are at it are missed.
pub(crate) fn hook_up(hooked: Hooked) -> jemalloc::Result<()> {
    let (sample, free, backtrace): (Option<jemalloc::SampleHook>, Option<jemalloc::SampleFreeHook>, _) =
        match hooked {
            Hooked::Diag => (Some(sample_in_handler), Some(free_in_handler), Some(backtrace_in_handler as _)),
            Hooked::Jemalloc => (None, None, JEMALLOC_BACKTRACE.get().copied()),
            Hooked::Nobody => (None, None, Some(backtrace_in_handler as _)),
        };
    // SAFETY: jemalloc's own function, or ours; no hook is what jemalloc starts with.
    unsafe { jemalloc::set_hooks(sample, free, backtrace) }
}

/// jemalloc asks for a stack to file the sample under. The stacks are kept in the live table, so one constant frame is
/// enough: jemalloc's own tables then stay at one entry a thread. A dump made by others shows this function.
unsafe extern "C" fn backtrace_in_handler(frames: *mut *mut c_void, len: *mut c_uint, max: c_uint) {
    if max == 0 {
        return;
    }
    if STACKS_FOR_JEMALLOC.load(Ordering::Relaxed)
        && let Some(sink) = SINK.get()
    {
        let errno = thread::errno();
        let mut walked = [0u64; MAX_FRAMES];
        let regs = Registers::here();
        let count = thread::with_state(|t| match t.enter() {
            Some(_busy) => walk_in_handler(sink.walker(), t, regs, &mut walked).0,
            None => 0,
        });
        thread::set_errno(errno);
        let count = count.min(max as usize);
        if count > 0 {
            for (i, address) in walked.iter().take(count).enumerate() {
                // jemalloc's readers expect return addresses, which lie one behind the look-up address.
                // SAFETY: jemalloc gives room for `max` pointers.
                unsafe { *frames.add(i) = (address + 1) as *mut c_void };
            }
            // SAFETY: jemalloc's out-parameter.
            unsafe { *len = count as c_uint };
            return;
        }
    }
    // SAFETY: room for at least one pointer, and the out-parameter.
    unsafe {
        *frames = backtrace_in_handler as *mut c_void;
        *len = 1;
    }
}

unsafe extern "C" fn sample_in_handler(
    address: *const c_void,
    size: usize,
    _frames: *mut *mut c_void,
    _len: c_uint,
    usable_size: usize,
) {
    let Some(sink) = SINK.get() else { return };
    let regs = Registers::here();
    thread::with_state(|state| {
        let Some(_busy) = state.enter() else {
            LOSSES.reentered_samples.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if state.is_unprofiled() && !state.calibrating.get() {
            sink.skipped_in_handler(state);
            return;
        }
        let errno = thread::errno();
        let mut frames = [0u64; MAX_FRAMES];
        let (count, end) = walk_in_handler(sink.walker(), state, regs, &mut frames);
        match end {
            Some(WalkEnd::Root) => {}
            Some(WalkEnd::BufferFull) => count_one(&LOSSES.truncated_stacks),
            Some(WalkEnd::Lost) => count_one(&LOSSES.unwind_errors),
            None => count_one(&LOSSES.no_stack_bounds),
        }
        sink.sampled_in_handler(&SampledAllocation {
            address: address as u64,
            size: size as u64,
            usable_size: usable_size as u64,
            frames: frames.get(..count).unwrap_or_default(),
            thread: state,
        });
        thread::set_errno(errno);
    });
}

unsafe extern "C" fn free_in_handler(address: *const c_void, _usable_size: usize) {
    let Some(sink) = SINK.get() else { return };
    thread::with_state(|state| {
        let Some(_busy) = state.enter() else {
            LOSSES.reentered_frees.fetch_add(1, Ordering::Relaxed);
            return;
        };
        sink.freed_in_handler(address as u64);
    });
}

fn count_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
