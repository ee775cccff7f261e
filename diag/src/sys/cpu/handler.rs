//! The signal handler of the CPU sampler.
//!
//! Every call made from here, with its status in signal-safety(7) or why it is allowed:
//! - thread-local state: constant-initialised, no destructor ([`crate::sys::thread`]); only fields of the handler's own;
//! - gettid, getrusage or clock_gettime (CPU time of the thread), ioctl and process_vm_readv: nothing but system calls, no lock of libc's;
//! - on a thread's first sample, and before a stack is copied without process_vm_readv, its bounds: open, ioctl or read, close (all
//!   async-signal-safe);
//! - on a thread's first sample, the second, the fourth and so on, prctl(PR_GET_NAME): raw system call;
//! - the walk by cached rules ([`Walker::walk_cached_in_handler`]): reads words of the stack inside verified bounds;
//! - with a flight recorder, the time-stamp counter or clock_gettime through the vDSO ([`crate::sys::ticks`], chosen before);
//! - atomics on preallocated tables ([`super::ring`]).
//!
//! No lock, no allocation, no freeing, no formatting, no unwinding. errno is saved and restored. The handler does not
//! interrupt itself (SIGPROF is blocked while it runs), and it runs on the thread's alternate stack where there is one, so
//! that a stack at its guard page is sampled too; it needs about 1 KiB of it besides the kernel's signal frame
//! (3 KiB on a thread's first sample before Linux 6.11).
//! When the ring is full the sample is dropped and its periods are counted. A forked child has no timers and so no samples.
//! Signals that are not the sampler's go to the handler that was there before. The kernel keeps one SIGPROF a thread and one for
//! the process pending, so that of two at the same moment one is dropped, whoever sent them.

use std::ffi::c_void;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::clock;
use super::perf;
use super::ring::{COPY_WORDS, Ring, Sample, outcome};
use crate::sys::code::Code;
use crate::sys::region::Region;
use crate::sys::stack_bounds::map_around;
use crate::sys::thread::{self, ThreadState};
use crate::sys::unwind::{CachedEnd, Registers, WalkEnd, Walker};

/// What sent a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A timer on the CPU time of the thread.
    Thread = 1,
    /// A timer on the CPU time of the process.
    Process = 2,
    /// The sampler, to see where the thread is.
    Wall = 3,
}

/// What a signal of ours carries: an address that nobody else has, and the origin.
pub(super) fn cookie(origin: Origin) -> usize {
    static ADDRESS: [u64; 2] = [0; 2];
    (&raw const ADDRESS as usize) | origin as usize
}

/// Numbers of threads are below the kernel's highest pid_max.
const THREADS: usize = 1 << 22;

/// What handlers and the sampler share. One for the process, never dropped.
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    walker: &'static Walker,
    /// Number of the session that runs, or 0.
    session: AtomicU32,
    sessions: AtomicU32,
    period_ns: AtomicU64,
    /// Whether the CPU time of a thread as of the last tick is too coarse for the period.
    is_fast: AtomicBool,
    in_flight: AtomicU32,
    /// Whether stacks are copied through the kernel.
    copy_by_kernel: AtomicBool,
    /// A bit for each thread that has a timer of its own. 512 KiB, resident as far as thread numbers are used.
    armed: Region<AtomicU64>,
    pub(crate) losses: Losses,
}

/// What was lost since the last session began.
#[derive(Default, Debug)]
pub(crate) struct Losses {
    /// Samples and periods for which the ring had no room.
    pub(crate) dropped_samples: AtomicU64,
    pub(crate) dropped_periods: AtomicU64,
    /// Stacks that ended early: for want of bounds, or of room for a copy.
    pub(crate) no_stack_bounds: AtomicU64,
    pub(crate) no_room_for_copy: AtomicU64,
    /// SIGPROF of others.
    pub(crate) foreign_signals: AtomicU64,
}

static SHARED: OnceLock<&'static Shared> = OnceLock::new();

