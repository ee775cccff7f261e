use super::*;
use crate::profile::testing::{Stacks, named};
use crate::profile::{Loss, Period, ValueType};

const HEAP: [&str; 2] = ["inuse_objects/count", "inuse_space/bytes"];

fn summary(diff: &Diff) -> Vec<(String, Change, i64, Option<i64>)> {
    diff.rows.iter().map(|r| (r.site.clone(), r.change, r.delta, r.delta_objects)).collect()
}

#[test]
fn rows_by_site() {
    let base = Stacks::new(&HEAP)
        .add("my::main;my::gone;malloc", &[1, 100])
        .add("my::main;my::cache;alloc::vec::push", &[2, 200])
        .add("my::main;my::still", &[9, 900])
        .add("my::main;my::less", &[4, 40])
        .build();
    let new = Stacks::new(&HEAP)
        .add("my::main;my::cache;alloc::vec::push;malloc", &[5, 500])
        .add("my::other;my::cache;malloc", &[1, 50])
        .add("my::main;my::still", &[9, 900])
        .add("my::main;my::less", &[3, 30])
        .add("my::main;my::fresh", &[1, 7])
        .build();
    let diff = diff(&base, &new, &DiffOptions::default()).unwrap();
    assert_eq!((diff.kind.as_str(), diff.unit.as_str()), ("inuse_space", "bytes"));
    assert_eq!((diff.base_total, diff.new_total, diff.delta_total), (1240, 1487, 247));
    assert_eq!((diff.rows_total, diff.rows_unchanged), (4, 1));
    assert_eq!(
        summary(&diff),
        [
            ("my::cache".to_owned(), Change::Grown, 350, Some(4)),
            ("my::gone".to_owned(), Change::Vanished, -100, Some(-1)),
            ("my::less".to_owned(), Change::Shrunk, -10, Some(-1)),
            ("my::fresh".to_owned(), Change::New, 7, Some(1)),
        ]
    );
    let cache = &diff.rows[0];
    assert_eq!(cache.stacks, 3);
    let frames: Vec<_> = cache.frames.iter().map(|f| f.function.as_str()).collect();
    assert_eq!(
        frames,
        ["alloc::vec::push", "my::cache", "my::main"],
        "the stack that changed most, no malloc"
    );
    assert_eq!((cache.base_bytes, cache.new_bytes), (Some(200), Some(550)));
}

#[test]
fn ties_by_site_growth_before_shrinking() {
    let base = named(&[("my::d", 10), ("my::c", 10)]);
    let new = named(&[("my::b", 10), ("my::a", 10)]);
    let sites = |limit| {
        let options = DiffOptions { limit, ..Default::default() };
        diff(&base, &new, &options).unwrap().rows.into_iter().map(|r| r.site).collect::<Vec<_>>()
    };
    assert_eq!(sites(None), ["my::a", "my::b", "my::c", "my::d"]);
    assert_eq!(sites(Some(1)), ["my::a"]);
}

#[test]
fn rows_by_line_and_by_stack() {
    let base = named(&[("m:1;my::f:3;alloc::x", 1), ("m:2;my::f:3;alloc::x", 1)]);
    let new = named(&[("m:1;my::f:3;alloc::x", 5), ("m:2;my::f:4;alloc::x", 2), ("m:2;my::f:3;alloc::x", 1)]);
    let run = |rows| diff(&base, &new, &DiffOptions { rows, ..Default::default() }).unwrap();
    let lines =
        |rows| run(rows).rows.iter().map(|r| (r.site.clone(), r.frames[1].line, r.delta)).collect::<Vec<_>>();
    let f = || "my::f".to_owned();
    assert_eq!(lines(RowBy::Site), [(f(), 3, 6)]);
    assert_eq!(lines(RowBy::SiteLine), [(f(), 3, 4), (f(), 4, 2)]);
    assert_eq!(lines(RowBy::Stack), [(f(), 3, 4), (f(), 4, 2)]);
    assert_eq!(run(RowBy::Stack).rows_unchanged, 1);
}

#[test]
fn two_runs_without_symbols_match_by_offset() {
    let at = |start: u64, stacks: [(&str, i64); 2]| {
        let add = |s: Stacks, (stack, value): (&str, i64)| s.add(stack, &[value]);
        let empty = Stacks::new(&["inuse_space/bytes"]).module(start, "/bin/app", "abcd");
        stacks.into_iter().fold(empty, add).build()
    };
    let base = at(0x5000, [("0x5010;0x5100", 3), ("0x5010;0x5200", 4)]);
    let new = at(0x7000, [("0x7010;0x7100", 3), ("0x7010;0x7200", 9)]);
    let diff = diff(&base, &new, &DiffOptions::default()).unwrap();
    assert_eq!(summary(&diff), [("app+0x1200".to_owned(), Change::Grown, 5, None)]);
    assert_eq!(diff.rows_unchanged, 1);
    assert_eq!(
        diff.warnings,
        ["the profiles come from different processes: app was loaded at another address"]
    );
}

