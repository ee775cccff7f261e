//! Folded stacks.

use diag::profile::{ProfileError, detect, folded, pprof};

fn round(text: &str) -> String {
    folded::write(&folded::parse(text.as_bytes()).unwrap(), 0)
}

#[test]
fn stacks_come_back_sorted_and_added_up() {
    assert_eq!(round("main;b;c 2\nmain;a 1\nmain;b;c 3\n"), "main;a 1\nmain;b;c 5\n");
}

#[test]
fn the_leaf_is_last_in_the_text_and_first_in_the_model() {
    let p = folded::parse(b"root;leaf 1").unwrap();
    let sample = p.samples().next().unwrap();
    let names: Vec<&str> = p
        .stack(sample.stack)
        .iter()
        .map(|&l| p.str(p.function(p.location(l).lines[0].function).name))
        .collect();
    assert_eq!(names, ["leaf", "root"]);
}

#[test]
fn names_may_hold_blanks_and_colons() {
    let text = "main;<Vec<T> as Into<Box<[T]>>>::into;std::rt::lang_start::{{closure}} 7\n";
    assert_eq!(round(text), text);
}

#[test]
fn comments_empty_lines_and_carriage_returns_are_skipped() {
    assert_eq!(round("# made by x\r\n\r\na;b 1\r\n   \r\na;b 2"), "a;b 3\n");
}

#[test]
fn negative_counts_of_differences_are_read() {
    assert_eq!(round("a;b -5\n"), "a;b -5\n");
}

#[test]
fn a_bad_line_is_an_error_with_its_number() {
    for (text, line, what) in [
        ("a;b 1\n\na;b\n", 3, "no count"),
        ("a;b 1.5\n", 1, "not a whole number"),
        ("# x\n12\n", 2, "no"),
        ("a 99999999999999999999\n", 1, "not a whole number"),
        ("a;b 1\n \t 12\n", 2, "no stack"),
    ] {
        let e = folded::parse(text.as_bytes()).unwrap_err();
        let ProfileError::Text { line: found, .. } = &e else { panic!("{e}") };
        assert_eq!(*found, line, "{e}");
        assert!(e.to_string().contains(what), "{e}");
    }
}

#[test]
fn a_long_bad_line_is_quoted_in_part() {
    let e = folded::parse("ü;".repeat(10_000).as_bytes()).unwrap_err().to_string();
    assert!(e.len() < 300, "{e}");
}

#[test]
fn empty_names_and_bad_utf8_are_kept_visible_and_counted() {
    let p = folded::parse(b"a;;b\xff 1").unwrap();
    assert_eq!(folded::write(&p, 0), "a;[unknown];b\u{fffd} 1\n");
    let losses: Vec<_> = p.meta().losses.iter().map(|l| (l.what.as_str(), l.count)).collect();
    assert_eq!(losses, [("non_utf8_strings", 1), ("unnamed_frames", 1)]);
}

#[test]
fn what_is_written_is_written_the_same_again() {
    // Found by fuzzing: a control character at the end of a name became a blank there.
    for text in ["inus\u{1};ects 0 1\n", "a\u{feff};b 1\n", "a; ;\tb\u{85} 1\n", "\u{1}#a;b 2\n"] {
        let once = round(text);
        assert_eq!(round(&once), once, "{text:?}");
    }
}

#[test]
fn no_stack_at_all_is_an_error() {
    assert!(matches!(folded::parse(b"# nothing\n"), Err(ProfileError::Empty)));
}

#[test]
fn detection_takes_folded_stacks_and_refuses_prose() {
    let (p, format) = detect::read(b"main;a 1\n").unwrap();
    assert_eq!((p.sample_count(), format.to_string().as_str()), (1, "folded"));
    assert!(matches!(detect::read(b"hello world\n"), Err(ProfileError::NotAProfile { .. })));
}

#[test]
fn pprof_carries_folded_stacks_there_and_back() {
    let text = "# first\nmain;a 1\nmain;b;c 5\n";
    let p = pprof::decode(&pprof::encode_gz(&folded::parse(text.as_bytes()).unwrap())).unwrap();
    assert_eq!(folded::write(&p, 0), "main;a 1\nmain;b;c 5\n");
}