impl Shared {
    /// That of the process.
    pub(crate) fn of_process() -> io::Result<&'static Self> {
        if let Some(known) = SHARED.get() {
            return Ok(known);
        }
        let shared = Self {
            ring: Ring::new()?,
            walker: Code::of_process()?.walker(),
            session: AtomicU32::new(0),
            sessions: AtomicU32::new(0),
            period_ns: AtomicU64::new(0),
            is_fast: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            copy_by_kernel: AtomicBool::new(true),
            armed: Region::reserve(THREADS / 64)?,
            losses: Losses::default(),
        };
        Ok(SHARED.get_or_init(|| Box::leak(Box::new(shared))))
    }

    /// From now on signals are samples, one each `period_ns`. Where system calls are filtered, process_vm_readv is not made.
    pub(crate) fn begin(&self, period_ns: u64, filtered: bool) {
        self.copy_by_kernel.store(!filtered, Ordering::Relaxed);
        let losses = &self.losses;
        let counters = [
            &losses.dropped_samples,
            &losses.dropped_periods,
            &losses.no_stack_bounds,
            &losses.no_room_for_copy,
            &losses.foreign_signals,
        ];
        counters.into_iter().for_each(|c| c.store(0, Ordering::Relaxed));
        self.period_ns.store(period_ns, Ordering::Relaxed);
        // A difference of two such times is wrong by less than a tick, and is rounded to periods.
        self.is_fast.store(period_ns < 2 * clock::tick_ns(), Ordering::Relaxed);
        let number = self.sessions.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
        self.session.store(number, Ordering::SeqCst);
    }

    /// From now on they are not. Waits for handlers that are at work.
    pub(crate) fn end(&self) {
        self.session.store(0, Ordering::SeqCst);
        self.handlers_are_done();
    }

    /// After [`end`](Self::end), when everything was read. What a handler still fills stays until the next session.
    pub(crate) fn give_back(&self) {
        if self.handlers_are_done() {
            self.ring.give_back();
        }
        self.armed.give_back();
    }

    fn handlers_are_done(&self) -> bool {
        // A handler runs for microseconds; one of a stopped or vanished thread must not hold anybody.
        for _ in 0..200 {
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        false
    }

    /// Notes whether a thread has a timer of its own.
    pub(crate) fn set_armed(&self, thread: u32, armed: bool) {
        if let Some(word) = self.armed.get(thread as usize / 64) {
            let bit = 1 << (thread % 64);
            match armed {
                true => word.fetch_or(bit, Ordering::Relaxed),
                false => word.fetch_and(!bit, Ordering::Relaxed),
            };
        }
    }

    fn is_armed(&self, thread: u32) -> bool {
        self.armed
            .get(thread as usize / 64)
            .is_some_and(|w| w.load(Ordering::Relaxed) >> (thread % 64) & 1 == 1)
    }
}

/// The handler that was there before ours. A handler of ours may read it at any time, also one that another handler calls.
pub(super) struct Previous(AtomicPtr<libc::sigaction>);

pub(super) static PREVIOUS: Previous = Previous(AtomicPtr::new(std::ptr::null_mut()));

impl Previous {
    /// Not for handlers. What was there stays allocated, since it may be in use: some bytes for each change of handlers.
    pub(super) fn set(&self, action: libc::sigaction) {
        if !self.get().is_some_and(|known| is_same(&known, &action)) {
            self.0.store(Box::into_raw(Box::new(action)), Ordering::SeqCst);
        }
    }

    pub(super) fn get(&self) -> Option<libc::sigaction> {
        // SAFETY: null, or from a Box that is never freed or changed.
        unsafe { self.0.load(Ordering::SeqCst).as_ref() }.copied()
    }
}

fn is_same(a: &libc::sigaction, b: &libc::sigaction) -> bool {
    // SAFETY: looks at two whole sets.
    let masks =
        (1..64).all(|n| unsafe { libc::sigismember(&a.sa_mask, n) == libc::sigismember(&b.sa_mask, n) });
    masks && (a.sa_sigaction, a.sa_flags) == (b.sa_sigaction, b.sa_flags)
}

/// `siginfo_t` as far as it is read here; the union begins at byte 16 on 64-bit Linux.
#[repr(C)]
struct Info {
    signo: i32,
    errno: i32,
    code: i32,
    _padding: i32,
    /// Timer: its number and the overrun. Polled descriptor: the band.
    first: [i32; 2],
    /// Timer and queued signal: the value. Polled descriptor: its number in the lower half.
    second: u64,
}

/// What a signal stands for.
enum Signal {
    Timer(Origin, u32),
    Perf(libc::c_int),
    Foreign,
}

impl Info {
    fn signal(&self) -> Signal {
        const POLL_IN: i32 = 1;
        const POLL_HUP: i32 = 6;
        let value = self.second as usize;
        match self.code {
            libc::SI_TIMER => {
                match [Origin::Thread, Origin::Process].into_iter().find(|o| cookie(*o) == value) {
                    Some(origin) => Signal::Timer(origin, self.first[1].max(0) as u32),
                    None => Signal::Foreign,
                }
            }
            libc::SI_QUEUE if cookie(Origin::Wall) == value => Signal::Timer(Origin::Wall, 0),
            POLL_IN..=POLL_HUP => Signal::Perf(self.second as libc::c_int),
            _ => Signal::Foreign,
        }
    }
}

