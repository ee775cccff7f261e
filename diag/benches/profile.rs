//! Operations on profiles of 200,000 samples, 48 frames deep, with 50,000 functions.
//!
//! Targets (2 cores): `top` under 0.2 s, `diff` under 0.5 s, without reading the files.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, criterion_group, criterion_main};
use diag::profile::diff::{DiffOptions, RowBy, diff};
use diag::profile::table::{TopOptions, peek, top};
use diag::profile::tree::{CallTree, Sides, TreeOptions};
use diag::profile::{Filter, Grouping, Pattern, delta, merge};
use std::hint::black_box;
use std::time::Duration;

mod big_profile;

fn operations(c: &mut Criterion) {
    let (base, new) = big_profile::pair(big_profile::Size::FULL);
    let mut group = c.benchmark_group("big");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));

    let options = TopOptions { limit: Some(50), ..Default::default() };
    group.bench_function("top", |b| b.iter(|| black_box(top(&new, 3, &options))));
    let pattern = Pattern::new("method_1234").unwrap_or_else(|e| unreachable!("{e}"));
    group.bench_function("peek", |b| b.iter(|| black_box(peek(&new, 3, &Grouping::Function, &pattern))));

    for (name, rows) in [("diff by site", RowBy::Site), ("diff by stack", RowBy::Stack)] {
        let options = DiffOptions { rows, limit: Some(50), ..Default::default() };
        group.bench_function(name, |b| b.iter(|| black_box(diff(&base, &new, &options))));
    }
    let drawn = TreeOptions { max_frames: Some(20_000), ..Default::default() };
    let sides = Sides::Pair(&base, &new, "inuse_space");
    group.bench_function("tree of both, 20,000 nodes", |b| {
        b.iter(|| black_box(CallTree::build(sides, &drawn)));
    });
    group.bench_function("whole tree", |b| b.iter(|| black_box(CallTree::new(&new, 3))));
    group.bench_function("merge", |b| b.iter(|| black_box(merge(&[&base, &new]))));
    group.bench_function("delta", |b| b.iter(|| black_box(delta(&base, &new))));
    let filter = Filter { hide_runtime: true, ..Default::default() };
    group.bench_function("hide runtime", |b| b.iter(|| black_box(filter.apply(&new))));
    group.finish();
}

criterion_group!(benches, operations);
criterion_main!(benches);
