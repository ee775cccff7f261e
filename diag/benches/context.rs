//! What the host pays for telling diag where it is: `cargo bench -p diag --features tracing --bench context`.
//!
//! Spans: making and closing one, and entering and leaving one, with the registry alone and with `SpanLayer` above it.
//! Work: one unit, from one thread and from two at once.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use diag::SpanLayer;
use tracing::{Dispatch, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

fn spans(c: &mut Criterion) {
    let layer = SpanLayer::new().field("tenant");
    for (name, dispatch) in [
        ("registry alone", Dispatch::new(registry())),
        ("with SpanLayer", Dispatch::new(registry().with(layer))),
    ] {
        tracing::dispatcher::with_default(&dispatch, || {
            let span = info_span!("request", route = "/orders/{id}", tenant = 7);
            c.bench_function(&format!("enter and exit, {name}"), |b| {
                b.iter(|| drop(black_box(&span).enter()));
            });
            c.bench_function(&format!("enter and exit inside another, {name}"), |b| {
                let _outer = span.enter();
                let inner = info_span!("query");
                b.iter(|| drop(black_box(&inner).enter()));
            });
            c.bench_function(&format!("new span with two fields, {name}"), |b| {
                b.iter(|| info_span!("request", route = "/orders/{id}", tenant = black_box(7)));
            });
            c.bench_function(&format!("new span without fields, {name}"), |b| b.iter(|| info_span!("query")));
        });
    }
}

fn work(c: &mut Criterion) {
    c.bench_function("work(1)", |b| b.iter(|| diag::work(black_box(1))));
    c.bench_function("work(1), two threads at once", |b| {
        b.iter_custom(|count| {
            let one = || {
                let start = Instant::now();
                (0..count).for_each(|_| diag::work(black_box(1)));
                start.elapsed()
            };
            let both: Duration = std::thread::scope(|s| {
                let other = s.spawn(one);
                one() + other.join().unwrap_or_default()
            });
            both / 2
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = spans, work
}
criterion_main!(benches);
