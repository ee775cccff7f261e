use super::*;
use crate::profile::testing::{Stacks, canonical, named};

fn pattern(p: &str) -> Option<Pattern> {
    Some(Pattern::new(p).unwrap())
}

#[test]
fn focus_and_ignore_choose_samples() {
    let profile = named(&[("m;a;x", 1), ("m;b;x", 2), ("m;b|a", 4)]);
    let focus = Filter { focus: pattern("^a$"), ..Default::default() }.apply(&profile).unwrap();
    assert_eq!(canonical(&focus), canonical(&named(&[("m;a;x", 1), ("m;b|a", 4)])));
    let ignore = Filter { ignore: pattern("^a$"), ..Default::default() }.apply(&profile).unwrap();
    assert_eq!(canonical(&ignore), canonical(&named(&[("m;b;x", 2)])));
    let by_file = Filter { focus: pattern("src/lib"), ..Default::default() }.apply(&profile).unwrap();
    assert_eq!(by_file.total(0), 7);
    assert_eq!(canonical(&Filter::default().apply(&profile).unwrap()), canonical(&profile));
}

#[test]
fn hide_and_show_take_frames_out_and_keep_values() {
    let profile = named(&[("m;a;x|i", 1), ("m;a", 2)]);
    let hide = Filter { hide: pattern("^[ax]$"), ..Default::default() }.apply(&profile).unwrap();
    assert_eq!(canonical(&hide), canonical(&named(&[("m;i", 1), ("m", 2)])));
    let show = Filter { show: pattern("^[ix]$"), ..Default::default() }.apply(&profile).unwrap();
    assert_eq!(canonical(&show), canonical(&named(&[("x|i", 1), ("", 2)])));
}

#[test]
fn the_runtime_can_be_hidden() {
    let profile = named(&[
        ("main;std::rt::lang_start;my::main;alloc::vec::Vec<T>::push|alloc::raw_vec::finish_grow;malloc", 1),
        ("start_thread;std::thread::spawn;malloc", 2),
    ]);
    let hidden = Filter { hide_runtime: true, ..Default::default() }.apply(&profile).unwrap();
    assert_eq!(canonical(&hidden), canonical(&named(&[("my::main", 1), ("std::thread::spawn", 2)])));
}

#[test]
fn frames_without_names_match_by_module() {
    let profile = Stacks::new(&["inuse_space/bytes"])
        .module(0x5000, "/lib/libfoo.so", "")
        .add("main;0x5100", &[1])
        .add("main;f", &[2])
        .build();
    for by in ["libfoo", "^/lib/", r"libfoo\.so\+0x1100"] {
        let focus = Filter { focus: pattern(by), ..Default::default() }.apply(&profile).unwrap();
        assert_eq!(focus.total(0), 1, "{by}");
    }
    let hide = Filter { hide: pattern("libfoo"), hide_runtime: true, ..Default::default() };
    let expected = Stacks::new(&["inuse_space/bytes"]).add("main", &[1]).add("f", &[2]).build();
    assert_eq!(canonical(&hide.apply(&profile).unwrap()), canonical(&expected));
}

#[test]
fn labels_choose_samples() {
    let profile = Stacks::new(&["inuse_space/bytes"])
        .add_labelled("f", &[("age", "0-10s"), ("bytes", "64")], &[1])
        .add_labelled("f", &[("age", "1-10m"), ("bytes", "4096")], &[2])
        .add("f", &[4])
        .build();
    let total = |focus: &[&str], ignore: &[&str]| {
        let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
        let filter = Filter { label_focus: parse(focus), label_ignore: parse(ignore), ..Default::default() };
        filter.apply(&profile).unwrap().total(0)
    };
    assert_eq!(total(&["age=^0-10s$"], &[]), 1);
    assert_eq!(total(&["age=m|s"], &[]), 3);
    assert_eq!(total(&[], &["age=m|s"]), 4);
    assert_eq!(total(&["bytes=64:4096"], &[]), 3);
    assert_eq!(total(&["bytes=65:"], &[]), 2);
    assert_eq!(total(&["bytes=:64"], &[]), 1);
    assert_eq!(total(&["bytes=^64 bytes"], &[]), 1);
    assert_eq!(total(&["age=s", "bytes=65:"], &[]), 0);
    let wrong = "age".parse::<LabelMatch>().unwrap_err().to_string();
    assert_eq!(wrong, "the pattern age is not usable: write key=value");
}
