//! CPU time is charged to the span and the labels that were running, across `.await` and threads.
#![allow(clippy::unwrap_used)] // helpers of tests
#![cfg(all(feature = "cpu", feature = "tracing"))]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use diag::cpu::{Cpu, CpuOptions};
use diag::profile::{LabelValue, Profile};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// Works for a while between two yields, so that futures take turns on each thread.
async fn work(slices: u32, slice: Duration) {
    for _ in 0..slices {
        let until = Instant::now() + slice;
        while Instant::now() < until {
            std::hint::black_box((0..500u64).fold(1u64, |a, b| a.wrapping_mul(b | 1)));
        }
        tokio::task::yield_now().await;
    }
}

/// Nanoseconds by the values of some labels.
fn by(profile: &Profile, keys: &[&str]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for sample in profile.samples() {
        let value = |key: &&str| {
            let labels = profile.label_set(sample.labels).iter();
            let mut found = labels.filter(|l| profile.str(l.key) == *key).map(|l| match l.value {
                LabelValue::Str(v) => profile.str(v).to_owned(),
                LabelValue::Num(..) => String::new(),
            });
            found.next().unwrap_or_else(|| "-".to_owned())
        };
        let name: Vec<String> = keys.iter().map(value).collect();
        *sums.entry(name.join(" ")).or_insert(0) += sample.values[1];
    }
    sums
}

#[test]
fn time_is_charged_to_what_was_running() {
    let subscriber = tracing_subscriber::registry().with(diag::SpanLayer::new().field("tenant"));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let recording = Cpu::new().record(&CpuOptions::default().hz(999)).unwrap();
    let slice = Duration::from_millis(2);
    runtime.block_on(async {
        let task = diag::Labels::new([("task", "indexer")]);
        // One part to two to three; the last has a span inside its labels.
        let one = tokio::spawn(work(60, slice).instrument(tracing::info_span!(
            "checkout",
            route = "/pay",
            tenant = "acme"
        )));
        let two = tokio::spawn(task.around(work(120, slice)));
        let inner = move || work(180, slice).instrument(tracing::info_span!("merge"));
        let three =
            tokio::spawn(diag::Labels::new([("task", "compactor")]).around(async move { inner().await }));
        for task in [one, two, three] {
            task.await.unwrap();
        }
    });
    let profile = recording.finish().unwrap();
    let sums = by(&profile, &["span", "route", "tenant", "task"]);
    let of = |name: &str| sums.get(name).copied().unwrap_or(0) as f64;
    let (one, two, three) = (of("checkout /pay acme -"), of("- - - indexer"), of("merge - - compactor"));
    let total = profile.total(1) as f64;
    assert!(one + two + three > 0.9 * total, "nearly all time is charged: {sums:?}");
    // The slices are of wall time, so the parts are only about right on a busy machine.
    assert!((0.3..0.8).contains(&(one / two)), "one to two: {sums:?}");
    assert!((1.1..2.2).contains(&(three / two)), "three to two: {sums:?}");
}

#[test]
fn labels_end_where_they_should() {
    let outer = diag::Labels::new([("task", "outer"), ("tenant", "acme")]);
    let (inner, again) = outer.run(|| {
        let inner = diag::Labels::new([("task", "inner")]);
        (inner, inner.run(|| diag::Labels::new([])))
    });
    assert_eq!(inner, again, "what holds is inherited");
    assert_ne!(inner, outer);
    assert_eq!(outer.run(|| diag::Labels::new([])), outer);
    let outside = diag::Labels::new([("task", "outer"), ("tenant", "acme")]);
    assert_eq!(outside, outer, "nothing holds any more");
}
