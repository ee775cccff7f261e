//! The live tasks, in shards.
//!
//! A shard's lock is held for a few nanoseconds at a spawn and at an end, and while it is read: some 10 us for each 1,000 tasks in
//! it. Room is given back as tasks end.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Record;
use super::sites::Site;
use crate::sys::thread::Unprofiled;

const SHARDS: usize = 16;

struct Shard(Mutex<Vec<Arc<Record>>>);

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static LIVE: [Shard; SHARDS] = [const { Shard(Mutex::new(Vec::new())) }; SHARDS];
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static NEXT_SHARD: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static SHARD: u8 = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS as u8;
}

/// A task in the registry; ends with the drop.
#[derive(Debug)]
pub(super) struct Entry(pub(super) Arc<Record>);

impl Entry {
    /// A new task.
    pub(super) fn new(site: &'static Site, runtime: u16) -> Self {
        let _unprofiled = Unprofiled::begin();
        let shard = SHARD.try_with(|s| *s).unwrap_or(0);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let record = Arc::new(Record::new(site, id, runtime, shard));
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
        site.spawned.fetch_add(1, Ordering::Relaxed);
        Self(record)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let record = &self.0;
        record.site.end(record);
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

/// The number of the last task spawned.
#[cfg(feature = "tokio")]
pub(super) fn last_id() -> u64 {
    NEXT_ID.load(Ordering::Relaxed) - 1
}

/// Whether any task was ever tracked.
#[cfg(feature = "heap")]
pub(super) fn any() -> bool {
    NEXT_ID.load(Ordering::Relaxed) > 1
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
