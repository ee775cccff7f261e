//! Where something happened: stacks of frames, and for each stack and variant of it (a size class, a context) one site with
//! totals: allocations with their bytes, contentions with their nanoseconds.
//!
//! Three append-only tables on fixed, lazily resident memory. Looking up what is known takes no lock; adding takes one
//! lock and happens once a distinct stack. Frames are interned, so a stack costs 4 bytes a frame. Nothing is ever
//! removed: when a table is full, samples go to the site [`Sites::OVERFLOW`], their number and totals stay right and only
//! the stack is lost (counted by the caller).

// Only the heap collector sizes its tables beforehand; elsewhere than on Linux there are none.
#![cfg_attr(not(all(feature = "heap", target_os = "linux")), allow(dead_code))]

use std::io;

use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::lock::Lock;
use crate::sys::region::{Region, Zeroed, zeroed_struct};

const LEAST_STACKS: usize = if cfg!(loom) { 4 } else { 64 };

zeroed_struct! {
    #[derive(Debug)]
    struct StackRow {
        /// By these two together a stack is known: frames are not compared.
        hash: AtomicU64,
        check: AtomicU64,
        start: AtomicU32,
        len: AtomicU32,
    }
}

zeroed_struct! {
    /// A cache line, which is all that a sample of a known site touches here besides the index.
    #[derive(Debug)]
    #[repr(align(64))]
    struct SiteRow {
        /// By these two together a stack and variant are known.
        hash: AtomicU64,
        check: AtomicU64,
        /// Position of the stack.
        stack: AtomicU32,
        variant: AtomicU64,
        /// Sums, as bits of an f64.
        count: AtomicU64,
        amount: AtomicU64,
        samples: AtomicU64,
    }
}

/// How often something happened, and how much of it: bytes, nanoseconds. Estimates.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Total {
    pub(crate) count: f64,
    pub(crate) amount: f64,
}

/// A site as read for a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) stack: u32,
    /// 0 for the overflow site, which mixes all.
    pub(crate) variant: u64,
    pub(crate) total: Total,
    /// Samples taken.
    pub(crate) samples: u64,
}

#[derive(Debug, Default)]
struct Used {
    frames: usize,
    stack_frames: usize,
    stacks: usize,
    sites: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Sites {
    frames: Index<AtomicU64>,
    stack_frames: Region<AtomicU32>,
    stacks: Index<StackRow>,
    sites: Index<SiteRow>,
    used: Lock<Used>,
}

/// A table with a hash index; positions are published by storing them in the index.
#[derive(Debug)]
struct Index<T> {
    rows: Region<T>,
    slots: Region<AtomicU32>,
    /// Rows readers may look at.
    published: AtomicU32,
}

impl<T: Zeroed> Index<T> {
    fn new(limit: usize) -> io::Result<Self> {
        Ok(Self {
            rows: Region::reserve(limit)?,
            slots: Region::reserve((limit * 2).next_power_of_two())?,
            published: AtomicU32::new(0),
        })
    }

    fn len(&self) -> usize {
        self.published.load(Ordering::Acquire) as usize
    }

    fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let position = self.slots.get(at)?.load(Ordering::Acquire).checked_sub(1)?;
            if same(self.rows.get(position as usize)?) {
                return Some(position);
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes a filled row visible. Only under the lock that guards additions. It is counted first: whoever finds its position may
    /// read it by that.
    fn publish(&self, hash: u64, position: u32) {
        self.published.store(position + 1, Ordering::Release);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get(at) {
            if slot.load(Ordering::Relaxed) == 0 {
                slot.store(position + 1, Ordering::Release);
                break;
            }
            at = (at + 1) & mask;
        }
    }

    fn memory_bytes(&self) -> u64 {
        // Index pages become resident as rows spread over them.
        let slots = (self.slots.len() * size_of::<u32>()) as u64;
        let rows = self.len() as u64;
        rows * size_of::<T>() as u64 + slots.min(rows.saturating_mul(4096))
    }
}

impl Sites {
    /// The site of samples whose stack could not be kept.
    pub(crate) const OVERFLOW: u32 = 0;