/// See the module.
pub(super) extern "C" fn sigprof_in_handler(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    let errno = thread::errno();
    // SAFETY: the kernel passes a siginfo_t, which is longer than what is read of it.
    let signal = unsafe { &*info.cast::<Info>() }.signal();
    match (signal, SHARED.get()) {
        (Signal::Foreign, shared) => {
            if let Some(shared) = shared {
                shared.losses.foreign_signals.fetch_add(1, Ordering::Relaxed);
            }
            forward_in_handler(number, info, context);
        }
        (signal, Some(shared)) => {
            shared.in_flight.fetch_add(1, Ordering::SeqCst);
            let session = shared.session.load(Ordering::SeqCst);
            if session != 0 {
                // SAFETY: with SA_SIGINFO the third argument is the interrupted context.
                let registers = Registers::interrupted(unsafe { &*context.cast::<libc::ucontext_t>() });
                thread::with_state(|state| shared.sample_in_handler(&signal, session, registers, state));
            }
            shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        (_, None) => {}
    }
    thread::set_errno(errno);
}

/// Calls the handler that was there before, if it was one. One that was installed after ours, and ours after it again, may
/// call ours in turn: then nobody is left to be called.
fn forward_in_handler(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(previous) = PREVIOUS.get() else { return };
    let handler = previous.sa_sigaction;
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        return;
    }
    // Told by the signal's address, which a handler that jumps out of itself leaves behind without harm.
    let is_second = |state: &ThreadState| match state.forwarded.replace(info as usize) == info as usize {
        true => state.forwarded.replace(0) != 0,
        false => false,
    };
    if thread::with_state(is_second) {
        return;
    }
    // SAFETY: the host installed this function as a handler of the shape that its flags tell, and it is called with what
    // the kernel would have passed.
    unsafe {
        if previous.sa_flags & libc::SA_SIGINFO != 0 {
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) =
                std::mem::transmute(handler);
            handler(number, info, context);
        } else {
            let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
            handler(number);
        }
    }
    thread::with_state(|state| state.forwarded.set(0));
}

impl Shared {
    /// Samples the calling stack, as a signal would. For the benchmark; nothing may be recording.
    #[inline(never)]
    pub(crate) fn sample_here(&self) {
        let (signal, registers) = (Signal::Timer(Origin::Wall, 0), Registers::here());
        thread::with_state(|state| self.sample_in_handler(&signal, 1, registers, state));
    }

    fn sample_in_handler(&self, signal: &Signal, session: u32, registers: Registers, state: &ThreadState) {
        let thread = thread::thread_id();
        if matches!(signal, Signal::Timer(Origin::Process, _)) && self.is_armed(thread) {
            return;
        }
        let cpu_ns = match self.is_fast.load(Ordering::Relaxed) {
            true => clock::own_cpu_ns(),
            false => clock::own_cpu_ns_at_last_tick(),
        };
        let periods = match signal {
            Signal::Timer(_, overrun) => overrun.saturating_add(1),
            Signal::Perf(fd) => self.periods_of_event_in_handler(*fd, session, cpu_ns, state),
            Signal::Foreign => return,
        };
        let Some(mut claimed) = self.ring.claim_in_handler() else {
            self.losses.dropped_samples.fetch_add(1, Ordering::Relaxed);
            self.losses.dropped_periods.fetch_add(u64::from(periods), Ordering::Relaxed);
            return;
        };
        let sample = claimed.sample();
        (sample.thread, sample.periods, sample.context) = (thread, periods, state.context.get());
        sample.cpu_ns = cpu_ns;
        #[cfg(feature = "recorder")]
        {
            let wanted = super::moments::is_wanted_in_handler();
            sample.at_ticks = if wanted { crate::sys::ticks::now() } else { 0 };
        }
        sample.by_process = matches!(signal, Signal::Timer(Origin::Process, _));
        // The sampler meets a thread before it is named, or not at all. So does the first sample, sometimes: the name comes with the
        // first, the second, the fourth and so on.
        let number = match state.samples_in.get() {
            (known, number) if known == session => number.saturating_add(1),
            _ => 1,
        };
        state.samples_in.set((session, number));
        sample.name = if number.is_power_of_two() { thread::kernel_name() } else { [0; 16] };
        self.walk_in_handler(registers, state, sample);
        claimed.publish();
    }

    /// Signals that come while one is pending are lost; the thread's CPU time since the last sample tells how many.
    fn periods_of_event_in_handler(
        &self,
        fd: libc::c_int,
        session: u32,
        now: u64,
        state: &ThreadState,
    ) -> u32 {
        let period_ns = self.period_ns.load(Ordering::Relaxed).max(1);
        let (seen, last) = state.cpu_sampled.replace((session, now));
        if seen != session {
            perf::set_period_in_handler(fd, period_ns);
            return 1;
        }
        let periods = (now.saturating_sub(last) + period_ns / 2) / period_ns;
        u32::try_from(periods).unwrap_or(u32::MAX).max(1)
    }

