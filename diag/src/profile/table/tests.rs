use super::*;
use crate::profile::testing::{Stacks, named};

fn rows(profile: &Profile, options: &TopOptions) -> Vec<(String, i64, i64)> {
    let top = top(profile, 0, options).unwrap();
    top.rows.into_iter().map(|r| (r.frame.function, r.flat, r.cum)).collect()
}

fn row(name: &str, flat: i64, cum: i64) -> (String, i64, i64) {
    (name.to_owned(), flat, cum)
}

#[test]
fn recursion_counts_once() {
    let profile = named(&[("main;f;g;f", 5), ("main;f", 2), ("main;g", 1)]);
    assert_eq!(rows(&profile, &TopOptions::default()), [row("f", 7, 7), row("g", 1, 6), row("main", 0, 8)]);
    let by_cum = TopOptions { sort: SortBy::Cum, limit: Some(2), ..Default::default() };
    assert_eq!(rows(&profile, &by_cum), [row("main", 0, 8), row("f", 7, 7)]);
    assert_eq!(top(&profile, 0, &by_cum).unwrap().rows_total, 3);
}

#[test]
fn inlined_frames_take_the_flat_value() {
    let profile = named(&[("main;f|inner", 5)]);
    assert_eq!(
        rows(&profile, &TopOptions::default()),
        [row("inner", 5, 5), row("f", 0, 5), row("main", 0, 5)]
    );
}

#[test]
fn ties_are_in_the_order_of_names() {
    let profile = named(&[("b", 5), ("a", 5), ("c", 5), ("d", 9)]);
    let options = TopOptions { limit: Some(3), ..Default::default() };
    assert_eq!(rows(&profile, &options), [row("d", 9, 9), row("a", 5, 5), row("b", 5, 5)]);
}

#[test]
fn groups() {
    let profile = Stacks::new(&["inuse_space/bytes"])
        .add_labelled("std::rt;my::f:3;my::f:5", &[("age", "0-10s")], &[5])
        .add_labelled("std::rt;my::f:5;alloc::vec::push", &[("age", ">24h")], &[2])
        .add("std::rt;my::f:5", &[4])
        .build();
    let by = |grouping| TopOptions { grouping, ..Default::default() };
    assert_eq!(
        rows(&profile, &by(Grouping::Module)),
        [row("my", 9, 11), row("alloc", 2, 2), row("std", 0, 11)]
    );
    assert_eq!(rows(&profile, &by(Grouping::File)), [row("src/lib.rs", 11, 11)]);
    assert_eq!(
        rows(&profile, &by(Grouping::Label("age".into()))),
        [row("0-10s", 5, 5), row("(no age)", 4, 4), row(">24h", 2, 2)]
    );
    let lines = top(&profile, 0, &by(Grouping::Line)).unwrap().rows;
    let lines: Vec<_> = lines.iter().map(|r| (r.frame.function.as_str(), r.frame.line, r.cum)).collect();
    assert_eq!(lines, [("my::f", 5, 11), ("alloc::vec::push", 0, 2), ("std::rt", 0, 11), ("my::f", 3, 5)]);
}

#[test]
fn flat_values_have_limits_where_the_sampling_is_known() {
    let period = crate::profile::Period { value_type: ValueType::new("space", "bytes"), value: 1 << 16 };
    let profile = Stacks::new(&["inuse_objects/count", "inuse_space/bytes"])
        .meta(|m| m.period = Some(period))
        .add_labelled("my::f", &[("bytes", "64")], &[1 << 14, 1 << 20])
        .build();
    for column in 0..2 {
        let row = &top(&profile, column, &TopOptions::default()).unwrap().rows[0];
        let (low, high) = (row.flat_low.unwrap() as f64, row.flat_high.unwrap() as f64);
        // 16 raw samples: 9.8 to 26.0 by Poisson's score interval.
        let scale = row.flat as f64 / 16.0;
        assert!((9.7..9.9).contains(&(low / scale)) && (25.9..26.1).contains(&(high / scale)), "{row:?}");
    }
    let profile = named(&[("my::f", 5)]);
    assert_eq!(top(&profile, 0, &TopOptions::default()).unwrap().rows[0].flat_low, None);
}

#[test]
fn frames_without_names_are_told_apart_by_offset() {
    let profile = Stacks::new(&["inuse_space/bytes"])
        .module(0x5000, "/bin/app", "ab")
        .add("0x5100;0x5200", &[3])
        .add("0x5200", &[4])
        .build();
    assert_eq!(rows(&profile, &TopOptions::default()), [row("app+0x1200", 7, 7), row("app+0x1100", 0, 3)]);
}

#[test]
fn peek_has_callers_and_callees_once_a_stack() {
    let profile = named(&[("main;a;f;x", 5), ("main;b;f;f;y", 2), ("main;a;f;a;f;x", 10), ("main;z", 100)]);
    let peeks = peek(&profile, 0, &Grouping::Function, &Pattern::new("^f$").unwrap()).unwrap();
    assert_eq!(peeks.len(), 1);
    let edges = |e: &[Edge]| e.iter().map(|e| (e.frame.function.clone(), e.value)).collect::<Vec<_>>();
    assert_eq!((peeks[0].row.flat, peeks[0].row.cum), (0, 17));
    assert_eq!(edges(&peeks[0].callers), [("a".to_owned(), 15), ("b".to_owned(), 2)]);
    assert_eq!(edges(&peeks[0].callees), [("x".to_owned(), 15), ("a".to_owned(), 10), ("y".to_owned(), 2)]);
    assert!(peek(&profile, 0, &Grouping::Function, &Pattern::new("nothing").unwrap()).unwrap().is_empty());
}

#[test]
fn a_bad_pattern_says_why() {
    let error = Pattern::new("a(").unwrap_err().to_string();
    assert_eq!(error, "the pattern a( is not usable: error: unclosed group");
}

#[test]
fn hiding_runtime_frames_counts_as_the_filter_does() {
    let profile = named(&[
        ("main;my::f;alloc::vec::Vec<T>::push", 5),
        ("std::rt::start;my::g;core::iter::map;my::f", 2),
        ("std::rt::start;std::thread::spawn", 7),
        ("my::f;my::g|alloc::slice::to_vec", 1),
    ]);
    let options = TopOptions { hide_runtime: true, ..Default::default() };
    let filter = crate::profile::Filter { hide_runtime: true, ..Default::default() };
    let filtered = filter.apply(&profile).unwrap();
    assert_eq!(rows(&profile, &options), rows(&filtered, &TopOptions::default()));
    assert_eq!(rows(&profile, &options)[..2], [row("my::f", 7, 8), row("std::thread::spawn", 7, 7)]);
}
