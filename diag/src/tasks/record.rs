//! One live task: what its polls and wakes leave behind.
//!
//! Only the thread that polls a task writes its counters, so they are loads and stores, no read-modify-write; others read
//! them at any time and may see a poll half counted. Times are ticks ([`ticks`]).
//!
//! A record is also the task's waker: futures inside get a [`Waker`] made of it, which passes each wake on to the executor's.
//! So the number of references to a record, less those of the registry and the task itself, is the number of wakers that
//! somebody outside holds: with none, nothing can ever wake the task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use super::short::Longest;
use super::sites::Site;
use super::slow;
use crate::sys::thread::thread_id;
use crate::sys::ticks;
use crate::sys::waker_cell::WakerCell;

/// References to a record that are the registry's, the task's, and that of the task's own waker.
const OWN_REFERENCES: usize = 3;
/// The low bits of [`Record::changed`].
const STATE: u64 = 7;
const STATE_BITS: u32 = 3;

/// What a task does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Spawned and not polled yet; a blocking one waits for a thread.
    New,
    /// Being polled, or blocking a thread.
    Running,
    /// Woken, and not polled since.
    Scheduled,
    /// Waits for a wake.
    Idle,
    /// Over, and not dropped yet.
    Done,
}

const NEW: u64 = 0;
const RUNNING: u64 = 1;
const IDLE: u64 = 2;
const COMPLETED: u64 = 3;
const PANICKED: u64 = 4;

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Completed,
    Cancelled,
    Panicked,
}

/// See the module. With the counts of its `Arc` it is what allocators have a size for.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) site: &'static Site,
    pub(super) id: u64,
    pub(super) born: u64,
    /// When the state changed, and in the low bits to what.
    changed: AtomicU64,
    /// Ticks inside of polls, the longest poll, and the longest time between two.
    busy: AtomicU64,
    longest_poll: Longest,
    longest_gap: Longest,
    polls: AtomicU32,
    /// The thread of the last poll, by the kernel's number.
    thread: AtomicU32,
    /// Where the registry has it.
    pub(super) slot: AtomicU32,
    pub(super) runtime: u16,
    pub(super) shard: u8,
    /// Woken since the last poll began.
    woken: AtomicBool,
    /// The executor's waker. Kept as long as wakers made of this are: as the executor's own would be.
    inner: WakerCell,
}

/// 96 is a size of jemalloc's; the next is 112.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Record>() + 2 * size_of::<usize>() <= 96);

/// What is read of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    pub(super) state: State,
    pub(super) changed: u64,
    pub(super) busy: u64,
    pub(super) longest_poll: u64,
    pub(super) longest_gap: u64,
    pub(super) polls: u32,
    pub(super) thread: u32,
    /// `None` where wakers are not counted.
    pub(super) wakers: Option<u32>,
}

impl Record {
    pub(super) fn new(site: &'static Site, id: u64, runtime: u16, shard: u8) -> Self {
        let now = ticks::now();
        Self {
            site,
            id,
            born: now,
            changed: AtomicU64::new(now << STATE_BITS | NEW),
            busy: AtomicU64::new(0),
            longest_poll: Longest::default(),
            longest_gap: Longest::default(),
            polls: AtomicU32::new(0),
            thread: AtomicU32::new(0),
            slot: AtomicU32::new(0),
            runtime,
            shard,
            woken: AtomicBool::new(false),
            inner: WakerCell::new(),
        }
    }

    /// Whether the executor's waker is this one, and so that of all polls: then the task may be given its own.
    #[inline]
    pub(super) fn stands_for(&self, waker: &Waker) -> bool {
        self.inner.holds(waker)
    }

