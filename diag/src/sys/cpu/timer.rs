//! POSIX timers on CPU clocks, by raw system call: libc's refuse other threads' clocks and its own bookkeeping allocates.
//!
//! The kernel looks at CPU timers at its tick: at rates above CONFIG_HZ one signal stands for several periods, and says for how
//! many (`si_overrun`). Timers are not inherited by fork and end with exec. Each counts against RLIMIT_SIGPENDING.

use std::io;

use super::clock::clock_of;
use super::handler::{Origin, cookie};

/// Ends with the value.
pub(crate) struct Timer(libc::c_int);

impl Timer {
    /// On the CPU time of a thread of this process; the signal goes to that thread.
    pub(crate) fn of_thread(thread: u32, first_ns: u64, period_ns: u64) -> io::Result<Self> {
        Self::start(clock_of(thread), libc::SIGEV_THREAD_ID, thread, Origin::Thread, first_ns, period_ns)
    }

    /// On the CPU time of the whole process. Since Linux 6.4 the signal goes to the thread that was running.
    pub(crate) fn of_process(first_ns: u64, period_ns: u64) -> io::Result<Self> {
        let clock = libc::CLOCK_PROCESS_CPUTIME_ID;
        Self::start(clock, libc::SIGEV_SIGNAL, 0, Origin::Process, first_ns, period_ns)
    }

    fn start(
        clock: libc::clockid_t,
        notify: libc::c_int,
        thread: u32,
        origin: Origin,
        first_ns: u64,
        period_ns: u64,
    ) -> io::Result<Self> {
        // SAFETY: all-zero is a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = notify;
        event.sigev_signo = libc::SIGPROF;
        event.sigev_value.sival_ptr = cookie(origin) as *mut libc::c_void;
        event.sigev_notify_thread_id = thread as libc::c_int;
        let mut id: libc::c_int = 0;
        // SAFETY: reads the event, writes the number.
        if unsafe { libc::syscall(libc::SYS_timer_create, clock, &raw mut event, &raw mut id) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = Self(id);
        let time = |ns: u64| libc::timespec {
            tv_sec: (ns / 1_000_000_000) as _,
            tv_nsec: (ns % 1_000_000_000) as libc::c_long,
        };
        let every = libc::itimerspec { it_value: time(first_ns.max(1)), it_interval: time(period_ns) };
        let nowhere = std::ptr::null_mut::<libc::itimerspec>();
        // SAFETY: our own timer, a live itimerspec, and no old value wanted.
        if unsafe { libc::syscall(libc::SYS_timer_settime, id, 0, &raw const every, nowhere) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: our own timer, which nobody uses after.
        unsafe { libc::syscall(libc::SYS_timer_delete, self.0) };
    }
}
