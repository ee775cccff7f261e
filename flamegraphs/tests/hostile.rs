//! Names, files, titles, labels, units and comments are untrusted: whatever they hold, the output is well-formed XML
//! and has the same elements, nothing that hides or turns text, and the right widths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use diag::profile::{
    Function, Label, LabelValue, Line, Loss, Mapping, MappingSymbols, Period, Profile, ProfileBuilder, StrId,
    ValueType,
};
use flamegraphs::{Colors, Options, render_diff_html, render_diff_svg, render_html, render_svg};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{Drawn, Stacks, frames, hostile_names};

/// A profile with `evil` in every text there is, and one sample a name of `evil`.
fn poisoned(evil: &[String], value: i64) -> Profile {
    let all = evil.concat();
    let mut b = ProfileBuilder::new(vec![ValueType::new(all.clone(), all.clone())]);
    let meta = b.meta_mut();
    meta.period = Some(Period { value_type: ValueType::new(all.clone(), all.clone()), value: 7 });
    meta.comments = evil.to_vec();
    meta.doc_url = all.clone();
    meta.losses = vec![Loss { what: all.clone(), count: 1 }];
    let file = b.str(&all);
    let mapping = b.mapping(Mapping {
        start: 0,
        limit: 0,
        file_offset: 0,
        file,
        build_id: StrId::EMPTY,
        symbols: MappingSymbols::default(),
    });
    let unresolved = b.location(Some(mapping), 0x10, &[]);
    for (i, name) in evil.iter().enumerate() {
        let name = b.str(name);
        let function = b.function(Function { name, system_name: StrId::EMPTY, file: name, start_line: 0 });
        let location = b.location(None, 1 + i as u64, &[Line { function, line: 1 }]);
        let stack = b.stack(&[location, unresolved]);
        let labels = b.labels(&[Label { key: file, value: LabelValue::Str(name) }]);
        b.sample(stack, labels, &[value]);
    }
    b.finish().unwrap()
}

fn options(evil: &[String]) -> Options {
    let all = evil.concat();
    Options { title: all.clone(), base_name: all.clone(), new_name: all, ..Options::default() }
}

fn pictures(evil: &[String]) -> Vec<String> {
    let (base, new) = (poisoned(evil, 5), poisoned(evil, 12));
    let plain = options(evil);
    let grouped = Options { group_by_label: Some(evil.concat()), colors: Colors::Crate, ..plain.clone() };
    vec![
        render_svg(&new, &plain).unwrap(),
        render_html(&new, &plain).unwrap(),
        render_svg(&new, &grouped).unwrap(),
        render_diff_svg(&base, &new, &plain).unwrap(),
        render_diff_html(&base, &new, &plain).unwrap(),
        render_svg(&poisoned(evil, -3), &plain).unwrap(),
        render_svg(&poisoned(evil, 0), &plain).unwrap(),
        render_html(&poisoned(evil, 0), &plain).unwrap(),
    ]
}

/// Elements and attributes in document order, without frames, texts, colours and sizes: the skeleton.
fn skeleton(markup: &str) -> Vec<String> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(markup, options).unwrap_or_else(|e| panic!("{e}"));
    document
        .descendants()
        .filter(|n| n.is_element())
        // As many as there are frames, notes and origins.
        .filter(|n| {
            let inside = |a: &roxmltree::Node<'_, '_>| {
                matches!(a.attribute("id"), Some("frames" | "legend"))
                    || matches!(a.attribute("class"), Some("notes" | "legend"))
            };
            !n.ancestors().skip(1).any(|a| inside(&a))
        })
        .map(|n| {
            let attributes: Vec<&str> = n.attributes().map(|a| a.name()).collect();
            format!("{} {}", n.tag_name().name(), attributes.join(" "))
        })
        // A message's lines.
        .filter(|line| line != "text x y")
        .collect()
}

fn check(evil: &[String]) {
    let harmless: Vec<String> = (0..evil.len()).map(|i| format!("app::f{i}")).collect();
    for (evil_picture, plain_picture) in pictures(evil).iter().zip(pictures(&harmless)) {
        assert_eq!(skeleton(evil_picture), skeleton(&plain_picture));
        let hidden = evil_picture.chars().find(|&c| {
            (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{200b}'
        });
        assert_eq!(hidden, None, "a character that hides or turns text");
    }
}

#[test]
fn known_attacks_stay_text() {
    check(&hostile_names());
    for name in hostile_names() {
        check(&[name]);
    }
}

#[test]
fn a_name_reaches_the_reader_unchanged() {
    let name = "<T as a::B<\"x\">>::f & 'g' ]]> ; 12";
    let svg = render_svg(&Stacks::heap(0).add(&[name], 1, 64).done(), &Options::default()).unwrap();
    let drawn = frames(&svg);
    let frame: &Drawn = drawn.iter().find(|f| f.text.starts_with(name)).unwrap();
    assert_eq!(frame.label, name);
    assert_eq!(frame.text, format!("{name} (64 B in 1 object, 100.0 %)"));
}

/// Sums of values end at the largest number, also what is said of the frames that are left out. Found by fuzzing (`operations`).
#[test]
fn values_without_bound_are_drawn() {
    let mut b = ProfileBuilder::new(vec![ValueType::new("x", "bytes")]);
    let mut location = |name: &str| {
        let name = b.str(name);
        let function =
            b.function(Function { name, system_name: StrId::EMPTY, file: StrId::EMPTY, start_line: 0 });
        b.location(None, 0, &[Line { function, line: 1 }])
    };
    let parents = ["app::a", "app::b", "app::c"].map(&mut location);
    let children = ["app::d", "app::e", "app::f", "app::g"].map(&mut location);
    for parent in parents {
        for child in children {
            let stack = b.stack(&[child, parent]);
            let labels = b.labels(&[]);
            b.sample(stack, labels, &[i64::MAX]);
        }
    }
    // All, the three, and below each of them what is left out: each of these alone is the largest number.
    let options = Options { frame_budget: 7, ..Options::default() };
    let svg = render_svg(&b.finish().unwrap(), &options).unwrap();
    assert_eq!(frames(&svg).len(), 7);
    assert!(svg.contains("12 smaller stacks, 8.0 EiB of 8.0 EiB, are summed up"), "{svg}");
}

#[test]
fn huge_names_are_bounded() {
    let name = format!("app::{}::leaf", "x".repeat(1 << 20));
    let svg = render_svg(&Stacks::heap(0).add(&[name], 1, 64).done(), &Options::default()).unwrap();
    assert!(svg.len() < 40_000, "{} bytes", svg.len());
    assert!(frames(&svg).iter().any(|f| f.text.starts_with("app::xx") && f.text.contains("xx::leaf (64 B")));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_stays_text(evil in prop::collection::vec(any::<String>(), 1..5)) {
        check(&evil);
    }

    #[test]
    fn markup_stays_text(evil in prop::collection::vec("[<>&;'\"\\]\\[!/a-c =\\-\u{0}-\u{1f}(){}%\\\\#]{0,24}", 1..5)) {
        check(&evil);
    }
}
