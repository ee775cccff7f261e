//! Installs the handler of SIGPROF and puts back the one that was there, without ever letting a late signal meet the default,
//! which ends the process.

use std::io;
use std::time::Duration;

use super::handler::{Origin, PREVIOUS, cookie, sigprof_in_handler};

/// Looks for signals that are still on their way, before a handler that is not ours gets them.
const LOOKS: u32 = 20;

/// The handler is ours while this lives, unless somebody replaces it.
pub(crate) struct Installed(());

/// Installs the handler.
pub(crate) fn install() -> io::Result<Installed> {
    let now = current()?;
    if !is_ours(&now) {
        PREVIOUS.set(now);
        set(&ours())?;
    }
    Ok(Installed(()))
}

/// What became of the handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Restored {
    /// The one before is back.
    Yes,
    /// Somebody has installed one of their own since, which stays.
    Replaced,
    /// Ours stays, and passes on what comes: a signal is pending in a thread that blocks it.
    Pending,
}

impl Installed {
    /// Puts the previous handler back, after everything that sends our signals has ended.
    pub(crate) fn restore(self) -> io::Result<Restored> {
        let previous = match PREVIOUS.get() {
            Some(previous) if is_ours(&current()?) => previous,
            _ => return Ok(Restored::Replaced),
        };
        if [libc::SIG_DFL, libc::SIG_IGN].contains(&previous.sa_sigaction) {
            // To ignore a signal discards it wherever it is pending, at once (POSIX, sigaction). Looking for it instead would
            // miss threads: a list of them ends early when one ends meanwhile.
            set(&libc::sigaction { sa_sigaction: libc::SIG_IGN, ..previous })?;
            set(&previous)?;
            return Ok(Restored::Yes);
        }
        let quiet = (0..LOOKS).any(|look| {
            std::thread::sleep(Duration::from_millis(u64::from(look.min(5))));
            !pending_somewhere()
        });
        if !quiet {
            return Ok(Restored::Pending);
        }
        set(&previous).map(|()| Restored::Yes)
    }
}

fn ours() -> libc::sigaction {
    // SAFETY: all-zero is a valid sigaction: no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = sigprof_in_handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    action
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == ours().sa_sigaction
}

fn current() -> io::Result<libc::sigaction> {
    // SAFETY: all-zero is a valid sigaction to be overwritten.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only reads the disposition.
    match unsafe { libc::sigaction(libc::SIGPROF, std::ptr::null(), &mut action) } {
        0 => Ok(action),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: our handler keeps the rules of signal handlers; another one is what the host had set itself.
    match unsafe { libc::sigaction(libc::SIGPROF, action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether SIGPROF waits for a thread or for the process; `true` too when that cannot be read.
fn pending_somewhere() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return true };
    tasks.flatten().any(|task| match std::fs::read_to_string(task.path().join("status")) {
        Ok(status) => {
            status.lines().filter_map(pending_mask).any(|mask| mask >> (libc::SIGPROF - 1) & 1 == 1)
        }
        // Ended in between.
        Err(_) => false,
    })
}

fn pending_mask(line: &str) -> Option<u64> {
    let mask = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Keeps SIGPROF from the calling thread.
pub(crate) fn block_in_this_thread() {
    // SAFETY: a mask of one signal, for this thread only.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut mask);
        libc::sigaddset(&mut mask, libc::SIGPROF);
        libc::pthread_sigmask(libc::SIG_BLOCK, &mask, std::ptr::null_mut());
    }
}

/// Asks a thread of this process where it is.
pub(crate) fn ask(thread: u32) -> io::Result<()> {
    /// `siginfo_t` of a queued signal: 128 bytes, the union from byte 16 on.
    #[repr(C)]
    struct Queued {
        signo: i32,
        errno: i32,
        code: i32,
        padding: i32,
        pid: i32,
        uid: u32,
        value: usize,
        rest: [u64; 12],
    }
    // SAFETY: no argument, always succeeds.
    let pid = unsafe { libc::getpid() };
    let info = Queued {
        signo: libc::SIGPROF,
        errno: 0,
        code: libc::SI_QUEUE,
        padding: 0,
        pid,
        uid: 0,
        value: cookie(Origin::Wall),
        rest: [0; 12],
    };
    // SAFETY: the kernel reads 128 bytes of a siginfo_t; the thread is one of this process, or the call fails.
    let sent =
        unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, thread, libc::SIGPROF, &raw const info) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
