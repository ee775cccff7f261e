//! Reading and writing profiles of 200,000 samples, 48 frames deep, with 50,000 functions; and writing 50,000 stacks.
//!
//! Targets (one core): `decode` of the large file, 20 MB gzipped, in 0.45 s; `encode_gz` of 50,000 stacks in less than
//! 50 ms, together with the snapshot. `inflate alone` is the part of `decode` that is not ours.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::io::Read;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use diag::profile::{folded, pprof};

mod big_profile;
use big_profile::Size;

fn codecs(c: &mut Criterion) {
    let (large, _) = big_profile::pair(Size::FULL);
    let (plain, gzipped) = (pprof::encode(&large), pprof::encode_gz(&large));
    println!("large: {} bytes, {} gzipped", plain.len(), gzipped.len());
    let mut group = c.benchmark_group("large");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("inflate alone", |b| {
        b.iter(|| {
            let mut out = Vec::with_capacity(plain.len() + 1);
            black_box(flate2::bufread::GzDecoder::new(&gzipped[..]).read_to_end(&mut out))
        });
    });
    group.bench_function("decode, not gzipped", |b| b.iter(|| black_box(pprof::decode(&plain))));
    group.bench_function("decode", |b| b.iter(|| black_box(pprof::decode(&gzipped))));
    group.bench_function("encode", |b| b.iter(|| black_box(pprof::encode(&large))));
    group.bench_function("encode_gz", |b| b.iter(|| black_box(pprof::encode_gz(&large))));
    group.bench_function("folded, write", |b| b.iter(|| black_box(folded::write(&large, 3))));
    group.finish();

    let (snapshot, _) = big_profile::pair(Size { samples: 50_000, depth: 40, functions: 20_000 });
    let mut group = c.benchmark_group("50,000 stacks");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("encode", |b| b.iter(|| black_box(pprof::encode(&snapshot))));
    group.bench_function("encode_gz", |b| b.iter(|| black_box(pprof::encode_gz(&snapshot))));
    group.finish();
}

criterion_group!(benches, codecs);
criterion_main!(benches);
