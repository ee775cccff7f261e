//! Laws that hold for every profile: totals survive, order does not matter, parts make up the whole.

use proptest::prelude::*;

use super::diff::{DiffOptions, RowBy, diff};
use super::table::{TopOptions, top};
use super::testing::{Stacks, canonical};
use super::tree::{CallTree, NodeId, NodeKind, Sides, TreeOptions};
use super::{Filter, Grouping, Pattern, Profile, delta, merge, regroup};

const NAMES: [&str; 10] = [
    "my::a",
    "my::b:3",
    "my::b:4",
    "other::c|my::inlined:9",
    "std::rt::start",
    "alloc::vec::Vec<T>::push|alloc::raw_vec::finish_grow",
    "<my::T as core::clone::Clone>::clone",
    "_rjem_malloc",
    "0x5100",
    "0x5200",
];

/// Up to 12 samples with 0 to 5 frames, some with labels, two columns.
fn profiles(values: std::ops::Range<i64>) -> impl Strategy<Value = Profile> {
    let frames = prop::collection::vec(prop::sample::select(&NAMES[..]), 0..6);
    let label = prop::option::of(prop::sample::select(&["0-10s", "1-10m", "64"][..]));
    let sample = (frames, label, values.clone(), values);
    let start = prop::sample::select(&[0x5000u64, 0x9000][..]);
    (prop::collection::vec(sample, 0..12), start).prop_map(|(samples, start)| {
        let mut stacks =
            Stacks::new(&["inuse_objects/count", "inuse_space/bytes"]).module(start, "/bin/app", "ab");
        for (frames, label, objects, bytes) in samples {
            let labels: Vec<(&str, &str)> = label.into_iter().map(|value| ("age", value)).collect();
            // Addresses move with the module.
            let moved = |name: &str| match name.strip_prefix("0x5") {
                Some(rest) => format!("{:#x}", start + u64::from_str_radix(rest, 16).unwrap()),
                None => name.to_owned(),
            };
            let text: Vec<String> = frames.into_iter().map(moved).collect();
            stacks = stacks.add_labelled(&text.join(";"), &labels, &[objects, bytes]);
        }
        stacks.build()
    })
}

fn any_profile() -> impl Strategy<Value = Profile> {
    profiles(0..1000)
}

fn groupings() -> [Grouping; 6] {
    let label = Grouping::Label("age".into());
    [Grouping::Function, Grouping::File, Grouping::Module, Grouping::Line, Grouping::Address, label]
}

/// [`canonical`] without rows of zeros.
fn nonzero(profile: &Profile) -> Vec<String> {
    canonical(profile).into_iter().filter(|row| !row.ends_with("[0, 0]")).collect()
}

/// Every node is the sum of its own value and its children's. Gives the number of frame nodes and the weight of the
/// lightest.
fn check_sums(tree: &CallTree, total: (i64, i64)) -> Result<(usize, Option<i64>), TestCaseError> {
    let root = tree.node(NodeId::ROOT);
    prop_assert_eq!((root.total.base, root.total.new), total);
    let (mut frames, mut lightest, mut visited) = (0, None, 0);
    let mut pending = vec![NodeId::ROOT];
    while let Some(id) = pending.pop() {
        visited += 1;
        let node = tree.node(id);
        if matches!(node.kind, NodeKind::Frame(_)) {
            frames += 1;
            let weight = node.total.base + node.total.new;
            lightest = Some(lightest.map_or(weight, |l: i64| l.min(weight)));
        }
        let below = tree.children(id).map(|c| tree.node(c).total.new).sum::<i64>();
        prop_assert_eq!(node.total.new, node.own.new + below);
        for child in tree.children(id) {
            prop_assert_eq!(tree.node(child).parent, id);
            pending.push(child);
        }
    }
    prop_assert_eq!(visited, tree.len());
    Ok((frames, lightest))
}

