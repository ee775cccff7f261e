//! The live table: every sampled object that is alive, by address.
//!
//! 64 shards, each a slab of entries and an open-addressing index behind a lock. Memory comes from mmap, is capped, and
//! grows inside allocations without calling the allocator; doubling an index rehashes one shard. Slab memory is kept
//! at its high-water mark.
//!
//! jemalloc's realloc tells of the new sample first and then of the old one's free. In place, that is SAMPLE(p),
//! FREE(p) with p still alive; moved, another thread may own the old address by the time of the FREE. Both are one
//! rule: a SAMPLE over a live address replaces the entry and adds a pending free, and a FREE that finds one pending
//! uses it up and leaves the entry.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::lock::Lock;
use crate::sys::region::{Region, zeroed_struct};

zeroed_struct! {
    /// A sampled object that is alive.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    #[repr(C)]
    pub(crate) struct LiveObject {
        /// Never 0: that marks a free slot.
        pub(crate) address: u64,
        /// As asked for.
        pub(crate) size: u64,
        /// Of its size class.
        pub(crate) usable_size: u64,
        /// How many objects the sample stands for; fixed at birth, so that the sampling rate may change.
        pub(crate) weight_objects: f64,
        /// Birth on the wall: nanoseconds after the collector's start. Of the first block, for a chain of reallocations.
        pub(crate) born_ns: u64,
        /// Birth on the work clock: bytes the process had allocated.
        pub(crate) born_work: u64,
        pub(crate) site: u32,
        /// Position in the table of thread names.
        pub(crate) thread: u32,
        /// Number of the context (span, route) of the birth. Of the first block, for a chain of reallocations.
        pub(crate) context: u32,
        /// Reallocations that led here, 65,535 at most.
        pub(crate) realloc_chain: u16,
        pub(crate) pending_frees: u16,
    }
}

/// A cache line each.
const _: () = assert!(size_of::<LiveObject>() == 64);

const SHARDS: usize = 64;
/// Room a shard has beyond its even share.
const IMBALANCE: usize = 2;
const FIRST_INDEX: usize = 64;

#[derive(Debug)]
struct Shard {
    slab: Region<LiveObject>,
    /// Slots ever used.
    high: u32,
    /// Last freed slot plus one; the next one is in that slot's `site`.
    free: u32,
    live: u32,
    /// Slot plus one, or 0. Linear probing, no tombstones, at most half full.
    index: Region<u32>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LiveTable {
    shards: Box<[Lock<Shard>]>,
    limit: u64,
    live: AtomicU64,
}

/// What happened to a new object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    Added,
    /// Its address was alive: a reallocation in place, or one under way on another thread.
    Replaced,
    /// The table is full or the kernel gave no memory: not recorded.
    Full,
}

