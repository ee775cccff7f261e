use super::*;
use crate::profile::testing::{Stacks, canonical};

fn lines(profile: &Profile, grouping: Grouping) -> Vec<String> {
    canonical(&regroup(profile, &grouping).unwrap())
}

#[test]
fn by_function_line_file_crate_and_label() {
    let profile = Stacks::new(&["s/bytes"])
        .module(0x5000, "/bin/app", "ab")
        .add_labelled("0x5100;my::main:1;my::f:3|my::g:4;std::x", &[("age", "new")], &[1])
        .add_labelled("0x5100;my::main:2;my::f:3|my::g:4;std::x", &[("age", "old")], &[2])
        .build();
    assert_eq!(
        lines(&profile, Grouping::Function),
        [
            "app+0x1100;my::main@src/lib.rs:0;my::f@src/lib.rs:0;my::g@src/lib.rs:0;std::x@src/lib.rs:0 {age=new} [1]",
            "app+0x1100;my::main@src/lib.rs:0;my::f@src/lib.rs:0;my::g@src/lib.rs:0;std::x@src/lib.rs:0 {age=old} [2]",
        ]
    );
    let by_line = lines(&profile, Grouping::Line);
    assert!(by_line[0].starts_with("app+0x1100;my::main@src/lib.rs:1;my::f@src/lib.rs:3;"), "{by_line:?}");
    assert_eq!(
        lines(&profile, Grouping::File),
        [
            "(unknown file)@:0;src/lib.rs@src/lib.rs:0 {age=new} [1]",
            "(unknown file)@:0;src/lib.rs@src/lib.rs:0 {age=old} [2]",
        ]
    );
    assert_eq!(
        lines(&profile, Grouping::Module),
        ["app@:0;my@:0;std@:0 {age=new} [1]", "app@:0;my@:0;std@:0 {age=old} [2]"]
    );
    assert_eq!(
        lines(&profile, Grouping::Label("age".into())),
        ["new@:0 {age=new} [1]", "old@:0 {age=old} [2]"]
    );
    assert_eq!(lines(&profile, Grouping::Address), canonical(&profile));
}
