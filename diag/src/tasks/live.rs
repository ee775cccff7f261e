//! The live tasks, in shards.
//!
//! A shard's lock is held for a few nanoseconds at a spawn and at an end, and while it is read: some 10 us for each 1,000 tasks in
//! it. Room is given back as tasks end.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Record;
use super::sites::Site;
use super::tally::PARTS;
use crate::sys::thread::Unprofiled;
use crate::sys::ticks;

const SHARDS: usize = PARTS;

struct Shard(Mutex<Vec<Arc<Record>>>);

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static LIVE: [Shard; SHARDS] = [const { Shard(Mutex::new(Vec::new())) }; SHARDS];
/// Numbers that a thread takes at once.
const IDS: u64 = 64;
static NEXT_IDS: AtomicU64 = AtomicU64::new(1);
static NEXT_SHARD: AtomicU8 = AtomicU8::new(0);

/// What a thread keeps, so that threads which spawn do not wait for each other.
struct Local {
    /// Its shard plus one; 0 before it has one.
    shard: Cell<u8>,
    next_id: Cell<u64>,
    last_id: Cell<u64>,
}

thread_local! {
    static LOCAL: Local =
        const { Local { shard: Cell::new(0), next_id: Cell::new(1), last_id: Cell::new(0) } };
}

/// The shard of this thread.
#[inline]
fn shard() -> u8 {
    let known = LOCAL.with(|local| local.shard.get());
    if known > 0 { known - 1 } else { new_shard() }
}

#[cold]
fn new_shard() -> u8 {
    let shard = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS as u8;
    LOCAL.with(|local| local.shard.set(shard + 1));
    shard
}

/// A number that no other task has.
#[inline]
fn new_id() -> u64 {
    LOCAL.with(|local| {
        if local.next_id.get() > local.last_id.get() {
            let first = NEXT_IDS.fetch_add(IDS, Ordering::Relaxed);
            local.next_id.set(first);
            local.last_id.set(first + IDS - 1);
        }
        local.next_id.replace(local.next_id.get() + 1)
    })
}

/// A task in the registry; ends with the drop.
#[derive(Debug)]
pub(super) struct Entry(pub(super) Arc<Record>);

impl Entry {
    /// A new task.
    pub(super) fn new(site: &'static Site, runtime: u16) -> Self {
        let _unprofiled = Unprofiled::begin();
        let shard = shard();
        let record = Arc::new(Record::new(site, new_id(), runtime, shard));
        site.tally.spawned(shard);
        if let Some(shard) = LIVE.get(usize::from(shard)) {
            let mut live = shard.lock();
            if live.len() == live.capacity() {
                // By an eighth: what doubling leaves unused would be a tenth of all that a live task takes.
                let more = live.len() / 8 + 64;
                live.reserve_exact(more);
            }
            record.slot.store(live.len() as u32, Ordering::Relaxed);
            live.push(Arc::clone(&record));
        }
        Self(record)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let record = &self.0;
        {
            let _unprofiled = Unprofiled::begin();
            let lived = ticks::now().saturating_sub(record.born);
            record.site.tally.ended(shard(), record.end(), &record.counters(), lived);
        }
        let Some(shard) = LIVE.get(usize::from(record.shard)) else { return };
        let mut live = shard.lock();
        let slot = record.slot.load(Ordering::Relaxed) as usize;
        if slot >= live.len() {
            return;
        }
        let removed = live.swap_remove(slot);
        if let Some(moved) = live.get(slot) {
            moved.slot.store(slot as u32, Ordering::Relaxed);
        }
        if live.capacity() > 256 && live.len() < live.capacity() / 4 {
            let _unprofiled = Unprofiled::begin();
            let half = live.capacity() / 2;
            live.shrink_to(half);
        }
        drop(live);
        drop(removed);
    }
}

/// Shows each live task. Nothing is spawned and nothing ends in a shard while it is shown.
pub(super) fn each(mut show: impl FnMut(&Arc<Record>)) {
    for shard in &LIVE {
        shard.lock().iter().for_each(&mut show);
    }
}

/// Whether any task was ever tracked.
#[cfg(feature = "heap")]
pub(super) fn any() -> bool {
    NEXT_IDS.load(Ordering::Relaxed) > 1
}

/// Live tasks.
pub(super) fn count() -> usize {
    LIVE.iter().map(|shard| shard.lock().len()).sum()
}

/// What the live tasks' records take.
pub(super) fn memory_bytes() -> u64 {
    // Two counts stand before a record.
    let record = size_of::<Record>() + 2 * size_of::<usize>();
    LIVE.iter()
        .map(|shard| {
            let live = shard.lock();
            (live.len() * record + live.capacity() * size_of::<Arc<Record>>()) as u64
        })
        .sum()
}
