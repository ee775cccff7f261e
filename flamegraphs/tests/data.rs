//! The picture as data: the same frames as the SVG, widths that add up, and texts that are fit to be shown.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use flamegraphs::{Flame, Options, flame, render_diff_svg, render_svg};
use support::{Stacks, frames, hostile_names, service, service_later};

/// Each frame's width is its own and those of the frames right below it.
fn adds_up(data: &Flame) {
    let f = &data.frames;
    let mut below = vec![0u64; f.depth.len()];
    let mut open: Vec<usize> = Vec::new();
    for (i, &depth) in f.depth.iter().enumerate() {
        assert!(depth as usize <= open.len(), "frame {i} hangs in the air");
        open.truncate(depth as usize);
        if let Some(&parent) = open.last() {
            below[parent] += f.width[i];
        }
        open.push(i);
        assert!((f.name[i] as usize) < data.names.len() && (f.fill[i] as usize) < data.fills.len());
    }
    for (i, sum) in below.into_iter().enumerate() {
        assert_eq!(sum + f.own[i], f.width[i], "frame {i}, {:?}", data.names[f.name[i] as usize]);
    }
}

#[test]
fn the_same_frames_as_the_svg() {
    let options = Options { title: "orders".to_owned(), ..Options::default() };
    let data = flame(None, &service(), &options).unwrap();
    adds_up(&data);
    let drawn = frames(&render_svg(&service(), &options).unwrap());
    assert_eq!(drawn.len(), data.frames.depth.len());
    assert_eq!(data.frames.new[0], service().total(3));
    assert!(!data.difference && data.frames.base.is_empty() && data.frames.base_also.is_empty());
    assert_eq!(
        (data.value.unit.as_str(), data.also.as_ref().unwrap().kind.as_str()),
        ("bytes", "inuse_objects")
    );
    let insert = data.names.iter().find(|n| n[0] == "orders::cache::Cache<K,V>::insert").unwrap();
    assert_eq!(insert[1..], ["Cache::insert", "orders/src/cache.rs"]);
    assert!(data.title.contains("orders") && data.title.ends_with("UTC"), "{}", data.title);
}

#[test]
fn a_difference_has_both_sides() {
    let data = flame(Some(&service()), &service_later(), &Options::default()).unwrap();
    adds_up(&data);
    let drawn = frames(&render_diff_svg(&service(), &service_later(), &Options::default()).unwrap());
    assert_eq!(drawn.len(), data.frames.depth.len());
    let sides = (data.frames.base[0], data.frames.new[0]);
    assert_eq!(sides, (service().total(3), service_later().total(3)));
    assert!(data.fills.iter().any(|f| f == "gone"), "{:?}", data.fills);
    assert!(data.base_taken_unix_ns < data.taken_unix_ns);
}

#[test]
fn a_budget_is_kept_and_the_rest_is_summed_up() {
    let mut stacks = Stacks::heap(0);
    for i in 0..5_000 {
        stacks.push(&["app::main".to_owned(), format!("app::f{i}")], 1, 1 + i);
    }
    let options = Options { frame_budget: 100, ..Options::default() };
    let data = flame(None, &stacks.done(), &options).unwrap();
    adds_up(&data);
    assert!(data.frames.depth.len() <= 100);
    assert!(data.names.iter().any(|n| n[0].ends_with("smaller stacks)")), "{:?}", data.names);
    assert!(data.fills.contains(&"rest".to_owned()));
}

#[test]
fn nothing_to_draw_says_why() {
    let data = flame(None, &Stacks::heap(0).done(), &Options::default()).unwrap();
    assert!(data.frames.depth.is_empty() && data.empty.contains("No samples yet"), "{}", data.empty);
}

#[test]
fn hostile_names_are_fit_to_be_shown() {
    let names = hostile_names();
    let mut stacks = Stacks::heap(0);
    for name in &names {
        stacks.push(&["app::main", name.as_str()], 1, 1000);
    }
    let options = Options { title: names.concat(), ..Options::default() };
    let data = flame(None, &stacks.done(), &options).unwrap();
    adds_up(&data);
    let texts = data.names.iter().flatten().chain([&data.title, &data.subtitle]).chain(&data.notes);
    for text in texts {
        assert!(text.len() <= 1024, "{} bytes", text.len());
        let turns = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{200f}';
        assert!(!text.contains(turns), "{text:?}");
    }
    let json = serde_json::to_string(&data).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["schema"], "diag.flame/1");
}
