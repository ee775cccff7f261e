//! What the collector keeps for each thread.
//!
//! The thread-local is constant-initialised and has no destructor, so reading it neither allocates nor registers
//! anything, before and after the thread's other thread-locals live.

use std::cell::Cell;

/// State of one thread. Only the thread itself touches it.
pub(crate) struct ThreadState {
    /// Inside the collector: hooks that fire now are ours and are skipped.
    busy: Cell<bool>,
    /// Depth of [`Unprofiled`] guards: allocations made now are not recorded.
    unprofiled: Cell<u32>,
    /// Samples of this thread go to the calibration of allocator frames.
    pub(crate) calibrating: Cell<bool>,
    /// The block that `GlobalAlloc::realloc` is about to replace, or 0.
    pub(crate) realloc_from: Cell<usize>,
    /// Verified bounds of the stack: `low..high`, or `0..0`.
    pub(crate) stack: Cell<(usize, usize)>,
    /// Sampling period that jemalloc drew this thread's current gap from; 0 when not known.
    pub(crate) drawn_period: Cell<u64>,
    /// Position of the thread's name in the collector's table, plus one; 0 when not known.
    pub(crate) name: Cell<u32>,
    /// Samples taken on this thread.
    pub(crate) samples: Cell<u32>,
    /// Number of the context (span, route, labels) that the thread is in; 0 for none. What samples copy.
    pub(crate) context: Cell<u32>,
    /// Of these two it is made: the current span's, and that of the labels around it.
    pub(crate) span_context: Cell<u32>,
    pub(crate) label_context: Cell<u32>,
    /// What spans and labels met lately are together: span's, labels', both.
    pub(crate) overlays: [Cell<(u32, u32, u32)>; 8],
    /// The kernel's number of the thread, or 0.
    id: Cell<u32>,
    /// Only for the CPU sampler's signal handler: verified bounds of the stack, and the session and CPU time of the
    /// last sample.
    pub(crate) sampled_stack: Cell<(usize, usize)>,
    pub(crate) cpu_sampled: Cell<(u32, u64)>,
    /// And a session, with the samples of this thread in it.
    pub(crate) samples_in: Cell<(u32, u32)>,
    /// Address of the signal that is being passed on to the handler before ours, or 0.
    pub(crate) forwarded: Cell<usize>,
}

thread_local! {
    static STATE: ThreadState = const {
        ThreadState {
            busy: Cell::new(false),
            unprofiled: Cell::new(0),
            calibrating: Cell::new(false),
            realloc_from: Cell::new(0),
            stack: Cell::new((0, 0)),
            drawn_period: Cell::new(0),
            name: Cell::new(0),
            samples: Cell::new(0),
            context: Cell::new(0),
            span_context: Cell::new(0),
            label_context: Cell::new(0),
            overlays: [const { Cell::new((0, 0, 0)) }; 8],
            id: Cell::new(0),
            sampled_stack: Cell::new((0, 0)),
            cpu_sampled: Cell::new((0, 0)),
            samples_in: Cell::new((0, 0)),
            forwarded: Cell::new(0),
        }
    };
}

/// Runs `f` with the state of this thread.
#[inline]
pub(crate) fn with_state<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    STATE.with(f)
}

impl ThreadState {
    #[inline]
    pub(crate) fn is_unprofiled(&self) -> bool {
        self.unprofiled.get() > 0
    }

    /// Marks the thread as inside the collector. `None` when it is already.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Busy<'_>> {
        if self.busy.replace(true) { None } else { Some(Busy { state: self }) }
    }
}

/// The thread is inside the collector while this lives.
pub(crate) struct Busy<'a> {
    state: &'a ThreadState,
}

impl Drop for Busy<'_> {
    #[inline]
    fn drop(&mut self) {
        self.state.busy.set(false);
    }
}

/// While this lives, the heap collector records no allocation of this thread. Used for the diagnostics' own work.
#[derive(Debug)]
pub struct Unprofiled {
    /// The guard counts on the thread that made it.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Unprofiled {
    /// From here until the drop.
    #[must_use]
    pub fn begin() -> Self {
        with_state(|s| s.unprofiled.set(s.unprofiled.get().saturating_add(1)));
        Self { _not_send: std::marker::PhantomData }
    }
}

impl Drop for Unprofiled {
    fn drop(&mut self) {
        with_state(|s| s.unprofiled.set(s.unprofiled.get().saturating_sub(1)));
    }
}

/// From now on the calling thread, and those that it starts, stand back behind the others of the process: they push nobody off the processor when
/// they wake (`SCHED_BATCH` of sched(7)), and are the first to be pushed off (ten steps nicer: a tenth of a processor where all are busy). Needs
/// no privilege and cannot be undone without one; elsewhere, and where it is refused, nothing changes.
#[doc(hidden)]
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        const NICER: libc::c_int = 10;
        // SAFETY: numbers only; 0 is the calling thread, also where POSIX says process (setpriority(2)). -1 may be an answer, and is no
        // worse a beginning than any other.
        unsafe {
            let nice = libc::getpriority(libc::PRIO_PROCESS, 0);
            libc::setpriority(libc::PRIO_PROCESS, 0, nice + NICER);
        }
        push_nobody();
    }
}

/// The first half of [`stand_back`]: the thread has its share of the processor, and waits for it until somebody's turn is over.
#[cfg(target_os = "linux")]
pub(crate) fn push_nobody() {
    // A struct sched_param: the priority, which is 0 for this policy.
    let priority: libc::c_int = 0;
    // SAFETY: the kernel reads the one int; 0 is the calling thread. Not by libc's function, which does nothing on musl.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const priority) };
}

/// This thread's number is asked for anew the next time.
#[cfg(any(feature = "heap", feature = "cpu"))]
pub(crate) fn forget_id() {
    with_state(|state| state.id.set(0));
}

/// The kernel's number of this thread. A system call the first time, and after a fork.
#[inline]
pub(crate) fn thread_id() -> u32 {
    with_state(|state| match state.id.get() {
        0 => {
            let id = ask_thread_id();
            state.id.set(id);
            id
        }
        id => id,
    })
}

#[cfg(target_os = "linux")]
fn ask_thread_id() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Elsewhere threads are told apart by a number of ours.
#[cfg(not(target_os = "linux"))]
fn ask_thread_id() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
use libc::__errno_location as errno_location;
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
use libc::__error as errno_location;

#[inline]
pub(crate) fn errno() -> i32 {
    // SAFETY: the C library gives a valid pointer for the calling thread, always.
    unsafe { *errno_location() }
}

#[inline]
pub(crate) fn set_errno(value: i32) {
    // SAFETY: as above.
    unsafe { *errno_location() = value };
}

/// The kernel's name of this thread, padded with zeros. One system call.
#[cfg(target_os = "linux")]
pub(crate) fn kernel_name() -> [u8; 16] {
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, zero-terminated.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}