fn hash(address: u64) -> u64 {
    // Sampled objects are page-aligned.
    let mixed = (address >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

impl LiveTable {
    /// Room for `limit` objects.
    pub(crate) fn new(limit: usize) -> io::Result<Self> {
        let slots = (limit * IMBALANCE / SHARDS).max(64);
        let shard = || {
            Ok(Lock::new(Shard {
                slab: Region::reserve(slots)?,
                high: 0,
                free: 0,
                live: 0,
                index: Region::reserve(FIRST_INDEX)?,
            }))
        };
        let shards = (0..SHARDS).map(|_| shard()).collect::<io::Result<_>>()?;
        Ok(Self { shards, limit: limit as u64, live: AtomicU64::new(0) })
    }

    fn shard(&self, hash: u64) -> Option<&Lock<Shard>> {
        self.shards.get((hash >> 58) as usize % SHARDS)
    }

    /// Adds an object. Runs inside allocations.
    pub(crate) fn insert(&self, object: LiveObject) -> Inserted {
        let hash = hash(object.address);
        let Some(mut shard) = self.shard(hash).map(Lock::lock) else { return Inserted::Full };
        if let Some(old) = shard.find_mut(hash, object.address) {
            let pending_frees = old.pending_frees.saturating_add(1);
            *old = LiveObject { pending_frees, ..object };
            return Inserted::Replaced;
        }
        if self.live.load(Ordering::Relaxed) >= self.limit || !shard.add(hash, object) {
            return Inserted::Full;
        }
        self.live.fetch_add(1, Ordering::Relaxed);
        Inserted::Added
    }

    /// Takes note of a free. Gives the object when it is gone. Runs inside frees.
    pub(crate) fn remove(&self, address: u64) -> Option<LiveObject> {
        let hash = hash(address);
        let mut shard = self.shard(hash)?.lock();
        let object = shard.find_mut(hash, address)?;
        if object.pending_frees > 0 {
            object.pending_frees -= 1;
            return None;
        }
        let gone = *object;
        shard.delete(hash, address);
        self.live.fetch_sub(1, Ordering::Relaxed);
        Some(gone)
    }

    /// The object at an address. Runs inside allocations.
    pub(crate) fn get(&self, address: u64) -> Option<LiveObject> {
        let hash = hash(address);
        self.shard(hash)?.lock().find_mut(hash, address).copied()
    }

    /// How many are alive.
    pub(crate) fn len(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Bytes of the table that are or were in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let shard = |s: &Lock<Shard>| {
            let s = s.lock();
            u64::from(s.high) * size_of::<LiveObject>() as u64 + (s.index.len() * size_of::<u32>()) as u64
        };
        self.shards.iter().map(shard).sum()
    }

    /// Copies all objects, one shard at a time. Objects that come and go meanwhile may or may not be among them.
    pub(crate) fn copy(&self, out: &mut Vec<LiveObject>) {
        self.shards.iter().for_each(|shard| copy_shard(shard, out));
        out.retain(|o| o.address != 0);
    }

    /// Shows all objects, one shard at a time, out of a copy: what is done with them does not hold anybody up. As [`copy`](Self::copy),
    /// in a sixteenth of its memory.
    pub(crate) fn each(&self, show: impl FnMut(&LiveObject)) {
        let mut copied = Vec::new();
        let mut show = show;
        for shard in &self.shards {
            copied.clear();
            copy_shard(shard, &mut copied);
            copied.iter().filter(|o| o.address != 0).for_each(&mut show);
        }
    }

    /// For fork: every lock, in order.
    pub(crate) fn acquire_all(&self) {
        self.shards.iter().for_each(Lock::acquire);
    }

    /// Their release.
    pub(crate) fn release_all(&self) {
        self.shards.iter().for_each(Lock::release);
    }
}

/// Appends a shard's slab, unused places among it. The shard is held only meanwhile.
fn copy_shard(shard: &Lock<Shard>, out: &mut Vec<LiveObject>) {
    loop {
        let high = {
            let s = shard.lock();
            let used = s.slab.get(..s.high as usize).unwrap_or_default();
            if out.capacity() - out.len() >= used.len() {
                out.extend_from_slice(used);
                return;
            }
            s.high as usize
        };
        // Room is made outside the lock: it allocates.
        out.reserve(high + high / 4 + 64);
    }
}

impl Shard {
    fn find_mut(&mut self, hash: u64, address: u64) -> Option<&mut LiveObject> {
        let slot = self.position(hash, address).and_then(|at| self.index.get(at))?.checked_sub(1)?;
        self.slab.get_mut(slot as usize)
    }

    fn address_at(&self, slot_plus_one: u32) -> u64 {
        slot_plus_one.checked_sub(1).and_then(|s| self.slab.get(s as usize)).map_or(0, |o| o.address)
    }

    /// Where in the index the address is.
    fn position(&self, hash: u64, address: u64) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match *self.index.get(at)? {
                0 => return None,
                slot if self.address_at(slot) == address => return Some(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn add(&mut self, hash: u64, object: LiveObject) -> bool {
        if (self.live as usize + 1) * 2 > self.index.len() && !self.grow_index() {
            return false;
        }
        let slot = match self.free.checked_sub(1) {
            Some(slot) => slot,
            None if (self.high as usize) < self.slab.len() => self.high,
            None => return false,
        };
        let Some(entry) = self.slab.get_mut(slot as usize) else { return false };
        if slot == self.high {
            self.high += 1;
        } else {
            self.free = entry.site;
        }
        *entry = LiveObject { pending_frees: 0, ..object };
        self.live += 1;
        put(&mut self.index, hash, slot + 1);
        true
    }

    fn delete(&mut self, hash: u64, address: u64) {
        let Some(mut hole) = self.position(hash, address) else { return };
        let mask = self.index.len() - 1;
        let Some(slot) = self.index.get(hole).and_then(|s| s.checked_sub(1)) else { return };
        if let Some(entry) = self.slab.get_mut(slot as usize) {
            *entry = LiveObject { site: self.free, ..LiveObject::default() };
            self.free = slot + 1;
            self.live -= 1;
        }
        // Backward shift: move up every later entry of the run whose home is not behind the hole.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let moving = self.index.get(at).copied().unwrap_or(0);
            if moving == 0 {
                break;
            }
            let home = self::hash(self.address_at(moving)) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                if let Some(place) = self.index.get_mut(hole) {
                    *place = moving;
                }
                hole = at;
            }
        }
        if let Some(place) = self.index.get_mut(hole) {
            *place = 0;
        }
    }

    fn grow_index(&mut self) -> bool {
        let Ok(mut index) = Region::<u32>::reserve(self.index.len() * 2) else { return false };
        for (slot, object) in self.slab.iter().take(self.high as usize).enumerate() {
            if object.address != 0 {
                put(&mut index, hash(object.address), slot as u32 + 1);
            }
        }
        self.index = index;
        true
    }
}

/// Stores at the first free place of the run. The index has one: it is at most half full.
fn put(index: &mut Region<u32>, hash: u64, slot_plus_one: u32) {
    let mask = index.len() - 1;
    let mut at = hash as usize & mask;
    while let Some(place) = index.get_mut(at) {
        if *place == 0 {
            *place = slot_plus_one;
            return;
        }
        at = (at + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn object(address: u64) -> LiveObject {
        LiveObject {
            address,
            size: address >> 12,
            usable_size: 64,
            weight_objects: 1.0,
            ..Default::default()
        }
    }

    fn all(table: &LiveTable) -> HashMap<u64, u64> {
        let mut out = Vec::new();
        table.copy(&mut out);
        out.iter().map(|o| (o.address, o.size)).collect()
    }

    #[test]
    fn follows_a_model_through_random_work() {
        let (times, addresses) = if cfg!(miri) { (200, 100) } else { (200_000, 20_000) };
        let table = LiveTable::new(5 * addresses).unwrap();
        let mut model = HashMap::new();
        let mut seed = 1u64;
        for _ in 0..times {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let address = ((seed >> 40) % addresses as u64 + 1) << 12;
            if seed >> 63 == 0 {
                if model.insert(address, address >> 12).is_none() {
                    assert_eq!(table.insert(object(address)), Inserted::Added);
                }
            } else {
                assert_eq!(table.remove(address).map(|o| o.size), model.remove(&address));
            }
        }
        assert_eq!(table.len(), model.len() as u64);
        assert_eq!(all(&table), model);
    }

    #[test]
    fn realloc_in_place_keeps_the_new_entry() {
        let table = LiveTable::new(10).unwrap();
        table.insert(object(0x1000));
        assert_eq!(table.insert(LiveObject { size: 99, ..object(0x1000) }), Inserted::Replaced);
        assert_eq!(table.remove(0x1000), None, "the free of the old block");
        assert_eq!(table.get(0x1000).unwrap().size, 99);
        assert_eq!(table.remove(0x1000).unwrap().size, 99);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn an_address_taken_over_before_its_free_is_told() {
        let table = LiveTable::new(10).unwrap();
        table.insert(object(0x1000));
        // Thread A moves it: SAMPLE(new) ... thread B gets the old address ... FREE(old) of A.
        table.insert(object(0x2000));
        table.insert(LiveObject { size: 7, ..object(0x1000) });
        assert_eq!(table.remove(0x1000), None);
        assert_eq!(all(&table), HashMap::from([(0x1000, 7), (0x2000, 2)]));
    }

    #[test]
    fn a_full_table_says_so_and_recovers() {
        let table = LiveTable::new(3).unwrap();
        for i in 1..=3 {
            assert_eq!(table.insert(object(i << 12)), Inserted::Added);
        }
        assert_eq!(table.insert(object(9 << 12)), Inserted::Full);
        assert!(table.remove(9 << 12).is_none());
        assert!(table.remove(1 << 12).is_some());
        assert_eq!(table.insert(object(9 << 12)), Inserted::Added);
    }
}
