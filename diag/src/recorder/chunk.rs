//! A chunk of a thread's ring: 255 slots of 32 bytes, written by one thread and copied by any other meanwhile.
//!
//! A record is one slot of four words, and the slots behind it that hold its text. The words are atomics that are stored
//! relaxed; the count of slots is stored last, with release, so that whoever reads the count sees all records below it. Within a
//! generation nothing is overwritten. Before a chunk is used again its generation is made odd, which a fence puts ahead of
//! every store that follows: a reader who saw anything of the new use finds another generation after its own fence, and
//! throws the copy away. So no record that is read was torn, and there is no data race in the words of the memory model.
//!
//! Source: Boehm, Can seqlocks get along with programming language memory models? (MSPC 2012), with the count beside it.

use crate::sys::atomic::{AtomicU64, Ordering, fence};

/// Words of a chunk: 8 KiB; two records for loom.
pub(super) const CHUNK_WORDS: usize = if cfg!(loom) { 12 } else { 1024 };
/// Words of a slot: 32 bytes.
pub(super) const SLOT_WORDS: usize = 4;
const WORD_BYTES: usize = 8;
/// Slots of a chunk. The first holds generation and count.
pub(super) const SLOTS: usize = CHUNK_WORDS / SLOT_WORDS;
/// Where records begin.
pub(super) const FIRST: usize = 1;

const GENERATION: usize = 0;
const COUNT: usize = 1;

pub(super) type Chunk = [AtomicU64; CHUNK_WORDS];

/// Empties a chunk. Only for whoever took it out of the pool.
pub(super) fn clear(chunk: &Chunk) {
    let generation = chunk[GENERATION].load(Ordering::Relaxed);
    chunk[GENERATION].store(generation | 1, Ordering::Relaxed);
    fence(Ordering::Release);
    chunk[COUNT].store(FIRST as u64, Ordering::Relaxed);
    chunk[GENERATION].store((generation | 1) + 1, Ordering::Release);
}

/// Writes a record with its text behind it, and publishes it; gives the next free slot. Only for the holder, and where there is
/// room: what does not fit is not written.
#[inline]
pub(super) fn write(chunk: &Chunk, at: usize, record: [u64; SLOT_WORDS], text: &[u8]) -> usize {
    let begin = at * SLOT_WORDS;
    let Some(slot) = chunk.get(begin..begin + SLOT_WORDS) else { return SLOTS };
    for (place, word) in slot.iter().zip(record) {
        place.store(word, Ordering::Relaxed);
    }
    let mut next = at + 1;
    if !text.is_empty() {
        let words = text.len().div_ceil(WORD_BYTES);
        let Some(places) = chunk.get(begin + SLOT_WORDS..begin + SLOT_WORDS + words) else {
            return SLOTS;
        };
        let (whole, rest) = text.as_chunks::<WORD_BYTES>();
        for (place, bytes) in places.iter().zip(whole) {
            place.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if let (Some(place), false) = (places.get(whole.len()), rest.is_empty()) {
            place.store(last_word(rest), Ordering::Relaxed);
        }
        next += words.div_ceil(SLOT_WORDS);
    }
    chunk[COUNT].store(next as u64, Ordering::Release);
    next
}

/// Fewer bytes than a word has, filled up with zeros.
#[inline]
fn last_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// What a copy found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The chunk was never used.
    Nothing,
    /// It was taken for something new while it was copied.
    Overwritten,
    /// Whole records of this generation, up to this slot.
    Records { generation: u64, until: usize },
}

/// Appends the slots from `from` on, if the chunk is still of this generation; of any other, all slots from the first on.
/// What was appended counts only with [`Found::Records`].
pub(super) fn copy(chunk: &Chunk, known: Option<(u64, usize)>, into: &mut Vec<u64>) -> Found {
    copy_while(chunk, known, into, |_| {})
}

/// Between which steps of a copy a test does something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Counted,
    Copied,
}