    /// Tables for about `memory_bytes` in all.
    pub(crate) fn new(memory_bytes: usize) -> io::Result<Self> {
        // A stack of 40 frames takes 160 bytes, its row and index 40, one and a half sites 108.
        let stacks = (memory_bytes / 320).max(LEAST_STACKS);
        let sites = Self {
            frames: Index::new((stacks * 2).min(1 << 20))?,
            stack_frames: Region::reserve(stacks * 40)?,
            stacks: Index::new(stacks)?,
            sites: Index::new(stacks * 3 / 2)?,
            used: Lock::new(Used::default()),
        };
        sites.site(&[], 0);
        Ok(sites)
    }

    /// The site of a stack and variant. `None` when a table is full. Runs inside allocations.
    pub(crate) fn site(&self, frames: &[u64], variant: u64) -> Option<u32> {
        let key = Key::of(frames);
        self.find_site(key.with(variant)).or_else(|| self.add_site(key, frames, variant))
    }

    /// Adds what a sample stands for to a site's totals. Runs inside allocations.
    pub(crate) fn add(&self, site: u32, sample: Total) {
        if let Some(row) = self.sites.rows.get(site as usize) {
            add_f64(&row.count, sample.count);
            add_f64(&row.amount, sample.amount);
            row.samples.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sites.len()
    }

    pub(crate) fn stack_count(&self) -> usize {
        self.stacks.len()
    }

    pub(crate) fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Frames of all stacks together.
    pub(crate) fn stack_frame_count(&self) -> usize {
        self.used.lock().stack_frames
    }

    /// The look-up address of a frame.
    pub(crate) fn frame_address(&self, frame: u32) -> u64 {
        self.frames.rows.get(frame as usize).map_or(0, |a| a.load(Ordering::Relaxed))
    }

    /// The frames of a stack, leaf first.
    pub(crate) fn stack(&self, stack: u32) -> impl Iterator<Item = u32> + '_ {
        self.stacks
            .rows
            .get(stack as usize)
            .map(|row| self.frames_of(row))
            .unwrap_or_default()
            .iter()
            .map(|f| f.load(Ordering::Relaxed))
    }

    pub(crate) fn get(&self, site: u32) -> Option<Site> {
        let row = self.sites.rows.get(site as usize).filter(|_| (site as usize) < self.len())?;
        Some(Site {
            stack: row.stack.load(Ordering::Relaxed),
            variant: row.variant.load(Ordering::Relaxed),
            total: Total {
                count: f64::from_bits(row.count.load(Ordering::Relaxed)),
                amount: f64::from_bits(row.amount.load(Ordering::Relaxed)),
            },
            samples: row.samples.load(Ordering::Relaxed),
        })
    }

    /// Bytes of the tables in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let stack_frames = self.used.lock().stack_frames as u64 * 4;
        self.frames.memory_bytes() + self.stacks.memory_bytes() + self.sites.memory_bytes() + stack_frames
    }

    /// For fork.
    pub(crate) fn acquire_all(&self) {
        self.used.acquire();
    }

    /// For fork.
    pub(crate) fn release_all(&self) {
        self.used.release();
    }

    fn frames_of(&self, row: &StackRow) -> &[AtomicU32] {
        let start = row.start.load(Ordering::Relaxed) as usize;
        let len = row.len.load(Ordering::Relaxed) as usize;
        self.stack_frames.get(start..start + len).unwrap_or_default()
    }

    fn find_stack(&self, key: Key) -> Option<u32> {
        self.stacks.find(key.hash, |row| {
            row.hash.load(Ordering::Relaxed) == key.hash && row.check.load(Ordering::Relaxed) == key.check
        })
    }

    fn find_site(&self, key: Key) -> Option<u32> {
        self.sites.find(key.hash, |row| {
            row.hash.load(Ordering::Relaxed) == key.hash && row.check.load(Ordering::Relaxed) == key.check
        })
    }

    #[cold]
    fn add_site(&self, stack_key: Key, frames: &[u64], variant: u64) -> Option<u32> {
        let mut used = self.used.lock();
        let key = stack_key.with(variant);
        if let Some(site) = self.find_site(key) {
            return Some(site);
        }
        let row = self.sites.rows.get(used.sites)?;
        let stack = match self.find_stack(stack_key) {
            Some(stack) => stack,
            None => self.add_stack(&mut used, stack_key, frames)?,
        };
        row.hash.store(key.hash, Ordering::Relaxed);
        row.check.store(key.check, Ordering::Relaxed);
        row.stack.store(stack, Ordering::Relaxed);
        row.variant.store(variant, Ordering::Relaxed);
        let position = used.sites as u32;
        used.sites += 1;
        self.sites.publish(key.hash, position);
        Some(position)
    }

