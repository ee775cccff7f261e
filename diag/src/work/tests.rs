//! Counting from many threads.

use super::*;

#[test]
fn threads_lose_nothing_and_the_total_never_falls() {
    const THREADS: u64 = 2 * SHARDS as u64 + 3;
    let before = total();
    std::thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| (0..1_000).for_each(|i| work(i % 3)));
        }
        let mut last = before;
        for _ in 0..10_000 {
            let now = total();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    });
    assert_eq!(total() - before, THREADS * 999);
}

#[cfg(feature = "heap")]
#[test]
fn counting_never_allocates() {
    let allocated = std::thread::spawn(|| {
        let before = crate::sys::jemalloc::thread_allocated().unwrap();
        (0..100).for_each(|_| work(0));
        std::hint::black_box(total());
        crate::sys::jemalloc::thread_allocated().unwrap() - before
    });
    assert_eq!(allocated.join().unwrap(), 0, "bytes, the first count of a thread included");
}
