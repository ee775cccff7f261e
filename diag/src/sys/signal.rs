//! Counts signals for rules. The handler counts and rings, nothing else: see `doorbell` for what that calls.

use std::sync::atomic::{AtomicU32, Ordering};

use super::doorbell;

const COUNTED: usize = 65;
static CAME: [AtomicU32; COUNTED] = [const { AtomicU32::new(0) }; COUNTED];

extern "C" fn count_in_handler(signal: libc::c_int) {
    if let Some(count) = CAME.get(signal as usize) {
        count.fetch_add(1, Ordering::AcqRel);
        doorbell::ring_in_handler();
    }
}

/// A signal that is listened to, until the drop.
pub(crate) struct Listening {
    signal: i32,
    before: libc::sigaction,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("signal", &self.signal).finish_non_exhaustive()
    }
}

fn now(signal: i32) -> Option<libc::sigaction> {
    // SAFETY: an all-zero sigaction is a valid value, and the call writes to it only.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &mut now) == 0).then_some(now)
    }
}

/// Listens, unless the program has a handler of its own.
pub(crate) fn listen(signal: i32) -> Result<Listening, String> {
    let before = now(signal).ok_or_else(|| format!("there is no signal {signal}"))?;
    if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN {
        return Err(format!("the program handles signal {signal} itself"));
    }
    // SAFETY: the handler keeps the rules of signal handlers (see the module), and lives as long as the program.
    let set = unsafe {
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = count_in_handler as extern "C" fn(libc::c_int) as usize;
        ours.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut ours.sa_mask);
        libc::sigaction(signal, &ours, std::ptr::null_mut())
    };
    if set == 0 {
        Ok(Listening { signal, before })
    } else {
        Err(format!("signal {signal} cannot be listened to: {}", std::io::Error::last_os_error()))
    }
}

impl Listening {
    pub(crate) fn signal(&self) -> i32 {
        self.signal
    }

    /// How often it came since the last call.
    pub(crate) fn take(&self) -> u32 {
        CAME.get(self.signal as usize).map_or(0, |count| count.swap(0, Ordering::AcqRel))
    }

    /// Whether nobody has set another handler since.
    pub(crate) fn is_ours(&self) -> bool {
        now(self.signal)
            .is_some_and(|now| now.sa_sigaction == count_in_handler as extern "C" fn(libc::c_int) as usize)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: what was in force before is put back as it was read.
            unsafe { libc::sigaction(self.signal, &self.before, std::ptr::null_mut()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_counted_and_other_handlers_respected() {
        // Each process is sent SIGWINCH by nobody but terminals, which tests have not.
        let listening = listen(libc::SIGWINCH).unwrap();
        assert!(listening.is_ours());
        assert!(listen(libc::SIGWINCH).is_err_and(|e| e.contains("itself")));
        // SAFETY: no pointers.
        unsafe { libc::raise(libc::SIGWINCH) };
        assert_eq!((listening.take(), listening.take()), (1, 0));
        drop(listening);
        assert_eq!(now(libc::SIGWINCH).unwrap().sa_sigaction, libc::SIG_DFL);
        assert!(listen(4_000).is_err());
    }
}