    fn add_stack(&self, used: &mut Used, key: Key, frames: &[u64]) -> Option<u32> {
        let row = self.stacks.rows.get(used.stacks)?;
        let start = used.stack_frames;
        let room = self.stack_frames.get(start..start + frames.len())?;
        for (place, &address) in room.iter().zip(frames) {
            place.store(self.frame(used, address)?, Ordering::Relaxed);
        }
        row.hash.store(key.hash, Ordering::Relaxed);
        row.check.store(key.check, Ordering::Relaxed);
        row.start.store(start as u32, Ordering::Relaxed);
        row.len.store(frames.len() as u32, Ordering::Relaxed);
        let position = used.stacks as u32;
        used.stacks += 1;
        used.stack_frames += frames.len();
        self.stacks.publish(key.hash, position);
        Some(position)
    }

    fn frame(&self, used: &mut Used, address: u64) -> Option<u32> {
        let hash = mix(address);
        if let Some(frame) = self.frames.find(hash, |a| a.load(Ordering::Relaxed) == address) {
            return Some(frame);
        }
        self.frames.rows.get(used.frames)?.store(address, Ordering::Relaxed);
        let position = used.frames as u32;
        used.frames += 1;
        self.frames.publish(hash, position);
        Some(position)
    }
}

fn add_f64(sum: &AtomicU64, value: f64) {
    let mut old = sum.load(Ordering::Relaxed);
    loop {
        let new = (f64::from_bits(old) + value).to_bits();
        match sum.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

#[inline]
fn mix(value: u64) -> u64 {
    mix_by(value, 0xa076_1d64_78bd_642f)
}

#[inline]
fn mix_by(value: u64, by: u128) -> u64 {
    let product = u128::from(value ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(by);
    (product as u64) ^ ((product >> 64) as u64)
}

/// 128 bits by which a stack is known, and with its variant a site. Two halves that share nothing, so that among a million stacks two have
/// the same key with a probability of 10^-26; comparing the frames would be some 40 loads from all over the tables, in each sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    hash: u64,
    check: u64,
}

impl Key {
    /// Each half goes through two lanes, so that four multiplications are under way at a time. Sums of products, which would be under way all
    /// at once, want a number of its own for each position out of a table: with numbers that are computed, stacks of a recursion that takes
    /// the same ways in another order have the same key.
    fn of(frames: &[u64]) -> Self {
        let len = frames.len() as u64;
        let (mut hash, mut hash_of_odd) = (mix(len), mix(!len));
        let (mut check, mut check_of_odd) = (mix_by(len, OTHER), mix_by(!len, OTHER));
        let (pairs, last) = frames.as_chunks::<2>();
        for &[even, odd] in pairs {
            (hash, check) = (mix(hash ^ even), mix_by(check ^ even, OTHER));
            (hash_of_odd, check_of_odd) = (mix(hash_of_odd ^ odd), mix_by(check_of_odd ^ odd, OTHER));
        }
        if let [even] = last {
            (hash, check) = (mix(hash ^ even), mix_by(check ^ even, OTHER));
        }
        Self {
            hash: mix(hash ^ hash_of_odd.rotate_left(32)),
            check: mix_by(check ^ check_of_odd.rotate_left(32), OTHER),
        }
    }

    /// Of a site.
    fn with(self, variant: u64) -> Self {
        Self { hash: mix(self.hash ^ mix(variant)), check: mix_by(self.check ^ mix(!variant), OTHER) }
    }
}

/// The second half's multiplier.
const OTHER: u128 = 0xe703_7ed1_a0b4_28db;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stacks_and_variants_share_a_site() {
        let sites = Sites::new(1 << 20).unwrap();
        let a = sites.site(&[1, 2, 3], 64).unwrap();
        assert_eq!(sites.site(&[1, 2, 3], 64), Some(a));
        let b = sites.site(&[1, 2, 3], 80).unwrap();
        let c = sites.site(&[1, 2], 64).unwrap();
        assert!(a != b && b != c && a != Sites::OVERFLOW);
        assert_eq!(sites.get(a).unwrap().stack, sites.get(b).unwrap().stack);
        let frames: Vec<u64> =
            sites.stack(sites.get(c).unwrap().stack).map(|f| sites.frame_address(f)).collect();
        assert_eq!(frames, [1, 2]);
        assert_eq!(sites.frame_count(), 3);
    }

    /// Stacks as programs have them: addresses near each other, at shifted and swapped positions, of all lengths.
    #[test]
    #[cfg_attr(miri, ignore = "nothing but arithmetic, and much of it")]
    fn keys_of_like_stacks_differ_in_all_their_bits() {
        use std::collections::HashSet;
        let base: Vec<u64> = (0..40u64).map(|i| 0x5555_5555_0000 + i * 0x1230).collect();
        let mut stacks: Vec<Vec<u64>> = vec![];
        for i in 0..base.len() {
            stacks.push(base[..i].to_vec());
            stacks.push(base[i..].to_vec());
            for j in 0..i {
                let mut swapped = base.clone();
                swapped.swap(i, j);
                stacks.push(swapped);
                for by in [1, 5, 0x1230] {
                    let mut moved = base.clone();
                    (moved[i], moved[j]) = (moved[i] + by, moved[j] - by);
                    stacks.push(moved);
                }
            }
            // A recursion that goes through another line at some depths.
            for ways in [i, i * 37 % 97, i * i] {
                let way = |(depth, frame): (usize, &u64)| frame + 8 * (ways >> (depth % 12) & 1) as u64;
                stacks.push(base[..2].repeat(20).iter().enumerate().map(way).collect());
            }
            // Two steps of a recursion, one of them through another line of each function.
            for j in (0..i.saturating_sub(1)).step_by(2) {
                let mut recursion = base[..2].repeat(20);
                recursion[j] += 8;
                recursion[j + 1] += 8;
                stacks.push(recursion.clone());
                recursion[i & !1] += 24;
                recursion[i | 1] += 24;
                stacks.push(recursion);
            }
            for by in 1..200 {
                let mut near = base.clone();
                near[i] += by;
                stacks.push(near);
            }
            stacks.push(vec![0; i]);
            stacks.push(vec![7; i]);
        }
        let stacks: HashSet<Vec<u64>> = stacks.into_iter().collect();
        let keys: Vec<Key> = stacks.iter().map(|frames| Key::of(frames)).collect();
        let of_sites = keys.iter().map(|key| key.with(64)).chain(keys.iter().map(|key| key.with(80)));
        let all: Vec<Key> = keys.iter().copied().chain(of_sites).collect();
        for half in [|key: &Key| key.hash, |key: &Key| key.check] {
            assert_eq!(all.iter().map(half).collect::<HashSet<u64>>().len(), all.len());
            for bit in 0..64 {
                let ones = all.iter().filter(|key| half(key) >> bit & 1 == 1).count() as f64;
                let (mean, deviation) = (all.len() as f64 / 2.0, (all.len() as f64).sqrt() / 2.0);
                assert!((ones - mean).abs() < 5.0 * deviation, "bit {bit}: {ones} of {}", all.len());
            }
        }
        let places: HashSet<u64> = keys.iter().map(|key| key.hash & 0xffff).collect();
        let expected = 65_536.0 * (1.0 - (-(keys.len() as f64) / 65_536.0).exp());
        assert!(places.len() as f64 > 0.97 * expected, "{} places, not {expected}", places.len());
    }

    #[test]
    fn a_full_table_gives_none_and_stays_whole() {
        let sites = Sites::new(1).unwrap();
        let known = sites.site(&[7], 1).unwrap();
        let mut refused = 0;
        for i in 0..1_000u64 {
            refused += u32::from(sites.site(&[i + 100], 1).is_none());
        }
        assert!(refused > 800);
        assert_eq!(sites.site(&[7], 1), Some(known));
    }

    #[test]
    fn threads_agree() {
        let many = if cfg!(miri) { 10 } else { 2_000 };
        let sites = Sites::new(if cfg!(miri) { 1 << 15 } else { 1 << 22 }).unwrap();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for i in 0..many {
                        let site = sites.site(&[i, i / 7, 5], 16).unwrap();
                        sites.add(site, Total { count: 1.0, amount: 16.0 });
                    }
                });
            }
        });
        assert_eq!(sites.len() as u64, many + 1);
        let total: f64 = (0..=many as u32).map(|i| sites.get(i).unwrap().total.count).sum();
        assert_eq!(total, 4.0 * many as f64);
    }
}
