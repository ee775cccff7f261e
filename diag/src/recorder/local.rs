//! Where a thread stands: the chunk it writes to, the task it polls, the spans it is in.
//!
//! Telling of something costs a load of an atomic when nothing is recorded; otherwise a reading of the clock and five stores.
//! Each 250 records or so a chunk is full, and the next one is taken under a lock. A chunk begins with the thread's name, the spans
//! that are entered and the poll that is under way, so that it can be read without those before it.
//!
//! The state is constant-initialised and has no destructor, so that spans may be left while a thread ends; that the thread ends
//! is told by another thread-local, which is touched only where a chunk is taken. After it is gone nothing is recorded on
//! this thread; that is counted, as are records for which there is no chunk.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::callsites::{Callsites, UNKNOWN};
use super::chunk::{self, Chunk, SLOT_WORDS, SLOTS};
use super::fields::Buffer;
use super::pool::Pool;
use super::record::{Head, Kind};
use crate::sys::fork::{self, ForkSafe};
use crate::sys::{thread, ticks};

/// Spans that a thread is in and that are told at the beginning of a chunk, the outermost.
pub(super) const OPEN: usize = 16;
/// Spans that a thread has made lately and of which it knows the callsite. Their ids are those of slots of the registry, which
/// belong to the thread: no other thread gives one of them again.
const MADE: usize = 32;
const SLOT_BYTES: usize = 8 * SLOT_WORDS;
/// A thread that gets no chunk asks again after so many records.
const PATIENCE: u32 = 64;

/// 0 while nothing is recorded; another number each time it begins.
static ACTIVE: AtomicU32 = AtomicU32::new(0);
static POOL: OnceLock<Pool> = OnceLock::new();
/// Threads that have recorded something.
static THREADS: AtomicU32 = AtomicU32::new(0);

struct Local {
    epoch: Cell<u32>,
    /// The next free slot.
    at: Cell<usize>,
    chunk: Cell<Option<&'static Chunk>>,
    chunk_number: Cell<u32>,
    /// Number of this thread; 0 before it has one.
    thread: Cell<u32>,
    /// Chunks and parts of chunks so far.
    pieces: Cell<u32>,
    /// Slots so far: a reader sees by it what is missing between two pieces.
    slots: Cell<u32>,
    /// Records for which there was no chunk, since the last piece.
    dropped: Cell<u32>,
    /// Where the piece began.
    began_at: Cell<usize>,
    /// The task that is polled, or 0, and where it was spawned.
    task: Cell<u32>,
    site: Cell<u32>,
    /// The spans it is in.
    depth: Cell<usize>,
    open: [Cell<u64>; OPEN],
    /// Id and callsite, by the id's low bits.
    made: [Cell<(u64, u32)>; MADE],
    /// Records since it was found that there is no chunk.
    starved: Cell<u32>,
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            epoch: Cell::new(0),
            at: Cell::new(SLOTS),
            chunk: Cell::new(None),
            chunk_number: Cell::new(0),
            thread: Cell::new(0),
            pieces: Cell::new(0),
            slots: Cell::new(0),
            dropped: Cell::new(0),
            began_at: Cell::new(SLOTS),
            task: Cell::new(0),
            site: Cell::new(0),
            depth: Cell::new(0),
            open: [const { Cell::new(0) }; OPEN],
            made: [const { Cell::new((0, 0)) }; MADE],
            starved: Cell::new(0),
        }
    };
    static END: End = const { End };
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        LOCAL.with(Local::end);
    }
}

/// Begins to record to this pool.
pub(super) fn begin() {
    static EPOCHS: AtomicU32 = AtomicU32::new(0);
    let epoch = EPOCHS.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
    ACTIVE.store(epoch, Ordering::Release);
}

/// From now on nothing is recorded.
pub(super) fn end() {
    ACTIVE.store(0, Ordering::Release);
}

/// Whether it is recorded.
#[inline]
pub(super) fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

/// The pool of the process, made so large if there is none.
pub(super) fn pool_of(max_bytes: u64, age_ticks: u64) -> std::io::Result<&'static Pool> {
    if POOL.get().is_none() {
        let new = Pool::new(max_bytes, age_ticks)?;
        if POOL.set(new).is_ok() {
            fork::guard(&Locks);
        }
    }
    let pool = POOL.get().ok_or_else(|| std::io::Error::other("the pool was not made"))?;
    pool.set(max_bytes, age_ticks);
    Ok(pool)
}

struct Locks;

impl ForkSafe for Locks {
    fn before_fork(&self) {
        Callsites::of_process().acquire();
        if let Some(pool) = POOL.get() {
            pool.acquire();
        }
    }

