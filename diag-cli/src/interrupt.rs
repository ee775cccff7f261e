//! Ctrl-C: the first one asks for a clean end, the second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result};

/// How soon a Ctrl-C is noticed.
const POLL: Duration = Duration::from_millis(25);

/// Tells whether the user wants to stop. SIGTERM counts as well.
#[derive(Clone, Debug)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over SIGINT and SIGTERM for the rest of the process.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, the second one finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
                .map_err(|e| Error::failed(format!("cannot catch signals: {e}"), "try again"))?;
        }
        Ok(Self { asked })
    }

    /// Takes over SIGINT, SIGTERM and SIGHUP for one who has to put the terminal in order first, and looks several times a
    /// second: a second signal does not end the process either.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install_for_screen() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked))
                .map_err(|e| Error::failed(format!("cannot catch signals: {e}"), "try again"))?;
        }
        Ok(Self { asked })
    }

    /// Whether the user has asked to stop.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Sleeps until `until`; false when interrupted before.
    pub fn sleep_until(&self, until: Instant) -> bool {
        loop {
            if self.is_asked() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(POLL));
        }
    }

    /// Runs `work` on a thread of its own and waits for it; `None` when interrupted before. The thread is then left
    /// behind, so `work` must not write anything. `meanwhile` is called many times a second.
    pub fn unless_asked<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
        mut meanwhile: impl FnMut(),
    ) -> Option<R> {
        let (done, wait) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            let _ = done.send(work());
        });
        loop {
            match wait.recv_timeout(POLL) {
                Ok(result) => return Some(result),
                Err(mpsc::RecvTimeoutError::Timeout) if self.is_asked() => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => meanwhile(),
                Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => return None,
                },
            }
        }
    }
}
