//! Writes the Firefox Profiler's processed format (version 60), which profiler.firefox.com opens; it has no import of
//! pprof.
//!
//! One "thread" a sample type, the default one selected; they share all tables. Weights are bytes, milliseconds or
//! counts, so that call tree and flame graph show the right unit. Inlined functions are frames with a depth.
//!
//! The horizontal axis is not time: samples are sorted by stack from the root and lie side by side, as wide as their
//! weight, so that the view "Stack Chart" is a flame graph too. Negative weights of differences are kept, as the
//! profiler's own comparisons have them. Samples of the value 0 and labels are not written.
//!
//! Source: github.com/firefox-devtools/profiler, `src/types/profile.ts` and `docs-developer/CHANGELOG-formats.md`.

mod tables;

use serde::Serialize;
use serde_json::json;

use super::model::{Profile, ValueType};
use tables::{Lib, Libs, Shared};

/// The version of the format. Later profilers read earlier versions.
const VERSION: u32 = 60;

#[derive(Serialize)]
struct File<'a> {
    meta: serde_json::Value,
    libs: Vec<Lib<'a>>,
    pages: [u8; 0],
    counters: [u8; 0],
    #[serde(rename = "profilerOverhead")]
    profiler_overhead: [u8; 0],
    shared: Shared<'a>,
    threads: Vec<Thread<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thread<'a> {
    name: &'a str,
    is_main_thread: bool,
    process_type: &'static str,
    process_name: &'a str,
    process_startup_time: u32,
    process_shutdown_time: Option<u32>,
    register_time: u32,
    unregister_time: Option<u32>,
    paused_ranges: [u8; 0],
    show_markers_in_timeline: bool,
    pid: &'static str,
    tid: String,
    samples: Samples,
    markers: serde_json::Value,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: usize,
    weight_type: &'static str,
    /// `null` is the empty stack.
    stack: Vec<Option<u32>>,
    weight: Vec<Number>,
    /// Distance to the sample before.
    time_deltas: Vec<f64>,
}

/// Whole where it can be: shorter, and exact.
#[derive(Serialize, Clone, Copy)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Fraction(f64),
}

/// All sample types of a profile. `name` is shown as the product.
pub fn write(profile: &Profile, name: &str) -> String {
    let libs = Libs::of(profile);
    let mut shared = Shared::new(profile, &libs);
    let mut rows: Vec<Row<'_>> =
        profile.samples().map(|s| (shared.stack(profile.stack(s.stack)), s.values)).collect();
    let order = shared.depth_first_order();
    rows.sort_by_key(|(stack, _)| stack.and_then(|s| order.get(s as usize).copied()));
    let types = profile.sample_types();
    let default = profile.default_sample_type();
    let axis = types.get(default).map_or(Axis::Milliseconds, Axis::of);
    // All threads are as wide as the default one.
    let width = types.get(default).map_or(0.0, |t| total(&rows, default, t));
    let threads = types.iter().enumerate().map(|(i, value_type)| Thread {
        name: &value_type.kind,
        is_main_thread: true,
        process_type: "default",
        process_name: name,
        process_startup_time: 0,
        process_shutdown_time: None,
        register_time: 0,
        unregister_time: None,
        paused_ranges: [],
        show_markers_in_timeline: false,
        pid: "1",
        tid: (i + 1).to_string(),
        samples: samples(&rows, i, value_type, width),
        markers: no_markers(),
    });
    let file = File {
        meta: meta(profile, name, axis),
        libs: libs.list,
        pages: [],
        counters: [],
        profiler_overhead: [],
        threads: threads.collect(),
        shared: shared.finish(),
    };
    // Plain structures with text keys always serialize.
    serde_json::to_string(&file).unwrap_or_default()
}

/// What the horizontal axis is labelled with.
#[derive(Clone, Copy)]
enum Axis {
    Milliseconds,
    Bytes,
}

impl Axis {
    fn of(value_type: &ValueType) -> Self {
        if value_type.unit == "bytes" { Self::Bytes } else { Self::Milliseconds }
    }
}

/// Values of a sample type to weights, and the name of their unit.
fn weight_of(value_type: &ValueType) -> (&'static str, fn(i64) -> Number) {
    match value_type.unit.as_str() {
        "bytes" => ("bytes", Number::Whole),
        "nanoseconds" => ("tracing-ms", |v| Number::Fraction(v as f64 / 1e6)),
        "microseconds" => ("tracing-ms", |v| Number::Fraction(v as f64 / 1e3)),
        "milliseconds" => ("tracing-ms", Number::Whole),
        "seconds" => ("tracing-ms", |v| Number::Fraction(v as f64 * 1e3)),
        _ => ("samples", Number::Whole),
    }
}

impl Number {
    fn size(self) -> f64 {
        match self {
            Self::Whole(n) => (n as f64).abs(),
            Self::Fraction(f) => f.abs(),
        }
    }
}

type Row<'a> = (Option<u32>, &'a [i64]);

/// The weights of a column, without zeros.
fn weights<'a>(
    rows: &'a [Row<'a>],
    column: usize,
    t: &ValueType,
) -> impl Iterator<Item = (Option<u32>, Number)> {
    let weight = weight_of(t).1;
    rows.iter().filter_map(move |&(stack, values)| {
        let value = *values.get(column)?;
        (value != 0).then(|| (stack, weight(value)))
    })
}

fn total(rows: &[Row<'_>], column: usize, value_type: &ValueType) -> f64 {
    weights(rows, column, value_type).map(|(_, w)| w.size()).sum()
}

/// Lays the samples of a column side by side over `width`.
fn samples(rows: &[Row<'_>], column: usize, value_type: &ValueType, width: f64) -> Samples {
    let total = total(rows, column, value_type);
    let scale = if total > 0.0 { width / total } else { 0.0 };
    let mut samples = Samples { weight_type: weight_of(value_type).0, ..Samples::default() };
    let mut delta = 0.0;
    for (stack, weight) in weights(rows, column, value_type) {
        samples.stack.push(stack);
        samples.weight.push(weight);
        samples.time_deltas.push(delta);
        delta = (weight.size() * scale * 1e3).round() / 1e3;
    }
    samples.length = samples.stack.len();
    samples
}

fn no_markers() -> serde_json::Value {
    json!({
        "length": 0, "data": [], "name": [], "startTime": [], "endTime": [], "phase": [], "category": [],
    })
}

fn meta(profile: &Profile, name: &str, axis: Axis) -> serde_json::Value {
    let time = match axis {
        Axis::Milliseconds => "ms",
        Axis::Bytes => "bytes",
    };
    json!({
        "preprocessedProfileVersion": VERSION,
        "version": 24,
        "product": name,
        "importedFrom": "diag",
        "interval": 1,
        "startTime": profile.meta().time_unix_ns.unwrap_or(0) as f64 / 1e6,
        "processType": 0,
        "categories": [{"name": "Other", "color": "grey", "subcategories": ["Other"]}],
        "extensions": {"length": 0, "baseURL": [], "id": [], "name": []},
        "sampleUnits": {"time": time, "eventDelay": "ms", "threadCPUDelta": "\u{b5}s"},
        "debug": false,
        "symbolicated": true,
        "pausedRanges": [],
        "usesOnlyOneStackType": true,
        "sourceCodeIsNotOnSearchfox": true,
        "keepProfileThreadOrder": true,
        "markerSchema": [],
        "initialVisibleThreads": (0..profile.sample_types().len()).collect::<Vec<_>>(),
        "initialSelectedThreads": [profile.default_sample_type()],
    })
}