    fn after_fork(&self) {
        if let Some(pool) = POOL.get() {
            pool.release();
        }
        Callsites::of_process().release();
    }
}

// These are calls on purpose: layers are generic, and what is inlined into another crate reaches thread-locals by a pointer
// to a function.

/// A span is entered.
pub(super) fn enter(id: u64) {
    with_active(|local, epoch| {
        local.put(epoch, Kind::Enter, id, 0, 0, None);
        local.push(id);
    });
}

/// A span is left.
pub(super) fn exit(id: u64) {
    with_active(|local, epoch| {
        local.put(epoch, Kind::Exit, id, 0, 0, None);
        local.pop(id);
    });
}

/// A span was made.
pub(super) fn new(id: u64, callsite: u32, fields: Option<&Buffer>) {
    with_active(|local, epoch| {
        local.put(epoch, Kind::New, id, callsite, 0, fields);
        if let Some(place) = local.made.get(id as usize % MADE) {
            place.set((id, callsite));
        }
    });
}

/// A span is gone. Its callsite is asked for where this thread has not just made it.
pub(super) fn close(id: u64, callsite: impl FnOnce() -> Option<u32>) {
    with_active(|local, epoch| {
        let made = local.made.get(id as usize % MADE).map(Cell::get);
        let made = made.filter(|(of, _)| *of == id && local.epoch.get() == epoch);
        if let Some(callsite) = made.map(|(_, callsite)| callsite).or_else(callsite) {
            local.put(epoch, Kind::Close, id, callsite, 0, None);
        }
    });
}

/// Fields of a span.
pub(super) fn record(id: u64, fields: &Buffer) {
    with_active(|local, epoch| local.put(epoch, Kind::Record, id, UNKNOWN, 0, Some(fields)));
}

/// Something that is told.
pub(super) fn event(callsite: u32, fields: Option<&Buffer>) {
    with_active(|local, epoch| local.put(epoch, Kind::Event, local.innermost(), callsite, 0, fields));
}

/// A number at this moment.
pub(super) fn counter(which: u32, value: u64) {
    with_active(|local, epoch| local.put(epoch, Kind::Counter, value, 0, which, None));
}

/// What is polled on a thread: a task and the number of its site plus one, or zeros.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Polled {
    task: u32,
    site: u32,
}

/// A task is polled on this thread from now on, by the clock as it was just read. Gives what was polled around it, for [`poll_end`].
#[inline]
pub(super) fn poll_begin(task: u32, site: u32, at: u64) -> Polled {
    if is_active() { poll_begins(task, site, at) } else { Polled::default() }
}

fn poll_begins(task: u32, site: u32, at: u64) -> Polled {
    let mut outer = Polled::default();
    with_active(|local, epoch| {
        outer = Polled { task: local.task.get(), site: local.site.get() };
        let site = site.saturating_add(1);
        local.put_at(epoch, at, Kind::PollBegin, u64::from(task), site);
        local.task.set(task);
        local.site.set(site);
    });
    outer
}

/// The poll is over, by the clock as it was just read; `outer` is what its beginning gave.
#[inline]
pub(super) fn poll_end(task: u32, outer: Polled, at: u64) {
    if is_active() {
        poll_ends(task, outer, at);
    }
}

fn poll_ends(task: u32, outer: Polled, at: u64) {
    with_active(|local, epoch| {
        local.put_at(epoch, at, Kind::PollEnd, u64::from(task), 0);
        local.task.set(outer.task);
        local.site.set(outer.site);
    });
}

#[inline]
fn with_active(f: impl FnOnce(&Local, u32)) {
    let epoch = ACTIVE.load(Ordering::Relaxed);
    if epoch != 0 {
        LOCAL.with(|local| f(local, epoch));
    }
}

impl Local {
    #[inline]
    fn put(&self, epoch: u32, kind: Kind, id: u64, callsite: u32, aux: u32, fields: Option<&Buffer>) {
        let slots = 1 + fields.map_or(0, |fields| fields.bytes().len().div_ceil(SLOT_BYTES));
        if self.has_room(epoch, slots) || self.refill(epoch) {
            // The clock is read after the chunk is there: its head must not be younger.
            self.write(ticks::now(), kind, id, callsite, aux, fields);
        }
    }

    /// The same for what has just read the clock and has no text.
    #[inline]
    fn put_at(&self, epoch: u32, at: u64, kind: Kind, id: u64, aux: u32) {
        if self.has_room(epoch, 1) {
            self.write(at, kind, id, 0, aux, None);
        } else if self.refill(epoch) {
            self.write(ticks::now(), kind, id, 0, aux, None);
        }
    }