#[inline]
fn copy_while(
    chunk: &Chunk,
    known: Option<(u64, usize)>,
    into: &mut Vec<u64>,
    mut meanwhile: impl FnMut(Step),
) -> Found {
    let generation = chunk[GENERATION].load(Ordering::Acquire);
    if generation == 0 {
        return Found::Nothing;
    }
    if generation % 2 == 1 {
        return Found::Overwritten;
    }
    let until = (chunk[COUNT].load(Ordering::Acquire) as usize).min(SLOTS);
    meanwhile(Step::Counted);
    let from = known.filter(|(of, _)| *of == generation).map_or(FIRST, |(_, from)| from);
    let words = chunk.get(from * SLOT_WORDS..until * SLOT_WORDS).unwrap_or_default();
    into.extend(words.iter().map(|word| word.load(Ordering::Relaxed)));
    meanwhile(Step::Copied);
    fence(Ordering::Acquire);
    if chunk[GENERATION].load(Ordering::Relaxed) == generation {
        Found::Records { generation, until }
    } else {
        Found::Overwritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn chunk() -> Box<Chunk> {
        Box::new([const { AtomicU64::new(0) }; CHUNK_WORDS])
    }

    #[test]
    fn what_is_written_is_copied_and_no_more() {
        let chunk = chunk();
        let mut words = Vec::new();
        assert_eq!(copy(&chunk, None, &mut words), Found::Nothing);
        clear(&chunk);
        assert_eq!(copy(&chunk, None, &mut words), Found::Records { generation: 2, until: 1 });
        let text: Vec<u8> = (1..=35).collect();
        let next = write(&chunk, FIRST, [1, 2, 3, 4], &text);
        assert_eq!(next, 4);
        assert_eq!(copy(&chunk, None, &mut words), Found::Records { generation: 2, until: 4 });
        assert_eq!(words[..5], [1, 2, 3, 4, 0x0807_0605_0403_0201]);
        assert_eq!(words[8..], [0x0023_2221, 0, 0, 0]);
        write(&chunk, next, [10, 11, 12, 13], &[]);
        words.clear();
        assert_eq!(copy(&chunk, Some((2, 4)), &mut words), Found::Records { generation: 2, until: 5 });
        assert_eq!(words, [10, 11, 12, 13]);
        words.clear();
        // Of another generation all is new.
        assert_eq!(copy(&chunk, Some((4, 4)), &mut words), Found::Records { generation: 2, until: 5 });
        assert_eq!(words.len(), 16);
        clear(&chunk);
        words.clear();
        assert_eq!(copy(&chunk, Some((2, 5)), &mut words), Found::Records { generation: 4, until: 1 });
        assert_eq!(words, [0u64; 0]);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let chunk = chunk();
        clear(&chunk);
        assert_eq!(write(&chunk, SLOTS, [1; 4], &[]), SLOTS);
        assert_eq!(write(&chunk, SLOTS - 1, [1; 4], &[2]), SLOTS);
        let mut words = Vec::new();
        assert_eq!(copy(&chunk, None, &mut words), Found::Records { generation: 2, until: 1 });
        assert_eq!(write(&chunk, SLOTS - 1, [1; 4], &[]), SLOTS);
    }

    #[test]
    fn what_is_overwritten_meanwhile_does_not_count() {
        let chunk = chunk();
        clear(&chunk);
        write(&chunk, FIRST, [1; 4], &[]);
        for step in [Step::Counted, Step::Copied] {
            let mut words = Vec::new();
            let found = copy_while(&chunk, None, &mut words, |now| {
                if now == step {
                    clear(&chunk);
                    write(&chunk, FIRST, [2; 4], &[]);
                }
            });
            assert_eq!(found, Found::Overwritten);
            // More of the same use does no harm.
            words.clear();
            let Found::Records { until, .. } =
                copy_while(&chunk, None, &mut words, |_| _ = write(&chunk, FIRST + 1, [3; 4], &[]))
            else {
                panic!("the chunk is the same")
            };
            assert_eq!(words.len(), (until - FIRST) * SLOT_WORDS);
        }
        // Taken, and not yet ready.
        chunk[GENERATION].fetch_add(1, Ordering::Relaxed);
        assert_eq!(copy(&chunk, None, &mut Vec::new()), Found::Overwritten);
    }

    /// One thread fills and empties a chunk while another copies it: every record that counts is of one piece. Small enough for Miri.
    #[test]
    fn no_copy_is_torn() {
        let copies: u64 = if cfg!(miri) { 20 } else { 20_000 };
        let (chunk, done) = (chunk(), AtomicBool::new(false));
        let check = |words: &[u64]| {
            let mut last = 0;
            for record in words.chunks(SLOT_WORDS) {
                assert_eq!([record[1], record[2], record[3]], [!record[0], record[0] ^ 7, record[0] << 1]);
                assert!(record[0] > last, "in order");
                last = record[0];
            }
        };
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut seed = 0;
                while !done.load(Ordering::Acquire) {
                    clear(&chunk);
                    for at in FIRST..if cfg!(miri) { 8 } else { SLOTS } {
                        seed += 1;
                        write(&chunk, at, [seed, !seed, seed ^ 7, seed << 1], &[]);
                    }
                }
            });
            let (mut words, mut whole) = (Vec::new(), 0u64);
            while whole < copies {
                words.clear();
                if let Found::Records { until, .. } = copy(&chunk, None, &mut words) {
                    assert_eq!(words.len(), (until - FIRST) * SLOT_WORDS);
                    check(&words);
                    whole += 1;
                }
            }
            done.store(true, Ordering::Release);
        });
    }
}
