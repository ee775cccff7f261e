//! What the service and its panics tell: a bounded inbox that the rules' thread empties.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::rules::Event;
use crate::sys::doorbell;

/// Events between two looks.
const MOST_EVENTS: usize = 64;

struct Inbox {
    /// What rules wait for.
    names: Vec<String>,
    events: Vec<Event>,
    dropped: u64,
}

static INBOX: Mutex<Inbox> = Mutex::new(Inbox { names: Vec::new(), events: Vec::new(), dropped: 0 });
/// Without rules the calls below cost a load.
static NAMES: AtomicBool = AtomicBool::new(false);
static PANICS: AtomicBool = AtomicBool::new(false);

fn inbox() -> MutexGuard<'static, Inbox> {
    INBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is waited for from now on; earlier events are forgotten.
pub(super) fn listen(names: Vec<String>, panics: bool) {
    let mut inbox = inbox();
    NAMES.store(!names.is_empty(), Ordering::Release);
    PANICS.store(panics, Ordering::Release);
    inbox.names = names;
    inbox.events.clear();
}

/// Tells the rules of something that the service sees and they cannot: a slow endpoint, a queue that is full. True when a rule waits
/// for this name ([`When::Told`](crate::rules::When::Told)); what it does is done on another thread, within its debounce and budget.
///
/// Never blocks; without such a rule it costs a load of an atomic.
///
/// ```
/// # let took = std::time::Duration::from_secs(1);
/// if took > std::time::Duration::from_millis(500) {
///     diag::trigger("slow_checkout");
/// }
/// ```
pub fn trigger(name: &str) -> bool {
    if !NAMES.load(Ordering::Acquire) || !inbox().names.iter().any(|n| n == name) {
        return false;
    }
    let _unprofiled = crate::Unprofiled::begin();
    put(Event::Told(name.to_owned()));
    true
}

/// A thread panicked. Gives the bell's ticket when a rule waits for that.
pub(super) fn panicked(what: impl FnOnce() -> String) -> Option<u64> {
    PANICS.load(Ordering::Acquire).then(|| put(Event::Panic(what())))
}

fn put(event: Event) -> u64 {
    {
        let mut inbox = inbox();
        if inbox.events.len() < MOST_EVENTS {
            inbox.events.push(event);
        } else {
            inbox.dropped += 1;
        }
    }
    doorbell::ring_in_handler()
}

/// The events since the last call, and how many were dropped so far.
pub(super) fn take() -> (Vec<Event>, u64) {
    let mut inbox = inbox();
    (std::mem::take(&mut inbox.events), inbox.dropped)
}
