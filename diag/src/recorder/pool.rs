//! The chunks of all rings: one reservation of address space of the size of the cap, resident as far as it was used.
//!
//! A thread holds one chunk and gives it back when it is full; then the chunk waits with its records, in the order of being
//! given back, until it is the oldest and somebody needs one. So a busy thread has a long ring and a quiet one a short ring, all
//! rings go back about equally far, and what threads left behind that have ended ages like everything else. A chunk that is
//! given back half empty is continued by the next thread that needs one.
//!
//! What is needed comes from, in this order: a chunk half empty; the oldest one, if all in it is older than the age that must be
//! kept; a fresh one, below the cap; the oldest one, whatever its age: the cap wins. When even that fails, because more threads hold
//! chunks than there are, the records are dropped and counted.
//!
//! There is one pool a process, for its life: threads keep what they hold. The lock is held for some instructions, never while
//! allocating, and is taken over a fork.

use std::collections::VecDeque;
use std::io;

use super::chunk::{self, CHUNK_WORDS, Chunk, FIRST, SLOTS};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::lock::Lock;
use crate::sys::region::Region;

/// The least: 32 chunks.
pub(super) const LEAST_BYTES: u64 = 32 * CHUNK_BYTES;
/// The most: positions of chunks are kept in 32 bits, and a dump copies all.
pub(super) const MOST_BYTES: u64 = 1 << 30;
pub(super) const CHUNK_BYTES: u64 = CHUNK_WORDS as u64 * 8;
/// A chunk with so many free slots is worth continuing.
const WORTH: usize = SLOTS / 4;

pub(super) struct Pool {
    words: Region<AtomicU64>,
    state: Lock<State>,
    /// Chunks that were ever used; they are the first ones.
    used: AtomicU32,
    pub(super) tally: Tally,
}

/// What was lost, and what was kept.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Slots of chunks that were used again.
    pub(super) overwritten: AtomicU64,
    /// Those of them that were younger than the age that was to be kept.
    pub(super) overwritten_young: AtomicU64,
    /// Records for which there was no chunk.
    pub(super) without_chunk: AtomicU64,
    /// Threads that hold a chunk.
    pub(super) holders: AtomicU32,
}

struct State {
    chunks: u32,
    age_ticks: u64,
    /// Chunk, when it was given back, slots used.
    full: VecDeque<(u32, u64, u32)>,
    /// Chunk, and the next free slot.
    partial: Vec<(u32, u32)>,
}

/// A chunk in somebody's hands.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) number: u32,
    pub(super) chunk: &'a Chunk,
    /// The next free slot.
    pub(super) at: usize,
}

impl Pool {
    /// Reserves the cap.
    pub(super) fn new(max_bytes: u64, age_ticks: u64) -> io::Result<Self> {
        let chunks = (max_bytes.clamp(LEAST_BYTES, MOST_BYTES) / CHUNK_BYTES) as u32;
        Ok(Self {
            words: Region::reserve(chunks as usize * CHUNK_WORDS)?,
            state: Lock::new(State {
                chunks,
                age_ticks,
                full: VecDeque::with_capacity(chunks as usize),
                partial: Vec::with_capacity(chunks as usize),
            }),
            used: AtomicU32::new(0),
            tally: Tally::default(),
        })
    }

