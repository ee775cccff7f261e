//! What is in the pictures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use diag::profile::Profile;
use flamegraphs::{DiffWidth, Direction, Error, Options, render_diff_svg, render_svg};
use support::{Drawn, Stacks, frames, service, service_later};

fn titled() -> Options {
    Options { title: "orders".to_owned(), ..Options::default() }
}

fn find<'a>(frames: &'a [Drawn], name: &str) -> &'a Drawn {
    frames.iter().find(|f| f.text.contains(name)).unwrap_or_else(|| panic!("no frame {name}"))
}

/// The frames right below the root.
fn top_width(frames: &[Drawn]) -> u64 {
    let root = find(frames, "all (");
    let row = frames.iter().filter(|f| f.y != root.y).map(|f| (f.y - root.y).abs()).min().unwrap();
    frames.iter().filter(|f| (f.y - root.y).abs() == row).map(|f| f.width).sum()
}

#[test]
fn hover_text_has_readable_units() {
    let svg = render_svg(&service(), &titled()).unwrap();
    let drawn = frames(&svg);
    assert_eq!(
        find(&drawn, "orders::cache").text,
        "orders::cache::Cache<K,V>::insert (30.0 MiB in 4,210 objects, 56.9 %; self 6.0 MiB; orders/src/cache.rs)"
    );
    assert_eq!(find(&drawn, "all (").text, "all (52.7 MiB in 5,603 objects, 100.0 %)");
    assert!(
        svg.contains("Live heap bytes: orders, 2026-11-18 11:06:40 UTC"),
        "title with target, type and time"
    );
    assert!(svg.contains("one allocation for every 512 KiB on average"));
    assert!(svg.contains("Lost: truncated stacks 3."));
}

#[test]
fn widths_are_the_values() {
    for direction in [Direction::Icicle, Direction::Flame] {
        let profile = service();
        let drawn = frames(&render_svg(&profile, &Options { direction, ..titled() }).unwrap());
        assert_eq!(find(&drawn, "all (").width, profile.total(3) as u64);
        assert_eq!(top_width(&drawn), profile.total(3) as u64);
    }
}

#[test]
fn a_budget_leaves_nothing_out_of_the_sum() {
    let mut stacks = Stacks::heap(0);
    for i in 0..500i64 {
        let names: Vec<String> = (0..i % 9 + 1).map(|d| format!("app::f{}", (i * 7 + d * d) % 40)).collect();
        stacks.push(&names, 1, 1000 + i);
    }
    let profile = stacks.done();
    for frame_budget in [2, 3, 10, 57, 300, 10_000] {
        let svg = render_svg(&profile, &Options { frame_budget, ..titled() }).unwrap();
        let drawn = frames(&svg);
        assert!(drawn.len() <= frame_budget, "{} frames of {frame_budget}", drawn.len());
        assert_eq!(top_width(&drawn), profile.total(3) as u64);
        let left_out: u64 = drawn
            .iter()
            .filter(|f| f.text.contains("smaller stack"))
            .map(|f| f.text[1..].split(' ').next().unwrap().replace(',', "").parse::<u64>().unwrap())
            .sum();
        assert_eq!(left_out > 0, frame_budget < 1000, "{frame_budget}: {left_out} stacks left out");
        assert_eq!(svg.contains("are summed up in grey frames"), left_out > 0);
    }
}

#[test]
fn a_difference_shows_grown_and_vanished() {
    let svg = render_diff_svg(&service(), &service_later(), &titled()).unwrap();
    let drawn = frames(&svg);
    let mib = 1 << 20;
    let audit = find(&drawn, "orders::audit::Log::append");
    assert_eq!(
        audit.text,
        "+ orders::audit::Log::append (+20.0 MiB, +820 objects: base 2.0 MiB, new 22.0 MiB, +1000.0 %; orders/src/audit.rs)"
    );
    assert_eq!((audit.width, audit.fill.as_str()), (20 * mib, "#f5831f"));
    let gone = drawn.iter().find(|f| f.text.contains("vanished in new")).unwrap();
    assert_eq!((gone.width, gone.fill.as_str()), (9 * mib, "url(#gone)"));
    assert!(gone.text.starts_with("- <alloc::vec::Vec<T>"), "{}", gone.text);
    assert!(find(&drawn, "orders::metrics").text.contains("did not exist in base"));
    assert!(!drawn.iter().any(|f| f.text.contains("SSL_CTX_new")), "what did not change is not drawn");
    assert!(
        svg.contains("base 52.7 MiB, 2026-11-18 11:06:40 UTC \u{2192} new 64.8 MiB, 2026-11-18 11:08:40 UTC")
    );
    assert!(svg.contains("Orange: grown. Blue: shrunk."));
    assert!(svg.contains("grown 23.1 MiB, shrunk 11.0 MiB"));
}

