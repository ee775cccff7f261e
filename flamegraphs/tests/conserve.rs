//! Widths against an oracle that sums up paths in a map: nothing is lost or counted twice, whatever the budget.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use flamegraphs::{DiffWidth, Options, StackOrder, render_diff_svg, render_svg};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{Drawn, Stacks, frames};

/// Stacks over few names, so that they share much: root first, with a value.
fn stacks() -> impl Strategy<Value = Vec<(Vec<u8>, i64)>> {
    prop::collection::vec((prop::collection::vec(0u8..4, 1..9), 1i64..5_000), 1..60)
}

fn profile(stacks: &[(Vec<u8>, i64)]) -> diag::profile::Profile {
    let mut all = Stacks::heap(0);
    for (path, bytes) in stacks {
        let names: Vec<String> = path.iter().map(|n| format!("app::f{n}")).collect();
        all.push(&names, 1, *bytes);
    }
    all.done()
}

fn sums(stacks: &[(Vec<u8>, i64)]) -> BTreeMap<&[u8], i64> {
    let mut sums = BTreeMap::new();
    for (path, bytes) in stacks {
        *sums.entry(path.as_slice()).or_default() += bytes;
    }
    sums
}

/// Rows from the root, each with its frames from left to right. Every frame but the root must lie in one of the row
/// above.
fn rows(drawn: &[Drawn]) -> Vec<Vec<&Drawn>> {
    let mut rows: BTreeMap<i64, Vec<&Drawn>> = BTreeMap::new();
    for frame in drawn {
        rows.entry(frame.y).or_default().push(frame);
    }
    let mut rows: Vec<Vec<&Drawn>> = rows.into_values().collect();
    for row in &mut rows {
        row.sort_by_key(|f| f.x);
        for pair in row.windows(2) {
            assert!(pair[0].x + pair[0].width <= pair[1].x, "neighbours overlap");
        }
    }
    for pair in rows.windows(2) {
        for frame in &pair[1] {
            let inside = |p: &&&Drawn| p.x <= frame.x && frame.x + frame.width <= p.x + p.width;
            assert_eq!(pair[0].iter().filter(inside).count(), 1, "{} hangs in the air", frame.text);
        }
    }
    rows
}

fn check(svg: &str, total: u64, budget: usize) {
    let drawn = frames(svg);
    if total == 0 {
        assert!(drawn.is_empty());
        return;
    }
    let rows = rows(&drawn);
    assert!(drawn.len() <= budget.max(2));
    assert_eq!(rows[0].len(), 1);
    assert_eq!(rows[0][0].width, total);
    assert_eq!(rows[1].iter().map(|f| f.width).sum::<u64>(), total);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_picture_is_as_wide_as_its_profile(
        stacks in stacks(), frame_budget in 0usize..80, max_depth in 0usize..12, from_leaf in any::<bool>(),
    ) {
        let order = if from_leaf { StackOrder::FromLeaf } else { StackOrder::FromRoot };
        let options = Options { frame_budget, max_depth, order, ..Options::default() };
        let total = stacks.iter().map(|s| s.1 as u64).sum();
        check(&render_svg(&profile(&stacks), &options).unwrap(), total, frame_budget);
    }

    #[test]
    fn a_difference_is_as_wide_as_the_change(base in stacks(), new in stacks(), frame_budget in 0usize..80) {
        let (before, after) = (sums(&base), sums(&new));
        let paths: std::collections::BTreeSet<&[u8]> = before.keys().chain(after.keys()).copied().collect();
        let sides = |p: &[u8]| (before.get(p).copied().unwrap_or(0), after.get(p).copied().unwrap_or(0));
        let (b, n) = (profile(&base), profile(&new));
        for (diff_width, width) in [
            (DiffWidth::Change, (|(b, n)| b.abs_diff(n)) as fn((i64, i64)) -> u64),
            (DiffWidth::Larger, |(b, n)| b.max(n) as u64),
        ] {
            let options = Options { frame_budget, diff_width, ..Options::default() };
            let total = paths.iter().map(|p| width(sides(p))).sum();
            check(&render_diff_svg(&b, &n, &options).unwrap(), total, frame_budget);
        }
    }

    #[test]
    fn a_delta_profile_gives_the_same_widths_as_its_two_sides(base in stacks(), new in stacks()) {
        let (b, n) = (profile(&base), profile(&new));
        let delta = diag::profile::delta(&b, &n).unwrap();
        let of = |svg: String| -> Vec<(u64, u64, i64)> {
            frames(&svg).iter().map(|f| (f.x, f.width, f.y)).collect()
        };
        let options = Options { frame_budget: usize::MAX, ..Options::default() };
        let has_negative = delta.samples().any(|s| s.values[3] < 0);
        // Without a negative value a delta is a profile like any other.
        prop_assume!(has_negative);
        prop_assert_eq!(
            of(render_svg(&delta, &options).unwrap()),
            of(render_diff_svg(&b, &n, &options).unwrap())
        );
    }
}
