//! In place of the kernel's futex: a queue behind a lock, in which a word is looked at before sleeping.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};

struct Queue {
    looking: Mutex<()>,
    woken: Condvar,
}

loom::lazy_static! {
    /// There is one lock a model.
    static ref QUEUE: Queue = Queue { looking: Mutex::new(()), woken: Condvar::new() };
}

pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let looking = QUEUE.looking.lock().unwrap();
    if word.load(Ordering::Relaxed) == expected {
        drop(QUEUE.woken.wait(looking).unwrap());
    }
}

pub(crate) fn wake_one(_word: &AtomicU32) {
    let _looking = QUEUE.looking.lock().unwrap();
    QUEUE.woken.notify_one();
}