proptest! {
    #[test]
    fn merging_is_independent_of_order_and_grouping(
        a in any_profile(),
        b in any_profile(),
        c in any_profile(),
    ) {
        let all = merge(&[&a, &b, &c]).unwrap();
        for column in 0..2 {
            prop_assert_eq!(all.total(column), a.total(column) + b.total(column) + c.total(column));
        }
        let orders = [[&c, &b, &a], [&b, &a, &c], [&c, &a, &b]];
        for order in orders {
            let other = merge(&order).unwrap();
            prop_assert_eq!(canonical(&other), canonical(&all));
            prop_assert_eq!(other.mappings().first().map(|m| m.start), all.mappings().first().map(|m| m.start));
        }
        let nested = merge(&[&a, &merge(&[&b, &c]).unwrap()]).unwrap();
        prop_assert_eq!(canonical(&nested), canonical(&all));
    }

    #[test]
    fn a_delta_leads_from_base_to_new(base in any_profile(), new in any_profile()) {
        let change = delta(&base, &new).unwrap();
        prop_assert_eq!(change.total(1), new.total(1) - base.total(1));
        prop_assert_eq!(nonzero(&merge(&[&base, &change]).unwrap()), nonzero(&new));
        prop_assert_eq!(delta(&base, &base).unwrap().sample_count(), 0);
    }

    #[test]
    fn rows_of_a_difference_add_up(base in profiles(-50..1000), new in any_profile(), limit in 0usize..5) {
        for rows in [RowBy::Site, RowBy::SiteLine, RowBy::Stack] {
            let options = DiffOptions { rows, ..Default::default() };
            let there = diff(&base, &new, &options).unwrap();
            prop_assert_eq!(there.rows.iter().map(|r| r.delta).sum::<i64>(), there.delta_total);
            prop_assert_eq!(
                there.rows.iter().filter_map(|r| r.delta_objects).sum::<i64>(),
                new.total(0) - base.total(0)
            );
            prop_assert!(there.rows.windows(2).all(|w| w[0].delta.abs() >= w[1].delta.abs()));
            let back = diff(&new, &base, &options).unwrap();
            let mut turned: Vec<_> = back.rows.iter().map(|r| (r.site.clone(), -r.delta, r.new, r.base)).collect();
            let mut rows: Vec<_> = there.rows.iter().map(|r| (r.site.clone(), r.delta, r.base, r.new)).collect();
            turned.sort();
            rows.sort();
            prop_assert_eq!(rows, turned);
            // A limit cuts, and changes nothing else.
            let cut = diff(&base, &new, &DiffOptions { limit: Some(limit), ..options }).unwrap();
            prop_assert_eq!(&cut.rows[..], &there.rows[..limit.min(there.rows.len())]);
        }
    }

    #[test]
    fn regrouping_keeps_totals(profile in any_profile()) {
        for grouping in groupings() {
            let coarse = regroup(&profile, &grouping).unwrap();
            prop_assert_eq!((coarse.total(0), coarse.total(1)), (profile.total(0), profile.total(1)));
            let again = regroup(&coarse, &grouping).unwrap();
            if !matches!(grouping, Grouping::Module | Grouping::File) {
                prop_assert_eq!(canonical(&again), canonical(&coarse));
            }
        }
    }

    #[test]
    fn trees_add_up(base in any_profile(), new in any_profile(), budget in 0usize..12) {
        for grouping in groupings() {
            let build = |max_frames| {
                let options = TreeOptions { grouping: grouping.clone(), max_frames };
                CallTree::build(Sides::Pair(&base, &new, "inuse_space"), &options).unwrap()
            };
            let whole = build(None);
            let small = build(Some(budget));
            prop_assert_eq!(format!("{:?}", build(Some(whole.len()))), format!("{whole:?}"));
            let (frames, _) = check_sums(&whole, (base.total(1), new.total(1)))?;
            let (kept, lightest) = check_sums(&small, (base.total(1), new.total(1)))?;
            prop_assert_eq!(kept, budget.min(frames));
            // What was left out is not heavier than what was kept.
            let weight = |tree: &CallTree, id| { let t = tree.node(id).total; t.base + t.new };
            let mut all: Vec<i64> = whole.ids().skip(1).map(|id| weight(&whole, id)).collect();
            all.sort_unstable_by_key(|w| std::cmp::Reverse(*w));
            prop_assert_eq!(lightest, all.get(..kept).and_then(|k| k.last()).copied());
        }
    }

    #[test]
    fn focus_and_ignore_make_up_the_whole(profile in any_profile(), by in prop::sample::select(&NAMES[..])) {
        let name = by.split([':', '|']).next().unwrap();
        let pattern = || Some(Pattern::new(name).unwrap());
        let focus = Filter { focus: pattern(), ..Default::default() }.apply(&profile).unwrap();
        let ignore = Filter { ignore: pattern(), ..Default::default() }.apply(&profile).unwrap();
        prop_assert_eq!(canonical(&merge(&[&focus, &ignore]).unwrap()), canonical(&merge(&[&profile]).unwrap()));
        let (on, off) = ("age=10".parse().unwrap(), "age=10".parse().unwrap());
        let focus = Filter { label_focus: vec![on], ..Default::default() }.apply(&profile).unwrap();
        let ignore = Filter { label_ignore: vec![off], ..Default::default() }.apply(&profile).unwrap();
        prop_assert_eq!(focus.total(1) + ignore.total(1), profile.total(1));
    }

    #[test]
    fn taking_frames_out_keeps_totals(profile in any_profile(), by in prop::sample::select(&NAMES[..])) {
        let pattern = || Some(Pattern::new(by.split(':').next().unwrap()).unwrap());
        for filter in [
            Filter { hide: pattern(), ..Default::default() },
            Filter { show: pattern(), ..Default::default() },
            Filter { hide_runtime: true, ..Default::default() },
        ] {
            prop_assert_eq!(filter.apply(&profile).unwrap().total(1), profile.total(1));
        }
        let hidden = Filter { hide_runtime: true, ..Default::default() }.apply(&profile).unwrap();
        let empty = |p: &Profile| p.samples().filter(|s| p.stack(s.stack).is_empty()).map(|s| s.values[1]).sum::<i64>();
        prop_assert_eq!(empty(&hidden), empty(&profile), "hiding the runtime empties no stack");
    }

    #[test]
    fn a_table_adds_up(profile in any_profile()) {
        for grouping in groupings() {
            let table = top(&profile, 1, &TopOptions { grouping: grouping.clone(), ..Default::default() }).unwrap();
            let is_label = matches!(grouping, Grouping::Label(_));
            let without_frames = profile.samples().filter(|s| profile.stack(s.stack).is_empty() && !is_label);
            let unseen: i64 = without_frames.map(|s| s.values[1]).sum();
            prop_assert_eq!(table.rows.iter().map(|r| r.flat).sum::<i64>(), table.total - unseen);
            prop_assert!(table.rows.iter().all(|r| r.flat <= r.cum && r.cum <= table.total));
        }
    }
}
