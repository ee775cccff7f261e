//! What the flight recorder costs: `cargo bench -p diag --features recorder --bench recorder`.
//!
//! Spans made and closed, entered and left, and events, with the registry alone, with the recorder above it, with the recorder
//! switched off, and with `tracing-chrome` (to nowhere, on its own thread) in its place. Then a dump of full rings.
#![allow(clippy::expect_used)] // a benchmark that cannot set up has nothing to say
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use diag::recorder::{Recorder, set_active};
use tracing::{Dispatch, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

fn spans(c: &mut Criterion, name: &str) {
    let span = info_span!("request", route = "/orders/{id}", tenant = 7);
    c.bench_function(&format!("enter and exit, {name}"), |b| b.iter(|| drop(black_box(&span).enter())));
    c.bench_function(&format!("enter and exit inside another, {name}"), |b| {
        let _outer = span.enter();
        let inner = info_span!("query");
        b.iter(|| drop(black_box(&inner).enter()));
    });
    c.bench_function(&format!("new, enter, exit, close, {name}"), |b| {
        b.iter(|| drop(info_span!("query").entered()));
    });
    c.bench_function(&format!("new and close with two fields, {name}"), |b| {
        b.iter(|| info_span!("request", route = "/orders/{id}", tenant = black_box(7)));
    });
    c.bench_function(&format!("event with a field, {name}"), |b| {
        b.iter(|| info!(attempt = black_box(2), "could not be had"));
    });
}

fn all(c: &mut Criterion) {
    tracing::dispatcher::with_default(&Dispatch::new(registry()), || spans(c, "registry alone"));
    {
        let layer = Recorder::builder().build().expect("one recorder");
        let recorder = layer.recorder().clone();
        tracing::dispatcher::with_default(&Dispatch::new(registry().with(layer)), || {
            spans(c, "recorder");
            dumps(c, &recorder);
            set_active(false);
            spans(c, "recorder switched off");
        });
    }
    let (layer, guard) =
        tracing_chrome::ChromeLayerBuilder::new().writer(std::io::sink()).include_args(true).build();
    tracing::dispatcher::with_default(&Dispatch::new(registry().with(layer)), || spans(c, "tracing-chrome"));
    drop(guard);
}

fn dumps(c: &mut Criterion, recorder: &Recorder) {
    for number in 0..200_000 {
        info_span!("request", number).in_scope(|| info!(number, "told"));
    }
    let trace = recorder.dump(None).expect("one dump at a time");
    println!(
        "full rings: {:?} slices, polls, events; {} bytes of JSON",
        trace.counts(),
        trace.to_chrome_json().len()
    );
    let mut group = c.benchmark_group("full rings of 10 MiB");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.bench_function("dump", |b| b.iter(|| recorder.dump(None)));
    group.bench_function("JSON", |b| b.iter(|| trace.to_chrome_json()));
    group.bench_function("profile", |b| b.iter(|| trace.to_profile()));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