    /// Chunks that hold records.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Acquire)
    }

    /// Sets cap and age; the cap is at most what was reserved, and chunks that were used already stay in use.
    pub(super) fn set(&self, max_bytes: u64, age_ticks: u64) {
        let mut state = self.state.lock();
        let chunks = (max_bytes.max(LEAST_BYTES) / CHUNK_BYTES).min(self.reserved_bytes() / CHUNK_BYTES);
        (state.chunks, state.age_ticks) = (chunks as u32, age_ticks);
    }

    pub(super) fn chunk(&self, number: u32) -> Option<&Chunk> {
        let begin = number as usize * CHUNK_WORDS;
        self.words.get(begin..begin + CHUNK_WORDS)?.try_into().ok()
    }

    /// Takes a chunk to write to.
    pub(super) fn take(&self, now: u64) -> Option<Held<'_>> {
        let mut state = self.state.lock();
        if let Some((number, at)) = state.partial.pop() {
            drop(state);
            self.tally.holders.fetch_add(1, Ordering::Relaxed);
            return Some(Held { number, chunk: self.chunk(number)?, at: at as usize });
        }
        let is_old = |age_ticks: u64, until: u64| now.saturating_sub(until) >= age_ticks;
        let old = state.full.front().is_some_and(|(_, until, _)| is_old(state.age_ticks, *until));
        let used = self.used.load(Ordering::Relaxed);
        let number = if used < state.chunks && !old {
            self.used.store(used + 1, Ordering::Release);
            used
        } else {
            let (number, _, slots) = state.full.pop_front()?;
            let records = u64::from(slots.saturating_sub(FIRST as u32));
            self.tally.overwritten.fetch_add(records, Ordering::Relaxed);
            if !old {
                self.tally.overwritten_young.fetch_add(records, Ordering::Relaxed);
            }
            number
        };
        drop(state);
        let chunk = self.chunk(number)?;
        chunk::clear(chunk);
        self.tally.holders.fetch_add(1, Ordering::Relaxed);
        Some(Held { number, chunk, at: FIRST })
    }

    /// Takes a chunk back, with its records.
    pub(super) fn give_back(&self, number: u32, at: usize, now: u64) {
        let mut state = self.state.lock();
        // Neither grows: there are never more than all chunks in it.
        if at + WORTH <= SLOTS {
            state.partial.push((number, at as u32));
        } else {
            state.full.push_back((number, now, at as u32));
        }
        drop(state);
        self.tally.holders.fetch_sub(1, Ordering::Relaxed);
    }

    /// The most that the cap can be.
    pub(super) fn reserved_bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// For fork.
    pub(super) fn acquire(&self) {
        self.state.acquire();
    }

    /// For fork.
    pub(super) fn release(&self) {
        self.state.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new(LEAST_BYTES, 100).unwrap()
    }

    fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn the_cap_wins_over_age_and_age_over_growth() {
        let pool = pool();
        // One thread, a chunk every 10 ticks: after 100 the oldest is old, so no more than 11 are used.
        let mut now = 1_000;
        for _ in 0..50 {
            let held = pool.take(now).unwrap();
            now += 10;
            pool.give_back(held.number, SLOTS, now);
        }
        assert_eq!(pool.used(), 11);
        assert_eq!((of(&pool.tally.overwritten), of(&pool.tally.overwritten_young)), (39 * 255, 0));
        // Faster: up to the cap, and then the oldest goes however young it is.
        for _ in 0..50 {
            let held = pool.take(now).unwrap();
            now += 1;
            pool.give_back(held.number, SLOTS, now);
        }
        assert_eq!(pool.used(), 32);
        assert!(of(&pool.tally.overwritten_young) > 0);
    }

    #[test]
    fn what_is_half_empty_is_continued_and_what_is_held_is_not_taken() {
        let pool = pool();
        let first = pool.take(1).unwrap();
        pool.give_back(first.number, 20, 2);
        let again = pool.take(3).unwrap();
        assert_eq!((again.number, again.at), (first.number, 20));
        let held: Vec<Held<'_>> = std::iter::from_fn(|| pool.take(4)).collect();
        assert_eq!(held.len(), 31);
        let mut numbers: Vec<u32> = held.iter().map(|h| h.number).chain([again.number]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 32);
        assert_eq!(pool.tally.holders.load(Ordering::Relaxed), 32);
        pool.give_back(again.number, SLOTS - 3, 5);
        assert_eq!(pool.take(6).map(|h| (h.number, h.at)), Some((again.number, FIRST)));
    }
}