#[test]
fn doubts_are_said() {
    let period = |value| Some(Period { value_type: ValueType::new("space", "bytes"), value });
    let make = |time, bytes, loss: u64, total| {
        Stacks::new(&["alloc_space/bytes"])
            .meta(|m| {
                m.time_unix_ns = Some(time);
                m.period = period(bytes);
                m.losses = vec![Loss { what: "live_table_full".into(), count: loss }];
            })
            .add("my::f", &[total])
            .build()
    };
    let (base, new) = (make(90_000_000_000, 524_288, 0, 10), make(30_000_000_000, 4096, 3, 20));
    assert_eq!(
        origin_warnings(&base, &new),
        [
            "the new profile is older than the base by 1.0 min: swap them if that is not meant",
            "the sampling periods differ: 512 KiB and 4.0 KiB; values are unbiased, but not equally certain",
            "the new profile lost 3 to live_table_full",
        ]
    );
    let (base, new) = (make(1, 1, 0, 10), make(2, 1, 0, 9));
    assert_eq!(
        origin_warnings(&base, &new),
        [
            "the profiles come from different processes: alloc_space, a total since the start, is smaller in the new one"
        ]
    );
    assert!(origin_warnings(&base, &base).is_empty());

    let of = |pid: &str| Stacks::new(&HEAP).meta(|m| m.comments = vec![pid.to_owned()]).build();
    assert!(origin_warnings(&of("pid=7"), &of("pid=7")).is_empty());
    assert_eq!(
        origin_warnings(&of("pid=7"), &of("pid=8")),
        ["the profiles come from different processes: process 7 and process 8"]
    );
}

#[test]
fn times_of_recordings_of_other_lengths_are_doubted() {
    let of = |types: &str, length_s: i64| {
        Stacks::new(&[types]).meta(|m| m.duration_ns = Some(length_s * 1_000_000_000)).build()
    };
    let cpu = "cpu/nanoseconds";
    assert_eq!(
        origin_warnings(&of(cpu, 10), &of(cpu, 30)),
        [
            "the base was recorded for 10.0 s and the new profile for 30.0 s: record both as long to compare them"
        ]
    );
    assert!(origin_warnings(&of(cpu, 100), &of(cpu, 101)).is_empty());
    assert!(origin_warnings(&of("inuse_space/bytes", 10), &of("inuse_space/bytes", 30)).is_empty());
}

#[test]
fn cpu_profiles_have_no_bytes() {
    let base = Stacks::new(&["samples/count", "cpu/nanoseconds"]).add("my::f", &[1, 10]).build();
    let new = Stacks::new(&["samples/count", "cpu/nanoseconds"]).add("my::f", &[3, 30]).build();
    let diff = diff(&base, &new, &DiffOptions::default()).unwrap();
    let row = &diff.rows[0];
    assert_eq!((row.delta, row.base, row.new), (20, 10, 30));
    assert_eq!((row.delta_bytes, row.delta_objects), (None, None));
}

#[test]
fn a_change_has_limits_where_the_sampling_is_known() {
    let at = |objects: i64| {
        let period = Period { value_type: ValueType::new("space", "bytes"), value: 1 << 16 };
        let labels = [("bytes", "64")];
        Stacks::new(&HEAP)
            .meta(|m| m.period = Some(period))
            .add_labelled("my::f", &labels, &[objects, 64 * objects])
            .add_labelled("my::large", &[("bytes", "8388608")], &[objects >> 10, (objects >> 10) << 23])
            .build()
    };
    // 16 and 64 raw samples of small objects, so about 48 +- 1.96 sqrt(80).
    let (base, new) = (at(1 << 14), at(1 << 16));
    let bytes = diff(&base, &new, &DiffOptions::default()).unwrap();
    let small = bytes.rows.iter().find(|r| r.site == "my::f").unwrap();
    assert_eq!(small.delta, 48 << 16);
    let (low, high) = (small.delta_low.unwrap() >> 16, small.delta_high.unwrap() >> 16);
    assert!((29..=32).contains(&low) && (65..=68).contains(&high), "{low} to {high}");
    // Objects far above the period are all seen.
    let large = bytes.rows.iter().find(|r| r.site == "my::large").unwrap();
    assert_eq!((large.delta_low, large.delta_high), (Some(large.delta), Some(large.delta)));
    let kind = Some("inuse_objects".to_owned());
    let objects = diff(&base, &new, &DiffOptions { kind, ..Default::default() }).unwrap();
    let small = objects.rows.iter().find(|r| r.site == "my::f").unwrap();
    assert!(small.delta_low.unwrap() >> 10 == low && small.delta == 48 << 10, "{small:?}");
}