#[test]
fn a_difference_can_keep_the_context() {
    let options = Options { diff_width: DiffWidth::Larger, ..titled() };
    let drawn = frames(&render_diff_svg(&service(), &service_later(), &options).unwrap());
    assert_eq!(find(&drawn, "SSL_CTX_new").width, 700 * 1024);
    assert_eq!(find(&drawn, "reserve_rehash").width, 24 << 20);
    assert_eq!(find(&drawn, "reserve_rehash").fill, "#f4f3ef", "unchanged is white");
    assert_eq!(find(&drawn, "orders::audit").width, 22 << 20);
}

#[test]
fn swapping_the_sides_swaps_the_signs() {
    let forth = frames(&render_diff_svg(&service(), &service_later(), &titled()).unwrap());
    let back = frames(&render_diff_svg(&service_later(), &service(), &titled()).unwrap());
    assert!(find(&forth, "orders::audit").text.starts_with("+ orders::audit::Log::append (+20.0 MiB"));
    assert!(find(&back, "orders::audit").text.starts_with("- orders::audit::Log::append (-20.0 MiB"));
    assert_eq!(find(&forth, "orders::audit").width, find(&back, "orders::audit").width);
}

#[test]
fn a_signed_profile_is_drawn_as_a_difference() {
    let profile = Stacks::heap(0)
        .add(&["app::main", "app::grow"], 10, 5000)
        .add(&["app::main", "app::shrink"], -4, -3000)
        .done();
    let svg = render_svg(&profile, &titled()).unwrap();
    let drawn = frames(&svg);
    assert_eq!(find(&drawn, "all (").width, 8000);
    assert_eq!(
        find(&drawn, "app::main").text,
        "+ app::main (+2.0 KiB, +6 objects; grown 4.9 KiB, shrunk 2.9 KiB)"
    );
    assert!(find(&drawn, "app::shrink").text.starts_with("- app::shrink (-2.9 KiB"));
    assert!(svg.contains("Change of live heap bytes: orders"));
}

#[test]
fn nothing_to_draw_is_said_not_failed() {
    let svg = render_svg(&Stacks::heap(0).loss("live_table_full", 9).done(), &titled()).unwrap();
    assert!(svg.contains("No samples yet") && svg.contains("Lost: live table full 9."), "{svg}");
    assert!(svg.contains("512 KiB"), "{svg}");
    frames(&svg);
    let same = render_diff_svg(&service(), &service(), &titled()).unwrap();
    assert!(same.contains("Nothing changed between base and new."));
    frames(&same);
    let zero = render_svg(&Stacks::heap(0).add(&["f"], 0, 0).done(), &titled()).unwrap();
    assert!(zero.contains("choose another type"));
}

#[test]
fn a_wrong_type_lists_those_there_are() {
    let error = render_svg(&service(), &Options { type_index: Some(9), ..titled() }).unwrap_err();
    assert!(matches!(error, Error::NoSuchType { index: 9, .. }));
    assert!(error.to_string().contains("2 inuse_objects/count, 3 inuse_space/bytes"), "{error}");
    let cpu = cpu_profile();
    let error = render_diff_svg(&cpu, &service(), &titled()).unwrap_err();
    assert!(
        error.to_string().contains("no sample type inuse_space; it has: 0 samples/count, 1 cpu/nanoseconds")
    );
}

fn cpu_profile() -> Profile {
    use diag::profile::{ProfileBuilder, ValueType};
    ProfileBuilder::new(vec![ValueType::new("samples", "count"), ValueType::new("cpu", "nanoseconds")])
        .finish()
        .unwrap()
}

#[test]
fn deep_stacks_lose_their_middle_only() {
    let mut names: Vec<String> = (0..5_000).map(|i| format!("app::f{i}")).collect();
    names.push("app::leaf".to_owned());
    let svg = render_svg(&Stacks::heap(0).add(&names, 1, 64).done(), &titled()).unwrap();
    let drawn = frames(&svg);
    assert_eq!(drawn.len(), 256 + 1);
    assert!(drawn.iter().any(|f| f.text.starts_with("app::f0 ")));
    assert!(drawn.iter().any(|f| f.text.starts_with("app::leaf ")));
    assert!(drawn.iter().any(|f| f.text.starts_with("(frames left out: the stack is too deep)")));
    assert!(svg.contains("which lose their middle: 1."));
}

#[test]
fn huge_values_do_not_overflow() {
    let profile = Stacks::heap(0)
        .add(&["a::f"], i64::MAX / 4, i64::MAX / 4)
        .add(&["b::f"], i64::MAX / 4, i64::MAX / 4)
        .done();
    let drawn = frames(&render_svg(&profile, &titled()).unwrap());
    assert_eq!(find(&drawn, "a::f").width, find(&drawn, "b::f").width);
    assert!(find(&drawn, "all (").width <= 1 << 53);
    assert!(find(&drawn, "all (").text.contains("4.0 EiB"));
}
