//! The flight recorder's chunks and their pool.

#[path = "../../../src/recorder/chunk.rs"]
mod chunk;
#[path = "../../../src/recorder/pool.rs"]
mod pool;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread::spawn;

use crate::check;
use chunk::{CHUNK_WORDS, Chunk, FIRST, Found, SLOT_WORDS, SLOTS};
use pool::Pool;

fn record(number: u64) -> [u64; SLOT_WORDS] {
    [number, !number, number ^ 7, number << 1]
}

/// What a copy found is whole records, in order and of one generation; gives where it ended, and the number of the last record.
fn read(chunk: &Chunk, known: Option<(u64, usize)>) -> Option<((u64, usize), Option<u64>)> {
    let mut words = Vec::new();
    let Found::Records { generation, until } = chunk::copy(chunk, known, &mut words) else { return None };
    let from = known.filter(|(of, _)| *of == generation).map_or(FIRST, |(_, from)| from);
    assert_eq!(words.len(), (until - from) * SLOT_WORDS);
    let mut last = None;
    for written in words.chunks(SLOT_WORDS) {
        assert_eq!(written, record(written[0]), "not torn");
        assert_eq!(written[0] / 10, generation / 2, "of this generation");
        assert!(last.is_none_or(|before| before < written[0]), "in order");
        last = Some(written[0]);
    }
    Some(((generation, until), last))
}

/// One thread fills a chunk, empties it and fills it anew, while another copies, and then what is new since.
pub fn copies_of_a_chunk_are_whole() {
    check(|| {
        let chunk: Arc<Chunk> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let reader = {
            let chunk = chunk.clone();
            spawn(move || {
                let known = read(&chunk, None).map(|(known, _)| known);
                read(&chunk, known);
            })
        };
        for generation in 1..=2 {
            chunk::clear(&chunk);
            let next = chunk::write(&chunk, FIRST, record(generation * 10), &[]);
            chunk::write(&chunk, next, record(generation * 10 + 1), &[]);
        }
        reader.join().unwrap();
        assert_eq!(read(&chunk, None), Some(((4, SLOTS), Some(21))));
    });
}

/// Two threads take chunks, write and give them back, while a third copies: nobody else holds a chunk that is held, and what is copied is
/// whole. The age is 0, so that chunks are used again at once.
pub fn a_chunk_has_one_holder() {
    check(|| {
        let pool = Arc::new(Pool::new(0, 0).unwrap());
        let holders: Arc<[AtomicU64; 2]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let write = |pool: Arc<Pool>, holders: Arc<[AtomicU64; 2]>| {
            move || {
                let held = pool.take(1).unwrap();
                let holder = &holders[held.number as usize];
                assert_eq!(holder.swap(1, Ordering::Relaxed), 0, "one holder");
                chunk::write(held.chunk, held.at, record(10), &[]);
                holder.store(0, Ordering::Relaxed);
                pool.give_back(held.number, SLOTS, 2);
            }
        };
        let other = spawn(write(pool.clone(), holders.clone()));
        let reader = {
            let pool = pool.clone();
            spawn(move || {
                for number in 0..pool.used() {
                    let mut words = Vec::new();
                    if let Found::Records { .. } = chunk::copy(pool.chunk(number).unwrap(), None, &mut words)
                    {
                        assert!(words.is_empty() || words == record(10), "{words:?}");
                    }
                }
            })
        };
        write(pool.clone(), holders)();
        other.join().unwrap();
        reader.join().unwrap();
    });
}
