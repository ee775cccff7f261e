//! Where signal handlers put samples, and stacks that could not be walked there.
//!
//! Preallocated, for all threads. A handler claims a place by one compare-and-swap, fills it and marks it ready; it never
//! waits: when the places it tries are taken, the sample is dropped and the caller counts it. One reader at a time takes out
//! what is ready, in no order. A place that a handler has claimed stays the handler's until it is marked.
//!
//! 1,024 samples of 256 frames (2.1 MiB) and 64 copies of 32 KiB of stack (2 MiB), resident as far as they were used.

use std::io;

use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, UnsafeCell};
use crate::sys::region::{Region, zeroed_struct};
use crate::sys::unwind::{StackCopy, Stuck};

/// Deepest stack kept; frames beyond, at the root end, are cut and counted.
pub(crate) const MAX_FRAMES: usize = 256;
const SAMPLES: u32 = if cfg!(loom) { 2 } else { 1024 };
/// Places tried before a sample is dropped.
const TRIES: u32 = if cfg!(loom) { 2 } else { 16 };
const COPIES: u32 = if cfg!(loom) { 1 } else { 64 };
/// Words of stack in a copy: 32 KiB.
pub(super) const COPY_WORDS: usize = 4096;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const READY: u32 = 2;

zeroed_struct! {
    /// A sample as a handler leaves it.
    pub(crate) struct Sample {
        pub(crate) thread: u32,
        /// Sampling periods that it stands for.
        pub(crate) periods: u32,
        /// Number of the context (span, route) that the thread was in.
        pub(crate) context: u32,
        /// Frames noted so far.
        pub(crate) len: u32,
        /// See [`outcome`].
        pub(super) outcome: u32,
        /// Position of the copied stack plus one, or 0.
        pub(super) copy: u32,
        /// Words of it that were read.
        pub(super) copied_words: u32,
        pub(super) stuck: Stuck,
        /// When it was taken (ticks), if somebody wants to know; else 0.
        #[cfg(feature = "recorder")]
        pub(crate) at_ticks: u64,
        /// CPU time of the thread so far.
        pub(crate) cpu_ns: u64,
        /// Whether the process's timer sent it, to a thread without one.
        pub(crate) by_process: bool,
        /// The kernel's name of the thread with some of its samples, the first among them; empty with others.
        pub(crate) name: [u8; 16],
        /// Innermost first.
        pub(crate) frames: [u64; MAX_FRAMES],
    }
}

/// Values of [`Sample::outcome`].
pub(super) mod outcome {
    /// Walked to the root.
    pub(crate) const WHOLE: u32 = 0;
    /// Deeper than the buffer.
    pub(crate) const CUT: u32 = 1;
    /// No rule, or one that led astray; the frames so far are right.
    pub(crate) const LOST: u32 = 2;
    /// To be walked on from `stuck`.
    pub(crate) const STUCK: u32 = 3;
}

zeroed_struct! {
    struct Place {
        sample: UnsafeCell<Sample>,
    }
}

// SAFETY: only whoever took a place by its state touches what is in it.
unsafe impl Sync for Place {}

zeroed_struct! {
    struct CopyPlace {
        words: UnsafeCell<[u64; COPY_WORDS]>,
    }
}

// SAFETY: only whoever took a place by its bit touches what is in it.
unsafe impl Sync for CopyPlace {}

pub(crate) struct Ring {
    states: Region<AtomicU32>,
    places: Region<Place>,
    next: AtomicU32,
    copies: Region<CopyPlace>,
    /// A bit for each copy in use.
    copies_taken: AtomicU64,
}

/// A place that a handler fills. Given back unused unless it is published.
pub(super) struct Claimed<'a> {
    state: &'a AtomicU32,
    place: &'a Place,
    becomes: u32,
}

impl Ring {
    /// Bytes reserved.
    pub(crate) const BYTES: u64 =
        SAMPLES as u64 * (size_of::<Place>() as u64 + 4) + COPIES as u64 * size_of::<CopyPlace>() as u64;

    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            states: Region::reserve(SAMPLES as usize)?,
            places: Region::reserve(SAMPLES as usize)?,
            next: AtomicU32::new(0),
            copies: Region::reserve(COPIES as usize)?,
            copies_taken: AtomicU64::new(0),
        })
    }

    /// `None` when the ring is full.
    pub(super) fn claim_in_handler(&self) -> Option<Claimed<'_>> {
        for _ in 0..TRIES {
            let at = (self.next.fetch_add(1, Ordering::Relaxed) % SAMPLES) as usize;
            let (state, place) = (self.states.get(at)?, self.places.get(at)?);
            if state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Some(Claimed { state, place, becomes: FREE });
            }
        }
        None
    }

    /// Room for a copied stack: its position and where it is. `None` when all are in use.
    pub(super) fn claim_copy_in_handler(&self) -> Option<(u32, *mut u64)> {
        let mut taken = self.copies_taken.load(Ordering::Relaxed);
        loop {
            let at = (!taken).trailing_zeros();
            if at >= COPIES {
                return None;
            }
            let with = taken | 1 << at;
            match self.copies_taken.compare_exchange_weak(taken, with, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some((at, self.copies.get(at as usize)?.words.get().cast())),
                Err(now) => taken = now,
            }
        }
    }

    /// Gives everything that is ready to `take`, with the rest of its stack where that was copied. One caller at a time.
    pub(crate) fn drain(&self, mut take: impl FnMut(&mut Sample, Option<StackCopy<'_>>)) {
        for (state, place) in self.states.iter().zip(self.places.iter()) {
            if state.load(Ordering::Acquire) != READY {
                continue;
            }
            // SAFETY: READY places are the reader's, and there is one reader.
            let sample = unsafe { &mut *place.sample.get() };
            let copy = sample.copy.checked_sub(1);
            let words = copy.and_then(|at| self.copies.get(at as usize)).map(|copy| {
                // SAFETY: the bit of this copy is set for this sample until it is cleared below.
                let words: &[u64] = unsafe { &*copy.words.get() };
                words.get(..sample.copied_words as usize).unwrap_or_default()
            });
            let start = sample.stuck.stack_pointer();
            take(sample, words.map(|words| StackCopy { start, words }));
            if let Some(at) = copy {
                self.copies_taken.fetch_and(!(1 << at), Ordering::Release);
            }
            state.store(FREE, Ordering::Release);
        }
    }

    /// Gives the memory back to the system, when no handler is at work and everything was read. Copies whose sample was never
    /// read, because its thread was held up or is not in this process, are free again.
    pub(super) fn give_back(&self) {
        self.states.iter().for_each(|state| state.store(FREE, Ordering::Relaxed));
        self.copies_taken.store(0, Ordering::Release);
        self.places.give_back();
        self.copies.give_back();
    }
}

