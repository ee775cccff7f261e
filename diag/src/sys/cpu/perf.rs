//! The kernel's software event `cpu-clock` on a thread: high-resolution timers on CPU time, at any rate, with a signal to the
//! thread when one expires.
//!
//! Needs `perf_event_paranoid` of at most 1 or CAP_PERFMON, since time in the kernel shall count; containers often forbid the
//! system call. One descriptor a thread, closed on exec. A child of fork shares the descriptor and keeps the event alive, so
//! it is disabled before it is closed. Source: perf_event_open(2).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
const FLAG_DISABLED: u64 = 1;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const IOC_ENABLE: libc::c_ulong = 0x2400;
const IOC_DISABLE: libc::c_ulong = 0x2401;
const IOC_PERIOD: libc::c_ulong = 0x4008_2404;
/// The kernel does not take shorter ones.
const SHORTEST_NS: u64 = 10_000;

/// `struct perf_event_attr` in its first published size.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

/// `struct f_owner_ex` of fcntl.h.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// Ends with the value.
pub(crate) struct PerfEvent(File);

impl PerfEvent {
    /// On a thread of this process. Fires after `first_ns` of its CPU time; the handler sets the real period then.
    pub(crate) fn of_thread(thread: u32, first_ns: u64) -> io::Result<Self> {
        let attributes = Attributes {
            kind: PERF_TYPE_SOFTWARE,
            size: size_of::<Attributes>() as u32,
            config: PERF_COUNT_SW_CPU_CLOCK,
            sample_period: first_ns.max(SHORTEST_NS),
            flags: FLAG_DISABLED,
            wakeup_events: 1,
            ..Attributes::default()
        };
        // SAFETY: the kernel reads as many bytes as `size` says.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                thread as libc::pid_t,
                -1,
                -1,
                PERF_FLAG_FD_CLOEXEC,
            )
        };
        let fd = libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: just opened, owned by nobody else.
        let event = Self(unsafe { File::from_raw_fd(fd) });
        const F_SETSIG: libc::c_int = 10;
        const F_SETOWN_EX: libc::c_int = 15;
        const F_OWNER_TID: libc::c_int = 0;
        let owner = Owner { kind: F_OWNER_TID, id: thread as libc::pid_t };
        // SAFETY: settings of our own descriptor; the owner is read during the call.
        let set = unsafe {
            libc::fcntl(fd, F_SETOWN_EX, &raw const owner) == 0
                && libc::fcntl(fd, F_SETSIG, libc::SIGPROF) == 0
                && libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK) == 0
                && libc::ioctl(fd, IOC_ENABLE as _, 0) == 0
        };
        if set { Ok(event) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for PerfEvent {
    fn drop(&mut self) {
        // SAFETY: our own descriptor.
        unsafe { libc::ioctl(self.0.as_raw_fd(), IOC_DISABLE as _, 0) };
    }
}

/// Sets the time between samples, from now on. One system call. For the handler, on a descriptor that came with the signal:
/// should that have been closed and reused since, the request is unknown to whatever it is now and has no effect.
pub(super) fn set_period_in_handler(fd: RawFd, period_ns: u64) {
    // SAFETY: the kernel reads eight bytes.
    unsafe { libc::ioctl(fd, IOC_PERIOD as _, &raw const period_ns) };
}