    fn walk_in_handler(&self, registers: Registers, state: &ThreadState, sample: &mut Sample) {
        (sample.copy, sample.copied_words) = (0, 0);
        let at = registers.stack_pointer();
        let (low, high) = state.sampled_stack.get();
        let high = if (low..high).contains(&at) {
            high
        } else if let Some(map) = map_around(at) {
            state.sampled_stack.set((map.start, map.end));
            map.end
        } else {
            self.losses.no_stack_bounds.fetch_add(1, Ordering::Relaxed);
            0
        };
        let (count, end) = self.walker.walk_cached_in_handler(registers, high, &mut sample.frames);
        sample.len = count as u32;
        sample.outcome = match end {
            CachedEnd::Ended(WalkEnd::Root) => outcome::WHOLE,
            CachedEnd::Ended(WalkEnd::BufferFull) => outcome::CUT,
            CachedEnd::Ended(WalkEnd::Lost) => outcome::LOST,
            CachedEnd::Stuck(stuck) => {
                sample.stuck = stuck;
                self.copy_in_handler(stuck.stack_pointer(), high as u64, sample);
                outcome::STUCK
            }
        };
    }

    /// Copies the stack from `from` on, so that the walk can go on elsewhere.
    fn copy_in_handler(&self, from: u64, high: u64, sample: &mut Sample) {
        let Some((at, words)) = self.ring.claim_copy_in_handler() else {
            self.losses.no_room_for_copy.fetch_add(1, Ordering::Relaxed);
            return;
        };
        sample.copy = at + 1;
        let most = COPY_WORDS as u64 * 8;
        let bytes = if high > from { (high - from).min(most) } else { most };
        let mut copied = None;
        if self.copy_by_kernel.load(Ordering::Relaxed) {
            copied = copy_by_kernel_in_handler(from, bytes as usize, words);
        }
        if copied.is_none()
            && let Some(map) = map_around(from as usize)
        {
            // Asked anew: a stack of a coroutine may have ended inside the bounds that are known.
            let bytes = bytes.min(map.end as u64 - from) as usize;
            // SAFETY: a part of this thread's own stack, between its stack pointer and the end of its map; there is room for
            // COPY_WORDS words.
            unsafe { std::ptr::copy_nonoverlapping(from as *const u64, words, bytes / 8) };
            copied = Some(bytes);
        }
        sample.copied_words = (copied.unwrap_or(0) / 8) as u32;
    }
}

/// Copies up to `bytes` from the stack at `from`; gives how many. Page by page, so that what is not mapped ends the copy and not
/// the process. `None` where the system call is refused. Changes errno.
fn copy_by_kernel_in_handler(from: u64, bytes: usize, to: *mut u64) -> Option<usize> {
    const PAGE: u64 = 4096;
    const PIECES: usize = COPY_WORDS * 8 / PAGE as usize + 1;
    let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let (mut pieces, mut count, mut at) = ([nothing; PIECES], 0, from);
    let end = from.saturating_add(bytes as u64);
    for piece in &mut pieces {
        if at >= end {
            break;
        }
        let next = (at / PAGE * PAGE + PAGE).min(end);
        *piece = libc::iovec { iov_base: at as *mut c_void, iov_len: (next - at) as usize };
        (at, count) = (next, count + 1);
    }
    let local = libc::iovec { iov_base: to.cast(), iov_len: bytes };
    // SAFETY: `to` has room for COPY_WORDS words, which `bytes` does not exceed; the kernel checks the other side.
    let copied =
        unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, pieces.as_ptr(), count, 0) };
    match usize::try_from(copied) {
        Ok(copied) => Some(copied),
        Err(_) if thread::errno() == libc::EFAULT => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_by_the_kernel_ends_where_nothing_is_mapped() {
        const PAGE: usize = 4096;
        let here = [7u64; 600];
        let mut words = vec![0u64; COPY_WORDS];
        let copied = copy_by_kernel_in_handler(here.as_ptr() as u64, 600 * 8, words.as_mut_ptr());
        // None would mean that it is refused here, and that every copy is made without it.
        assert_eq!(copied, Some(600 * 8));
        assert_eq!(words[..600], here);
        // SAFETY: pages of this test's own, of which the second cannot be read.
        let pages = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(std::ptr::null_mut(), 2 * PAGE, libc::PROT_READ, flags, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(pages.byte_add(PAGE), PAGE, libc::PROT_NONE), 0);
            pages as u64
        };
        let end = pages + PAGE as u64;
        assert_eq!(copy_by_kernel_in_handler(end - 64, PAGE, words.as_mut_ptr()), Some(64));
        assert_eq!(copy_by_kernel_in_handler(end, PAGE, words.as_mut_ptr()), Some(0));
        // SAFETY: as above.
        unsafe { libc::munmap(pages as *mut c_void, 2 * PAGE) };
    }
}
