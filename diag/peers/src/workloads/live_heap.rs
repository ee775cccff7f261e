//! A large live heap whose size is known.

use std::time::{Duration, Instant};

use super::{Workload, stacks};
use crate::child::{Window, histogram};
use crate::random::Random;

const BATCH: usize = 32;
const PATHS: usize = 256;
const DEPTH: u32 = 12;
/// jemalloc's size classes up to 2 KiB (four to a doubling), so that what is requested is what is taken.
const SIZES: [usize; 24] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280,
    1536, 1792, 2048,
];

pub(super) struct LiveHeap {
    random: Random,
    objects: Vec<Vec<u8>>,
    /// Of the objects.
    live_bytes: u64,
}

impl LiveHeap {
    pub(super) fn fill(count: usize) -> Self {
        let mut heap = Self { random: Random::new(1), objects: Vec::with_capacity(count), live_bytes: 0 };
        while heap.objects.len() < count {
            let (objects, live_bytes) = (&mut heap.objects, &mut heap.live_bytes);
            let random = &mut heap.random;
            let path = random.below(PATHS);
            born_below(path, &mut || {
                for _ in 0..BATCH.min(count - objects.len()) {
                    let object = object(random);
                    *live_bytes += object.capacity() as u64;
                    objects.push(object);
                }
            });
        }
        heap
    }
}

fn born_below(path: usize, work: &mut dyn FnMut()) {
    stacks::below(DEPTH, (path as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15), work);
}

#[inline(never)]
fn object(random: &mut Random) -> Vec<u8> {
    let bytes = SIZES.get(random.below(SIZES.len())).copied().unwrap_or(16);
    let mut object = Vec::with_capacity(bytes);
    // Pages are touched, as those of objects in use are.
    object.resize(bytes, 1);
    object
}

impl Workload for LiveHeap {
    fn run(&mut self, length: Duration) -> Window {
        let mut times = histogram();
        let began = Instant::now();
        let mut before = Duration::ZERO;
        while before < length {
            let path = self.random.below(PATHS);
            let (objects, live_bytes, random) = (&mut self.objects, &mut self.live_bytes, &mut self.random);
            born_below(path, &mut || {
                for _ in 0..BATCH {
                    let place = random.below(objects.len());
                    if let Some(place) = objects.get_mut(place) {
                        let new = object(random);
                        *live_bytes = *live_bytes + new.capacity() as u64 - place.capacity() as u64;
                        *place = new;
                    }
                }
            });
            let now = began.elapsed();
            times.saturating_record((now - before).as_nanos() as u64);
            before = now;
        }
        Window::of(&times, BATCH as u64, length)
    }

    fn true_bytes(&self) -> Option<u64> {
        let table = self.objects.capacity() * size_of::<Vec<u8>>();
        Some(self.live_bytes + table as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_live_lives() {
        let mut heap = LiveHeap::fill(1000);
        let window = heap.run(Duration::from_millis(20));
        assert!(window.operations > 0);
        let live: usize = heap.objects.iter().map(Vec::capacity).sum();
        let table = heap.objects.capacity() * size_of::<Vec<u8>>();
        assert_eq!(heap.objects.len(), 1000);
        assert_eq!(heap.true_bytes(), Some((live + table) as u64));
    }
}
