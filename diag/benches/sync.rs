//! What a lock costs more for being watched: `cargo bench -p diag --features parking_lot,tokio --bench sync`.
//!
//! Lock and unlock, uncontended, each original beside diag's, with the profiles off and on; then two threads that fight for one
//! mutex, where a round is what each gets done.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use diag::sync;

fn switch(on: bool) {
    sync::set_mutex_profile_fraction(u32::from(on));
    sync::set_block_profile_rate(if on { 10_000 } else { 0 });
}

fn uncontended(c: &mut Criterion) {
    let originals = (std::sync::Mutex::new(0u64), parking_lot::Mutex::new(0u64));
    let rw = (std::sync::RwLock::new(0u64), parking_lot::RwLock::new(0u64));
    c.bench_function("std Mutex", |b| b.iter(|| *black_box(&originals.0).lock().unwrap() += 1));
    c.bench_function("parking_lot Mutex", |b| b.iter(|| *black_box(&originals.1).lock() += 1));
    c.bench_function("std RwLock read", |b| b.iter(|| *black_box(&rw.0).read().unwrap()));
    c.bench_function("std RwLock write", |b| b.iter(|| *black_box(&rw.0).write().unwrap() += 1));
    c.bench_function("parking_lot RwLock read", |b| b.iter(|| *black_box(&rw.1).read()));
    for on in [false, true] {
        switch(on);
        let how = if on { "on" } else { "off" };
        let ours = (sync::Mutex::new(0u64), sync::parking_lot::Mutex::new(0u64));
        let rw = (sync::RwLock::new(0u64), sync::parking_lot::RwLock::new(0u64));
        c.bench_function(&format!("diag Mutex, {how}"), |b| {
            b.iter(|| *black_box(&ours.0).lock().unwrap() += 1);
        });
        c.bench_function(&format!("diag parking_lot Mutex, {how}"), |b| {
            b.iter(|| *black_box(&ours.1).lock() += 1);
        });
        c.bench_function(&format!("diag RwLock read, {how}"), |b| {
            b.iter(|| *black_box(&rw.0).read().unwrap());
        });
        c.bench_function(&format!("diag RwLock write, {how}"), |b| {
            b.iter(|| *black_box(&rw.0).write().unwrap() += 1);
        });
        c.bench_function(&format!("diag parking_lot RwLock read, {how}"), |b| {
            b.iter(|| *black_box(&rw.1).read());
        });
    }
    switch(false);
}

fn asynchronous(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (original, ours) = (tokio::sync::Mutex::new(0u64), sync::tokio::Mutex::new(0u64));
    c.bench_function("tokio Mutex", |b| {
        b.iter_custom(|count| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..count {
                    *black_box(&original).lock().await += 1;
                }
                start.elapsed()
            })
        });
    });
    for on in [false, true] {
        switch(on);
        c.bench_function(&format!("diag tokio Mutex, {}", if on { "on" } else { "off" }), |b| {
            b.iter_custom(|count| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..count {
                        *black_box(&ours).lock().await += 1;
                    }
                    start.elapsed()
                })
            });
        });
    }
    switch(false);
}

/// Two threads, each `count` times.
fn fight(count: u64, once: impl Fn() + Sync) -> Duration {
    let all = || {
        let start = Instant::now();
        (0..count).for_each(|_| once());
        start.elapsed()
    };
    std::thread::scope(|s| {
        let other = s.spawn(all);
        (all() + other.join().unwrap_or_default()) / 2
    })
}

fn contended(c: &mut Criterion) {
    let work = |value: &mut u64| {
        for _ in 0..50 {
            *value = black_box(*value).wrapping_mul(3);
        }
    };
    let original = std::sync::Mutex::new(0u64);
    c.bench_function("std Mutex, two threads", |b| {
        b.iter_custom(|count| fight(count, || work(&mut original.lock().unwrap())));
    });
    let ours = sync::Mutex::new(0u64);
    for on in [false, true] {
        switch(on);
        c.bench_function(&format!("diag Mutex, two threads, {}", if on { "on" } else { "off" }), |b| {
            b.iter_custom(|count| fight(count, || work(&mut ours.lock().unwrap())));
        });
    }
    sync::set_mutex_profile_fraction(100);
    sync::set_block_profile_rate(1_000_000);
    c.bench_function("diag Mutex, two threads, one in 100 and 1 ms", |b| {
        b.iter_custom(|count| fight(count, || work(&mut ours.lock().unwrap())));
    });
    switch(false);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = uncontended, asynchronous, contended
}
criterion_main!(benches);