impl Claimed<'_> {
    pub(super) fn sample(&mut self) -> &mut Sample {
        // SAFETY: the place is ours until its state changes.
        unsafe { &mut *self.place.sample.get() }
    }

    /// Hands it to the reader.
    pub(super) fn publish(mut self) {
        self.becomes = READY;
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.state.store(self.becomes, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_once() {
        let ring = Ring::new().unwrap();
        for i in 0..100 {
            let mut claimed = ring.claim_in_handler().unwrap();
            let sample = claimed.sample();
            (sample.thread, sample.copy) = (i, 0);
            if i % 2 == 0 {
                claimed.publish();
            }
        }
        let mut seen = Vec::new();
        ring.drain(|sample, copy| {
            assert!(copy.is_none());
            seen.push(sample.thread);
        });
        assert_eq!(seen, (0..100).step_by(2).collect::<Vec<_>>());
        ring.drain(|_, _| panic!("nothing is left"));
    }

    #[test]
    fn a_full_ring_refuses_and_recovers() {
        let ring = Ring::new().unwrap();
        let mut kept = 0;
        while let Some(mut claimed) = ring.claim_in_handler() {
            claimed.sample().copy = 0;
            claimed.publish();
            kept += 1;
        }
        assert_eq!(kept, SAMPLES);
        let mut read = 0;
        ring.drain(|_, _| read += 1);
        assert_eq!(read, SAMPLES);
        assert!(ring.claim_in_handler().is_some());
    }

    #[test]
    fn copies_come_back_with_their_sample() {
        let ring = Ring::new().unwrap();
        for round in 0..3 {
            for i in 0..COPIES {
                let (at, words) = ring.claim_copy_in_handler().unwrap();
                // SAFETY: the copy is ours.
                unsafe { *words = u64::from(i + round) };
                let mut claimed = ring.claim_in_handler().unwrap();
                let sample = claimed.sample();
                (sample.copy, sample.copied_words, sample.thread) = (at + 1, 1, i + round);
                claimed.publish();
            }
            assert!(ring.claim_copy_in_handler().is_none());
            ring.drain(|sample, copy| assert_eq!(copy.unwrap().words, [u64::from(sample.thread)]));
        }
    }

    #[test]
    fn copies_of_samples_that_were_never_read_are_free_again() {
        let ring = Ring::new().unwrap();
        let all = |ring: &Ring| std::iter::from_fn(|| ring.claim_copy_in_handler()).count() as u32;
        assert_eq!((all(&ring), all(&ring)), (COPIES, 0));
        ring.give_back();
        assert_eq!(all(&ring), COPIES);
    }

    #[test]
    fn many_writers_lose_nothing_uncounted() {
        let (threads, times) = if cfg!(miri) { (2, 10) } else { (4, 20_000) };
        let ring = Ring::new().unwrap();
        let (read, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        let done = AtomicU32::new(0);
        std::thread::scope(|s| {
            for thread in 0..threads {
                let (ring, dropped, done) = (&ring, &dropped, &done);
                s.spawn(move || {
                    for i in 0..times {
                        match ring.claim_in_handler() {
                            Some(mut claimed) => {
                                let sample = claimed.sample();
                                (sample.thread, sample.copy, sample.len) = (thread, 0, 2);
                                (sample.frames[0], sample.frames[1]) = (i, !i);
                                claimed.publish();
                            }
                            None => _ = dropped.fetch_add(1, Ordering::Relaxed),
                        }
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
            let count = |sample: &mut Sample, _: Option<StackCopy<'_>>| {
                assert_eq!(sample.frames[0], !sample.frames[1], "not torn");
                read.fetch_add(1, Ordering::Relaxed);
            };
            while done.load(Ordering::Acquire) < threads {
                ring.drain(count);
            }
            ring.drain(count);
        });
        assert_eq!(read.into_inner() + dropped.into_inner(), u64::from(threads) * times);
    }
}