#[test]
fn the_json_has_the_contracts_fields() {
    let base = Stacks::new(&HEAP).add("my::f", &[1, 10]).build();
    let new = Stacks::new(&HEAP).add("my::f;g|my::inl:12", &[3, 30]).build();
    let json = serde_json::to_value(diff(&base, &new, &DiffOptions::default()).unwrap()).unwrap();
    assert_eq!(json["schema"], "diag.diff/1");
    let row = &json["rows"][0];
    assert_eq!(row["site"], "my::inl");
    assert_eq!(row["change"], "new");
    assert_eq!((&row["delta_bytes"], &row["delta_objects"]), (&30.into(), &3.into()));
    assert_eq!((&row["base_bytes"], &row["new_bytes"]), (&0.into(), &30.into()));
    let frame = serde_json::json!({"function": "my::inl", "file": "src/lib.rs", "line": 12, "inlined": true});
    assert_eq!(row["frames"][0], frame);
    assert_eq!(json["rows"][1]["delta_bytes"], -10);
}

#[test]
fn a_trend_has_rates() {
    let at = |second: i64, stacks: &[(&str, i64)]| {
        let empty =
            Stacks::new(&["inuse_space/bytes"]).meta(|m| m.time_unix_ns = Some(second * 1_000_000_000));
        stacks.iter().fold(empty, |s, &(stack, value)| s.add(stack, &[value])).build()
    };
    let one = at(0, &[("my::leak", 100), ("my::saw", 50), ("my::same", 7), ("my::falls", 30)]);
    let two = at(10, &[("my::leak", 200), ("my::saw", 90), ("my::same", 7), ("my::falls", 20)]);
    let three = at(20, &[("my::leak", 300), ("my::saw", 50), ("my::same", 7), ("my::falls", 10)]);
    // The order of arguments does not matter.
    let trend = trend(&[&three, &one, &two], &DiffOptions::default()).unwrap();
    let rows: Vec<_> =
        trend.rows.iter().map(|r| (r.site.as_str(), r.per_hour, r.steps_up, r.steps_down)).collect();
    assert_eq!(
        rows,
        [
            ("my::leak", Some(36_000.0), 2, 0),
            ("my::saw", Some(0.0), 1, 1),
            ("my::falls", Some(-3_600.0), 0, 2),
        ]
    );
    assert_eq!(trend.rows[0].values, [100, 200, 300]);
    assert_eq!(trend.totals, [187, 317, 367]);
    assert_eq!(trend.per_hour, Some(32_400.0));
    assert!(trend.warnings.is_empty());
    assert_eq!(trend.rows[0].frames[0].function, "my::leak");
}

#[test]
fn a_trend_without_times_has_no_rates() {
    let (one, two) = (named(&[("my::f", 1)]), named(&[("my::f", 2), ("my::g", 9)]));
    let trend = trend(&[&one, &two], &DiffOptions::default()).unwrap();
    let rows: Vec<_> = trend.rows.iter().map(|r| (r.site.as_str(), r.delta, r.per_hour)).collect();
    assert_eq!(rows, [("my::g", 9, None), ("my::f", 1, None)]);
    assert_eq!(trend.warnings, ["not all profiles say when they were taken, or all at once: no rates"]);
    assert!(super::trend(&[], &DiffOptions::default()).is_err());
}

#[test]
fn other_kinds_are_an_error_that_names_both() {
    let (heap, cpu) = (named(&[("my::f", 1)]), Stacks::new(&["cpu/nanoseconds"]).add("my::f", &[1]).build());
    let error = diff(&heap, &cpu, &DiffOptions::default()).unwrap_err().to_string();
    assert_eq!(error, "the profile has no sample type cpu; it has inuse_space/bytes");
    let other_unit = Stacks::new(&["inuse_space/pages"]).add("my::f", &[1]).build();
    let error = diff(&heap, &other_unit, &DiffOptions::default()).unwrap_err().to_string();
    assert!(error.contains("inuse_space/bytes") && error.contains("inuse_space/pages"), "{error}");
}
