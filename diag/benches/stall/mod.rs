//! How long others wait for the allocator meanwhile.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The longest single alloc+free on another thread while `f` runs.
pub(crate) fn worst_stall<R>(f: impl FnOnce() -> R) -> (R, Duration) {
    let (stop, worst) = (AtomicBool::new(false), AtomicU64::new(0));
    let result = std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                black_box(Vec::<u8>::with_capacity(black_box(3000)));
                worst.fetch_max(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
        });
        std::thread::sleep(Duration::from_millis(5));
        let result = f();
        stop.store(true, Ordering::Relaxed);
        result
    });
    (result, Duration::from_nanos(worst.into_inner()))
}
