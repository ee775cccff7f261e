//! What is in the pictures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use diag::profile::{
    Function, Label, LabelSetId, LabelValue, Line, Period, Profile, ProfileBuilder, StrId, ValueType,
};
use flamegraphs::{
    Colors, DiffWidth, Direction, Error, Options, RuntimeFrames, StackOrder, render_diff_svg, render_html,
    render_svg,
};
use support::{Drawn, Stacks, frames, service, service_later};

fn titled() -> Options {
    Options { title: "orders".to_owned(), ..Options::default() }
}

fn find<'a>(frames: &'a [Drawn], name: &str) -> &'a Drawn {
    frames.iter().find(|f| f.text.contains(name)).unwrap_or_else(|| panic!("no frame {name}"))
}

/// The frames right below the root.
fn top_width(frames: &[Drawn]) -> u64 {
    let root = frames.iter().find(|f| f.text.starts_with("all (")).unwrap();
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

/// A profile of time, as the CPU sampler makes it: 2 s, of which 1.5 s are drawn.
fn of_time(kind: &str) -> Profile {
    let mut b =
        ProfileBuilder::new(vec![ValueType::new("samples", "count"), ValueType::new(kind, "nanoseconds")]);
    let meta = b.meta_mut();
    meta.default_sample_type = Some(1);
    meta.duration_ns = Some(2_000_000_000);
    meta.comments.push("cpu_source=thread_timers: perf is refused".to_owned());
    meta.comments.push("cpu_time_ns=1500000000 accounted=0.9930".to_owned());
    meta.period = Some(Period { value_type: ValueType::new(kind, "nanoseconds"), value: 10_101_010 });
    for (name, samples, ns) in [("orders::price", 100, 1_010_000_000), ("orders::tax", 48, 490_000_000)] {
        let name = b.str(name);
        let function = Function { name, system_name: StrId::EMPTY, file: StrId::EMPTY, start_line: 0 };
        let function = b.function(function);
        let location = b.location(None, 0, &[Line { function, line: 7 }]);
        let stack = b.stack(&[location]);
        b.sample(stack, LabelSetId::EMPTY, &[samples, ns]);
    }
    b.finish().unwrap()
}

#[test]
fn times_are_in_readable_units_and_say_how_many_processors() {
    let cpu = of_time("cpu");
    let svg = render_svg(&cpu, &titled()).unwrap();
    assert_eq!(find(&frames(&svg), "orders::tax").text, "orders::tax (490 ms in 48 samples, 32.7 %)");
    for words in [
        "CPU time: orders",
        "Total 1.5 s in 148 samples",
        "Sampled: every 10.1 ms of the CPU time of each thread.",
        "Over 2.0 s: 0.75 processors on average.",
        "Sampled by thread timers: perf is refused.",
        "The samples stood for 99.3 % of the CPU time that the kernel charged, and are weighted to it.",
        "Width: CPU time of a function with all it called.",
    ] {
        assert!(svg.contains(words), "{words} is not in\n{svg}");
    }
    let samples = Options { type_index: Some(0), ..titled() };
    let svg = render_svg(&cpu, &samples).unwrap();
    assert_eq!(find(&frames(&svg), "orders::tax").text, "orders::tax (48 samples in 490 ms, 32.4 %)");
    let svg = render_svg(&of_time("wall"), &titled()).unwrap();
    for words in ["Wall-clock time: orders", "Over 2.0 s: 0.8 threads on average."] {
        assert!(svg.contains(words), "{words} is not in\n{svg}");
    }
    let page = render_diff_svg(&cpu, &of_time("cpu"), &titled()).unwrap();
    assert!(page.contains("Nothing changed"), "{page}");
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
        assert_eq!(svg.contains("are summed up in frames that say so"), left_out > 0);
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
    assert_eq!(find(&drawn, "reserve_rehash").fill, "#eae8e2", "unchanged is neutral");
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

#[test]
fn sides_in_different_units_do_not_compare() {
    let of_unit = |unit: &str| {
        let types = vec![ValueType::new("inuse_space", unit)];
        ProfileBuilder::new(types).finish().unwrap()
    };
    let error = render_diff_svg(&of_unit("bytes"), &of_unit("count"), &titled()).unwrap_err();
    assert!(
        error.to_string().contains("inuse_space is in bytes in the base profile and in count"),
        "{error}"
    );
}

#[test]
fn stacks_can_be_merged_from_the_leaf() {
    let options = Options { order: StackOrder::FromLeaf, ..titled() };
    let drawn = frames(&render_svg(&service(), &options).unwrap());
    let (root, leaf) = (find(&drawn, "all ("), find(&drawn, "<alloc::vec::Vec"));
    assert_eq!((leaf.y - root.y).abs(), 16, "the leaf is right below the root");
    assert_eq!(leaf.width, 22 << 20, "from three callers");
    assert_eq!(top_width(&drawn), service().total(3) as u64);
}

#[test]
fn runtime_frames_can_be_hidden() {
    let options = Options { runtime: RuntimeFrames::Hide, ..titled() };
    let drawn = frames(&render_svg(&service(), &options).unwrap());
    assert!(!drawn.iter().any(|f| f.text.starts_with("tokio") || f.text.starts_with("hashbrown")));
    assert_eq!(find(&drawn, "orders::cache").width, 30 << 20, "what the runtime did for it counts");
    assert_eq!(top_width(&drawn), service().total(3) as u64);
}

#[test]
fn runs_of_runtime_frames_are_one_frame() {
    let start = ["clone3", "start_thread", "std::thread::start", "tokio::runtime::run"];
    let tower = ["tower::Service::call", "hyper::serve", "tokio::poll", "core::future::poll"];
    let stack = |start: &[&'static str], leaf: &'static str| -> Vec<&'static str> {
        [start, &["app::main"], &tower, &["app::handler", leaf]].concat()
    };
    let profile = Stacks::heap(0)
        .add(&stack(&start, "app::grow"), 1, 1000)
        .add(&stack(&[&start[..], &["tokio::runtime::park"]].concat(), "app::keep"), 1, 500)
        .add(&[&start[..], &tower].concat(), 1, 50)
        .done();
    let svg = render_svg(&profile, &titled()).unwrap();
    let drawn = frames(&svg);
    let run = find(&drawn, "[native, std, tokio] (");
    assert_eq!(run.width, 1500);
    assert!(run.text.ends_with("; 4 to 5 runtime frames in one)"), "{}", run.text);
    assert_eq!(find(&drawn, "tower::Service::call").width, 1500, "what own code called stays");
    assert!(find(&drawn, "[hyper, tokio, core]").text.ends_with("; 3 runtime frames in one)"));
    assert_eq!(find(&drawn, "core::future::poll").width, 50, "the leaf of a stack without own code stays");
    assert_eq!(top_width(&drawn), 1550);
    assert!(svg.contains("Frames in [...] stand for runs"));

    let all = render_svg(&profile, &Options { runtime: RuntimeFrames::Show, ..titled() }).unwrap();
    assert_eq!(find(&frames(&all), "clone3").width, 1550);
    assert!(!all.contains("Frames in [...]"));
}

#[test]
fn stacks_can_be_grouped_by_a_label() {
    let mut b = ProfileBuilder::new(vec![ValueType::new("inuse_space", "bytes")]);
    let name = b.str("app::f");
    let function =
        b.function(Function { name, system_name: StrId::EMPTY, file: StrId::EMPTY, start_line: 0 });
    let location = b.location(None, 1, &[Line { function, line: 1 }]);
    let stack = b.stack(&[location]);
    let key = b.str("age");
    for (age, bytes) in [("0-10s", 100), ("1-6h", 300)] {
        let value = LabelValue::Str(b.str(age));
        let labels = b.labels(&[Label { key, value }]);
        b.sample(stack, labels, &[bytes]);
    }
    b.sample(stack, LabelSetId::EMPTY, &[7]);
    let options = Options { group_by_label: Some("age".to_owned()), ..titled() };
    let drawn = frames(&render_svg(&b.finish().unwrap(), &options).unwrap());
    let texts: Vec<&str> = drawn.iter().map(|f| f.text.split(" (").next().unwrap()).collect();
    assert_eq!(texts.iter().filter(|t| **t == "app::f").count(), 3);
    assert_eq!(find(&drawn, "age = 1-6h").width, 300);
    assert_eq!(find(&drawn, "no age").width, 7);
}

#[test]
fn crates_can_give_the_colours() {
    let options = Options { colors: Colors::Crate, ..titled() };
    let svg = render_svg(&service(), &options).unwrap();
    let drawn = frames(&svg);
    let fill = |name| find(&drawn, name).fill.clone();
    assert_eq!(fill("orders::main"), fill("orders::cache"));
    assert_ne!(fill("orders::main"), fill("serde_json"));
    let legend = svg.split("id=\"legend\"").nth(1).unwrap();
    for name in ["orders", "hashbrown", "alloc"] {
        assert!(legend.contains(&format!(">{name}</text>")), "{name} in the legend");
    }
}

#[test]
fn all_inline_code_carries_the_nonce() {
    let options = Options { csp_nonce: Some("r4nd0m+/\"><script>".to_owned()), ..titled() };
    for markup in [
        render_svg(&service(), &options).unwrap(),
        render_html(&service(), &options).unwrap(),
        render_svg(&Stacks::heap(0).done(), &options).unwrap(),
        render_html(&Stacks::heap(0).done(), &options).unwrap(),
    ] {
        let parsing = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&markup, parsing).unwrap();
        for node in document.descendants().filter(|n| n.is_element()) {
            if ["script", "style"].contains(&node.tag_name().name()) {
                assert_eq!(node.attribute("nonce"), Some("r4nd0m+/script"));
            }
            let inline = node.attributes().find(|a| a.name().starts_with("on") || a.name() == "style");
            assert_eq!(inline, None, "no inline handler or style");
        }
    }
}

fn cpu_profile() -> Profile {
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
