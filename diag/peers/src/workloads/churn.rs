//! Allocation churn.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Workload, stacks};
use crate::child::{Window, histogram};
use crate::random::Random;

const THREADS: u64 = 2;
const KEPT: usize = 4096;
const BATCH: usize = 32;
const PATHS: usize = 512;

pub(super) struct Churn {
    threads: Vec<Thread>,
}

struct Thread {
    random: Random,
    kept: Vec<Vec<u8>>,
    times: Histogram<u64>,
}

impl Churn {
    pub(super) fn new() -> Self {
        let thread = |seed| Thread {
            random: Random::new(seed),
            kept: (0..KEPT).map(|_| Vec::new()).collect(),
            times: histogram(),
        };
        Self { threads: (1..=THREADS).map(thread).collect() }
    }
}

impl Workload for Churn {
    fn run(&mut self, length: Duration) -> Window {
        std::thread::scope(|scope| {
            for thread in &mut self.threads {
                scope.spawn(move || thread.run(length));
            }
        });
        let mut times = histogram();
        for thread in &mut self.threads {
            times += &thread.times;
        }
        Window::of(&times, BATCH as u64, length)
    }
}

impl Thread {
    fn run(&mut self, length: Duration) {
        self.times.reset();
        let began = Instant::now();
        let mut before = Duration::ZERO;
        while before < length {
            let path = self.random.below(PATHS) as u64;
            // A path has one depth, so that there are as many stacks as paths.
            let depth = 24 + (path % 32) as u32;
            let (random, kept) = (&mut self.random, &mut self.kept);
            // An odd multiplier: neighbours differ from the first frames on.
            stacks::below(depth, path.wrapping_mul(0x9E37_79B9_7F4A_7C15), &mut || batch(random, kept));
            let now = began.elapsed();
            self.times.saturating_record((now - before).as_nanos() as u64);
            before = now;
        }
    }
}

#[inline(never)]
fn batch(random: &mut Random, kept: &mut [Vec<u8>]) {
    for _ in 0..BATCH {
        // 2^4 to 2^14, and evenly between two powers.
        let power = 4 + random.below(10);
        let bytes = (1usize << power) + random.below(1 << power);
        let mut block = Vec::with_capacity(bytes);
        block.push(black_box(power as u8));
        let place = random.below(KEPT);
        if let Some(place) = kept.get_mut(place) {
            *place = block;
        }
    }
}
