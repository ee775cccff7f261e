//! `SpanLayer` on the real allocator, with every allocation sampled.
//!
//! One test function: the table of contexts is the process's, and the last part fills it.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use diag::heap::{Heap, SnapshotOptions};
use diag::profile::{LabelValue, Profile, Sample};
use diag::{Diag, SpanLayer};
use tracing::{Instrument as _, Span, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

type Labels = BTreeMap<String, String>;

/// The text labels of a sample that come from spans, and its size.
fn labels(profile: &Profile, sample: &Sample<'_>) -> (i64, Labels) {
    let mut size = 0;
    let mut texts = Labels::new();
    for label in profile.label_set(sample.labels) {
        match (profile.str(label.key), label.value) {
            ("bytes", LabelValue::Num(bytes, _)) => size = bytes,
            ("age" | "thread", _) => {}
            (key, LabelValue::Str(text)) => drop(texts.insert(key.to_owned(), profile.str(text).to_owned())),
            _ => {}
        }
    }
    (size, texts)
}

/// Live objects of a size class, by label.
fn live(heap: &Heap, class: i64) -> BTreeMap<Labels, i64> {
    let profile = heap.snapshot(&SnapshotOptions::default().with_ages(true)).unwrap();
    let mut out = BTreeMap::new();
    for sample in profile.samples().filter(|s| s.values[2] > 0) {
        let (size, labels) = labels(&profile, &sample);
        if size == class {
            *out.entry(labels).or_default() += sample.values[2];
        }
    }
    out
}

/// A size class that nobody else uses.
const PROBE: usize = 160 << 10;

fn probe() -> Vec<u8> {
    black_box(Vec::with_capacity(PROBE))
}

/// The labels that a block gets here and now, as `key=value key=value`.
fn here(heap: &Heap) -> String {
    labels_of(heap, &probe())
}

fn labels_of(heap: &Heap, _block: &Vec<u8>) -> String {
    let live = live(heap, PROBE as i64);
    assert_eq!(live.values().sum::<i64>(), 1, "{live:?}");
    let pairs = live.keys().next().unwrap().iter().map(|(k, v)| format!("{k}={v}"));
    pairs.collect::<Vec<_>>().join(" ")
}

#[test]
fn live_samples_say_in_which_span_they_were_born() {
    let diag = Diag::builder().sample_bytes(1).start().unwrap();
    let heap = *diag.heap().unwrap();
    let layer = SpanLayer::new().field("tenant").field("thread");
    tracing::subscriber::set_global_default(registry().with(layer)).unwrap();
    // The gap that a thread is in was drawn from the old period: each part gets a new thread.
    for part in
        [nested, left_in_any_order, on_another_thread, recorded_later, grown_elsewhere, other_subscribers]
    {
        std::thread::spawn(move || part(&heap)).join().unwrap();
    }
    interleaved_tasks(&heap);
    std::thread::spawn(move || values_without_end(&heap)).join().unwrap();
    let losses = diag.status().heap.unwrap().losses;
    assert!(losses["context_table_full"] > 5_000, "{losses:?}");
}

fn nested(heap: &Heap) {
    assert_eq!(here(heap), "");
    let request = info_span!("request", http.route = "/orders/{id}", tenant = %"acme", other = 1);
    let outer = request.enter();
    assert_eq!(here(heap), "route=/orders/{id} span=request tenant=acme");
    info_span!("query", tenant = 7, thread = "mine").in_scope(|| {
        let all = "field.thread=mine route=/orders/{id} span=query tenant=7";
        assert_eq!(here(heap), all);
        info_span!("parse").in_scope(|| assert_eq!(here(heap), all.replace("query", "parse")));
        info_span!(parent: None, "apart", route = "/second", matched_path = "/third")
            .in_scope(|| assert_eq!(here(heap), "route=/second span=apart"));
        info_span!(parent: &request, "aside").in_scope(|| {
            assert_eq!(here(heap), "route=/orders/{id} span=aside tenant=acme");
        });
        assert_eq!(here(heap), all);
    });
    assert_eq!(here(heap), "route=/orders/{id} span=request tenant=acme");
    let kept = probe();
    drop(outer);
    assert_eq!(
        labels_of(heap, &kept),
        "route=/orders/{id} span=request tenant=acme",
        "birth does not change"
    );
    drop(kept);
    assert_eq!(here(heap), "");
    let plain = heap.snapshot(&SnapshotOptions::default()).unwrap();
    assert!(plain.samples().all(|s| labels(&plain, &s).1.is_empty()), "rows without ages stay few");
}

fn left_in_any_order(heap: &Heap) {
    let (a, b) = (info_span!("a"), info_span!("b"));
    let in_a = a.enter();
    let in_b = b.enter();
    assert_eq!(here(heap), "span=b");
    drop(in_a);
    assert_eq!(here(heap), "span=b");
    let again = a.enter();
    let twice = a.enter();
    assert_eq!(here(heap), "span=a");
    drop(twice);
    assert_eq!(here(heap), "span=a");
    drop(in_b);
    assert_eq!(here(heap), "span=a");
    drop(again);
    assert_eq!(here(heap), "");
}

fn on_another_thread(heap: &Heap) {
    let span = info_span!("shared", route = "/shared");
    let entered = span.enter();
    std::thread::scope(|s| {
        let elsewhere = || {
            assert_eq!(here(heap), "", "a thread begins in no span");
            span.in_scope(|| assert_eq!(here(heap), "route=/shared span=shared"));
            assert_eq!(here(heap), "");
        };
        s.spawn(elsewhere).join().unwrap();
    });
    assert_eq!(here(heap), "route=/shared span=shared");
    drop(entered);
}

fn recorded_later(heap: &Heap) {
    let span = info_span!("late", route = tracing::field::Empty, tenant = "", other = 1);
    let entered = span.enter();
    assert_eq!(here(heap), "span=late");
    span.record("other", 2);
    assert_eq!(here(heap), "span=late");
    span.record("route", "/late");
    assert_eq!(here(heap), "route=/late span=late");
    span.record("tenant", "x".repeat(500));
    let cut = here(heap);
    assert!(cut.ends_with("xx…") && (128..180).contains(&cut.len()), "{cut}");
    drop(entered);
    assert_eq!(here(heap), "");
}

fn grown_elsewhere(heap: &Heap) {
    let mut block = info_span!("first").in_scope(|| black_box(Vec::<u8>::with_capacity(PROBE / 2)));
    info_span!("second").in_scope(|| {
        block.reserve_exact(PROBE);
        black_box(&mut block);
    });
    assert_eq!(labels_of(heap, &block), "span=first", "as its birth is that of the first block");
}

/// Scoped subscribers, two layers in one, spans that outlive their scope, and spans older than the layer.
fn other_subscribers(heap: &Heap) {
    let two = registry().with(SpanLayer::new().field("shard")).with(SpanLayer::default());
    let leftover = tracing::subscriber::with_default(two, || {
        info_span!("two", shard = 3).in_scope(|| assert!(here(heap).contains("span=two")));
        let entered = info_span!("outlives").entered();
        assert_eq!(here(heap), "span=outlives");
        entered
    });
    drop(leftover);
    assert_eq!(here(heap), "");
    tracing::subscriber::with_default(registry(), || {
        info_span!("no layer").in_scope(|| assert_eq!(here(heap), ""));
    });
}

/// Tasks of two tenants take turns on two threads and move between them.
fn interleaved_tasks(heap: &Heap) {
    // Classes that nobody else uses.
    const SIZES: [usize; 2] = [192 << 10, 224 << 10];
    const ROUNDS: usize = 40;
    const TASKS: usize = 6;
    async fn work(size: usize) -> Vec<Vec<u8>> {
        let mut kept = Vec::new();
        for round in 0..ROUNDS {
            let inner = info_span!("step");
            let block = async {
                tokio::task::yield_now().await;
                black_box(Vec::with_capacity(size))
            };
            kept.push(if round % 2 == 0 { block.instrument(inner).await } else { block.await });
            tokio::task::yield_now().await;
        }
        kept
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let kept: Vec<_> = runtime.block_on(async {
        let task = |i: usize| {
            let span = info_span!("request", route = ["/a", "/b"][i % 2], tenant = i % 2);
            tokio::spawn(work(SIZES[i % 2]).instrument(span))
        };
        let tasks: Vec<_> = (0..TASKS).map(task).collect();
        let outside = tokio::spawn(work(SIZES[0]));
        let mut kept = Vec::new();
        for task in tasks.into_iter().chain([outside]) {
            kept.push(task.await.unwrap());
        }
        kept
    });
    let each = (TASKS / 2 * ROUNDS / 2) as i64;
    let of = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let expected = |route, tenant| {
        BTreeMap::from(
            ["request", "step"]
                .map(|span| (of(&[("route", route), ("span", span), ("tenant", tenant)]), each)),
        )
    };
    let mut first = expected("/a", "0");
    first.insert(of(&[]), ROUNDS as i64 / 2);
    first.insert(of(&[("span", "step")]), ROUNDS as i64 / 2);
    assert_eq!(live(heap, SIZES[0] as i64), first);
    assert_eq!(live(heap, SIZES[1] as i64), expected("/b", "1"));
    drop(kept);
    assert_eq!(live(heap, SIZES[0] as i64), BTreeMap::new());
}

fn values_without_end(heap: &Heap) {
    let span = |tenant: u64| info_span!("request", route = "/many", tenant);
    let start = Instant::now();
    for tenant in 100..10_100 {
        let _span: Span = span(tenant);
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let early = span(100);
    early.in_scope(|| assert_eq!(here(heap), "route=/many span=request tenant=100"));
    let late = span(10_099);
    late.in_scope(|| assert_eq!(here(heap), "route=/many span=request tenant=(other)"));
}