    #[inline]
    fn has_room(&self, epoch: u32, slots: usize) -> bool {
        self.epoch.get() == epoch && self.at.get() + slots <= SLOTS
    }

    #[inline]
    fn write(&self, ticks: u64, kind: Kind, id: u64, callsite: u32, aux: u32, fields: Option<&Buffer>) {
        let Some(chunk) = self.chunk.get() else { return };
        let text = fields.map_or(&[][..], Buffer::bytes);
        let task = self.task.get();
        let head = Head { ticks, id, callsite, kind, text_bytes: text.len() as u16, task, aux };
        self.at.set(chunk::write(chunk, self.at.get(), head.words(), text));
    }

    #[inline]
    fn push(&self, id: u64) {
        let depth = self.depth.get();
        if let Some(place) = self.open.get(depth) {
            place.set(id);
        }
        self.depth.set(depth + 1);
    }

    #[inline]
    fn pop(&self, id: u64) {
        let Some(above) = self.depth.get().checked_sub(1) else { return };
        match self.open.get(above) {
            Some(place) if place.get() != id => self.pop_below(above, id),
            _ => self.depth.set(above),
        }
    }

    /// Spans may be left in any order.
    #[cold]
    fn pop_below(&self, above: usize, id: u64) {
        let open = self.open.get(..=above).unwrap_or_default();
        let Some(at) = open.iter().rposition(|place| place.get() == id) else { return };
        for (lower, upper) in open.iter().skip(at).zip(open.iter().skip(at + 1)) {
            lower.set(upper.get());
        }
        self.depth.set(above);
    }

    fn innermost(&self) -> u64 {
        let depth = self.depth.get().min(OPEN);
        depth.checked_sub(1).and_then(|at| self.open.get(at)).map_or(0, Cell::get)
    }

    /// Takes the next chunk and writes where this thread stands. False when there is none.
    #[cold]
    #[inline(never)]
    fn refill(&self, epoch: u32) -> bool {
        let Some(pool) = POOL.get() else { return false };
        self.let_go(pool);
        if self.epoch.replace(epoch) != epoch {
            // What happened while nothing was recorded is not known.
            self.depth.set(0);
            self.made.iter().for_each(|made| made.set((0, 0)));
            self.task.set(0);
            self.site.set(0);
            self.starved.set(0);
        }
        let starved = self.starved.get();
        let alive = END.try_with(|_| ()).is_ok();
        let held = if alive && starved.is_multiple_of(PATIENCE) { pool.take(ticks::now()) } else { None };
        let Some(held) = held else {
            self.starved.set(starved.wrapping_add(1));
            self.dropped.set(self.dropped.get().saturating_add(1));
            pool.tally.without_chunk.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        self.starved.set(0);
        self.chunk.set(Some(held.chunk));
        self.chunk_number.set(held.number);
        self.at.set(held.at);
        self.began_at.set(held.at);
        self.write_head();
        true
    }

    /// Name, open spans, poll.
    fn write_head(&self) {
        if self.thread.get() == 0 {
            self.thread.set(THREADS.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1));
        }
        let piece = self.pieces.get();
        self.pieces.set(piece.wrapping_add(1));
        let mut name = Buffer::new();
        match std::thread::current().name() {
            Some(of_std) => name.put_text(of_std),
            None => {
                let of_kernel = thread::kernel_name();
                let of_kernel = of_kernel.split(|b| *b == 0).next().unwrap_or_default();
                name.put_text(&String::from_utf8_lossy(of_kernel));
            }
        }
        let id = u64::from(thread::thread_id()) << 32 | u64::from(self.thread.get());
        let task = self.task.replace(self.dropped.take());
        self.write(ticks::now(), Kind::Thread, id, self.slots.get(), piece, Some(&name));
        self.task.set(task);
        for span in self.open.iter().take(self.depth.get()) {
            self.write(ticks::now(), Kind::Open, span.get(), 0, 0, None);
        }
        if let task @ 1.. = self.task.get() {
            self.write(ticks::now(), Kind::PollBegin, u64::from(task), 0, self.site.get(), None);
        }
    }

    fn let_go(&self, pool: &Pool) {
        if self.chunk.take().is_some() {
            let at = self.at.replace(SLOTS);
            let written = at.saturating_sub(self.began_at.get()) as u32;
            self.slots.set(self.slots.get().wrapping_add(written));
            pool.give_back(self.chunk_number.get(), at, ticks::now());
        }
    }

    fn end(&self) {
        let Some(pool) = POOL.get() else { return };
        if self.at.get() < SLOTS {
            self.write(ticks::now(), Kind::ThreadEnd, 0, 0, 0, None);
        }
        self.let_go(pool);
    }
}