    /// A poll begins. Ends with what it gives.
    #[inline]
    pub(super) fn begin_poll(&self) -> Polling<'_> {
        let began = ticks::now();
        let polls = self.polls.load(Ordering::Relaxed);
        if polls > 0 {
            let gap = began.saturating_sub(self.changed.load(Ordering::Relaxed) >> STATE_BITS);
            self.longest_gap.raise(gap);
        }
        self.thread.store(thread_id(), Ordering::Relaxed);
        // Before the poll: a wake that comes during it counts.
        self.woken.store(false, Ordering::Relaxed);
        self.changed.store(began << STATE_BITS | RUNNING, Ordering::Release);
        #[cfg(feature = "recorder")]
        let outer = crate::recorder::poll_begin(self.id as u32, self.site.number, began);
        Polling {
            record: self,
            began,
            done: false,
            #[cfg(feature = "recorder")]
            outer,
        }
    }

    /// [`begin_poll`](Self::begin_poll), where beginning and end are told apart.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    pub(super) fn hook_begins(&self) {
        std::mem::forget(self.begin_poll());
    }

    /// The end of what [`hook_begins`](Self::hook_begins) began.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    pub(super) fn hook_ends(&self) {
        let began = self.changed.load(Ordering::Relaxed) >> STATE_BITS;
        drop(Polling {
            record: self,
            began,
            done: false,
            #[cfg(feature = "recorder")]
            outer: crate::recorder::Polled::default(),
        });
    }

    /// Over, in a way that is not known. tokio (1.54) tells it in the midst of the last poll, and nothing after it.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    pub(super) fn hook_terminates(&self) {
        if self.changed.load(Ordering::Relaxed) & STATE == RUNNING {
            self.hook_ends();
        }
        let ended = self.changed.load(Ordering::Relaxed) & !STATE;
        self.changed.store(ended | COMPLETED, Ordering::Release);
    }

    pub(super) fn counters(self: &Arc<Self>) -> Counters {
        let changed = self.changed.load(Ordering::Acquire);
        let state = match changed & STATE {
            NEW => State::New,
            RUNNING => State::Running,
            IDLE if self.woken.load(Ordering::Relaxed) => State::Scheduled,
            IDLE => State::Idle,
            _ => State::Done,
        };
        let wakers = self.inner.is_set().then(|| {
            let others = Arc::strong_count(self).saturating_sub(OWN_REFERENCES);
            u32::try_from(others).unwrap_or(u32::MAX)
        });
        Counters {
            state,
            changed: changed >> STATE_BITS,
            busy: self.busy.load(Ordering::Relaxed),
            longest_poll: self.longest_poll.ticks(),
            longest_gap: self.longest_gap.ticks(),
            polls: self.polls.load(Ordering::Relaxed),
            thread: self.thread.load(Ordering::Relaxed),
            wakers,
        }
    }

    /// As its task is dropped.
    pub(super) fn end(&self) -> End {
        match self.changed.load(Ordering::Relaxed) & STATE {
            COMPLETED => End::Completed,
            PANICKED => End::Panicked,
            _ => End::Cancelled,
        }
    }
}

/// A task is being polled while this lives.
pub(super) struct Polling<'a> {
    record: &'a Record,
    began: u64,
    done: bool,
    /// The task that was polled around this one, for the flight recorder.
    #[cfg(feature = "recorder")]
    outer: crate::recorder::Polled,
}

impl Polling<'_> {
    /// The task is over.
    #[inline]
    pub(super) fn complete(&mut self) {
        self.done = true;
    }
}

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        let record = self.record;
        let ended = ticks::now();
        let took = ended.saturating_sub(self.began);
        record.busy.store(record.busy.load(Ordering::Relaxed).saturating_add(took), Ordering::Relaxed);
        record.longest_poll.raise(took);
        #[cfg(feature = "recorder")]
        crate::recorder::poll_end(record.id as u32, self.outer, ended);
        slow::note(took, record.site);
        record.polls.store(record.polls.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        let state = match self.done {
            true => COMPLETED,
            false if std::thread::panicking() => PANICKED,
            false => IDLE,
        };
        record.changed.store(ended << STATE_BITS | state, Ordering::Release);
    }
}

impl Wake for Record {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.inner.wake();
    }
}
