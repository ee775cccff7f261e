//! Hears of panics, through a hook behind the one that is there. It is put in once a process and stays: others may have put theirs on
//! top of it since.

use std::panic::PanicHookInfo;
use std::sync::Once;

use super::told;
use crate::sys::{doorbell, thread};

/// Longest wait of a thread whose panic ends the process.
const WAIT_NS: u64 = 2_000_000_000;

/// Puts the hook in.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    // Hooks cannot be changed by a thread that panics.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            tell(info);
        }));
    });
}

fn tell(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let what = || {
        let place = info.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        let message: String = info.payload_as_str().unwrap_or("").chars().take(200).collect();
        format!("thread {name} panicked{place}: {message}")
    };
    let Some(ticket) = told::panicked(what) else { return };
    // Elsewhere the panic may be caught, and the host goes on. The diagnostics' own threads would wait for themselves.
    let ends = cfg!(panic = "abort") || name == "main";
    if ends && !thread::with_state(thread::ThreadState::is_unprofiled) {
        doorbell::await_answer_in_handler(ticket, WAIT_NS);
    }
}
