//! What the flight recorder costs: `cargo bench -p diag --features recorder --bench recorder`.
//!
//! Spans made and closed, entered and left, and events, with the registry alone, with the recorder above it, with the recorder
//! switched off, and with `tracing-chrome` (to nowhere, on its own thread) in its place. Then a dump of full rings.
//!
//! Before that, enter and exit in rounds by turns, medians of differences to the registry alone: what two readings of the clock take, and
//! what is the recorder's own (target: 25 ns).
#![allow(clippy::expect_used)] // a benchmark that cannot set up has nothing to say
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use diag::recorder::{Recorder, set_active};
use tracing::dispatcher::with_default;
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
    let recording = Recorder::builder().build().expect("one recorder");
    let recorder = recording.recorder().clone();
    let (chrome, guard) =
        tracing_chrome::ChromeLayerBuilder::new().writer(std::io::sink()).include_args(true).build();
    let [alone, recorded, chrome] = [
        Dispatch::new(registry()),
        Dispatch::new(registry().with(recording)),
        Dispatch::new(registry().with(chrome)),
    ];
    by_turns([&alone, &recorded, &chrome]);
    with_default(&alone, || spans(c, "registry alone"));
    with_default(&recorded, || {
        spans(c, "recorder");
        dumps(c, &recorder);
        set_active(false);
        spans(c, "recorder switched off");
    });
    with_default(&chrome, || spans(c, "tracing-chrome"));
    drop(guard);
}

fn by_turns(dispatches: [&Dispatch; 3]) {
    const ROUNDS: usize = 301;
    const PAIRS: u32 = 20_000;
    // Made where they are entered.
    let spans = dispatches.map(|dispatch| with_default(dispatch, || info_span!("request")));
    let ns = |times: u32, work: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..times).for_each(|_| work());
        began.elapsed().as_nanos() as f64 / f64::from(times)
    };
    let mut more: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let pair = |i: usize| {
            let (dispatch, span) = (dispatches[i], &spans[i]);
            with_default(dispatch, || ns(PAIRS, &mut || drop(black_box(span).enter())))
        };
        let (alone, recorded, chrome) = (pair(0), pair(1), pair(2));
        let mut base = 0u64;
        let nothing = ns(PAIRS, &mut || base = black_box(base).wrapping_add(1));
        let clock = ns(PAIRS, &mut || base = black_box(base).wrapping_add(counter()).wrapping_add(counter()));
        for (of, value) in more.iter_mut().zip([recorded - alone, chrome - alone, clock - nothing, alone]) {
            of.push(value);
        }
    }
    let [recorded, chrome, clock, alone] = more.map(|mut values| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    });
    let own = recorded - clock;
    println!(
        "enter and exit: registry alone {alone:.1} ns; tracing-chrome {chrome:.1} ns more; the recorder {recorded:.1} ns more, of which"
    );
    println!(
        "two readings of the clock take {clock:.1} ns here: {own:.1} ns of its own{}",
        if own <= 25.0 { "" } else { ", MISSED: over 25 ns" }
    );
}

/// The clock that the recorder reads.
fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "a clock, in a benchmark")]
    // SAFETY: every x86-64 processor has the instruction.
    let now = unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    let now = Instant::now().elapsed().as_nanos() as u64;
    now
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
