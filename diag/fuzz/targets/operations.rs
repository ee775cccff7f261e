//! Everything that is done with profiles of others: merged, compared, filtered, regrouped, listed, judged, written and drawn.
//! Profiles are made of the bytes, so that the fuzzer need not find its way through an encoding first.
#![no_main]

use diag::leak;
use diag::profile::cohorts::CaptureSeries;
use diag::profile::diff::{DiffOptions, RowBy, diff, origin_warnings, trend};
use diag::profile::table::{SortBy, TopOptions, peek, top};
use diag::profile::tree::{CallTree, Sides, TreeOptions};
use diag::profile::{
    Filter, Grouping, Pattern, Profile, delta, estimate, firefox, folded, merge, pprof, regroup, slabs,
    speedscope,
};
use diag_fuzz::bytes::Bytes;
use diag_fuzz::printable;
use diag_fuzz::profiles::profile;
use flamegraphs::{Options, RuntimeFrames, StackOrder};
use libfuzzer_sys::fuzz_target;

const PATTERNS: [&str; 6] = ["", "shop", "^main$", "(?i)TOKIO|alloc", "\\.rs$", "."];
const LABELS: [&str; 5] =
    ["age=.", "bytes=:4096", "thread=worker|main", "born_at=-9223372036854775808:0", "x=^$"];

fuzz_target!(|input: &[u8]| {
    let bytes = &mut Bytes(input);
    let (Some(one), Some(two)) = (profile(bytes), profile(bytes)) else { return };
    let third = profile(bytes);
    let again = pprof::decode(&pprof::encode(&one)).expect("what was encoded decodes");
    assert_eq!(again.sample_types(), one.sample_types());
    alone(&one, bytes);
    together(&one, &two, third.as_ref(), bytes);
    drawn(&one, &two, bytes);
});

fn grouping(bytes: &mut Bytes<'_>) -> Grouping {
    bytes.of(&[
        Grouping::Function,
        Grouping::File,
        Grouping::Module,
        Grouping::Line,
        Grouping::Address,
        Grouping::Label("age".to_owned()),
    ])
}

fn alone(profile: &Profile, bytes: &mut Bytes<'_>) {
    let pattern =
        |bytes: &mut Bytes<'_>| bytes.flag().then(|| Pattern::new(bytes.of(&PATTERNS)).expect("a pattern"));
    let filter = Filter {
        focus: pattern(bytes),
        ignore: pattern(bytes),
        hide: pattern(bytes),
        show: pattern(bytes),
        hide_runtime: bytes.flag(),
        label_focus: (0..bytes.below(2)).map(|_| bytes.of(&LABELS).parse().expect("a condition")).collect(),
        label_ignore: (0..bytes.below(2)).map(|_| bytes.of(&LABELS).parse().expect("a condition")).collect(),
    };
    let grouping = grouping(bytes);
    let column = bytes.below(profile.sample_types().len());
    let _ = (filter.apply(profile), regroup(profile, &grouping));
    let options = TopOptions {
        grouping: grouping.clone(),
        sort: if bytes.flag() { SortBy::Flat } else { SortBy::Cum },
        limit: bytes.flag().then(|| bytes.below(4)),
        hide_runtime: bytes.flag(),
    };
    let _ = top(profile, column, &options);
    let _ = peek(profile, column, &grouping, &Pattern::new(bytes.of(&PATTERNS)).expect("a pattern"));
    let trees = TreeOptions { grouping, max_frames: bytes.flag().then(|| bytes.below(8)) };
    if let Ok(tree) = CallTree::build(Sides::One(profile, column), &trees) {
        tree.ids().for_each(|id| drop((tree.label(id).into_owned(), tree.children_by_weight(id))));
        let _ = tree.depth();
    }
    if let Ok(estimator) = estimate::Estimator::new(profile, "inuse_space") {
        let _ = estimator.of(profile.samples());
    }
    let _ = (slabs::old_objects(profile, &[0, 1, 100, 4096], 0.5, 3), slabs::own_pages_bytes(profile));
    let _ =
        (folded::write(profile, column), speedscope::write(profile, "fuzz"), firefox::write(profile, "fuzz"));
}

fn together(one: &Profile, two: &Profile, third: Option<&Profile>, bytes: &mut Bytes<'_>) {
    let all: Vec<&Profile> = [one, two].into_iter().chain(third).collect();
    if let Ok(merged) = merge(&all) {
        pprof::decode(&pprof::encode(&merged)).expect("what was merged is a profile");
    }
    if let Ok(change) = delta(one, two) {
        pprof::decode(&pprof::encode(&change)).expect("a difference is a profile");
    }
    for rows in [RowBy::Site, RowBy::SiteLine, RowBy::Stack] {
        let options = DiffOptions { kind: None, rows, limit: bytes.flag().then_some(3) };
        if let Ok(diff) = diff(one, two, &options) {
            serde_json::to_string(&diff).expect("a difference is JSON");
        }
        let _ = trend(&all, &options);
    }
    let _ = origin_warnings(one, two);
    let _ = CallTree::pair(one, two, "inuse_space");
    let _ = CaptureSeries::new(&all);
    if let Ok(report) = leak::judge_captures(&all, &leak::Options::default()) {
        serde_json::to_string(&report).expect("a verdict is JSON");
        printable(&report.to_string());
    }
}

fn drawn(one: &Profile, two: &Profile, bytes: &mut Bytes<'_>) {
    let options = Options {
        title: bytes.text(12),
        frame_budget: 2 + bytes.below(40),
        max_depth: 8,
        group_by_label: bytes.flag().then(|| "age".to_owned()),
        order: if bytes.flag() { StackOrder::FromRoot } else { StackOrder::FromLeaf },
        runtime: bytes.of(&[RuntimeFrames::Fold, RuntimeFrames::Show, RuntimeFrames::Hide]),
        ..Options::default()
    };
    let pictures = match bytes.below(4) {
        0 => vec![flamegraphs::render_svg(one, &options), flamegraphs::render_diff_svg(one, two, &options)],
        1 => vec![flamegraphs::render_html(one, &options), flamegraphs::render_diff_html(one, two, &options)],
        _ => {
            for base in [None, Some(one)] {
                if let Ok(flame) = flamegraphs::flame(base, two, &options) {
                    serde_json::to_string(&flame).expect("a flame graph is JSON");
                }
            }
            return;
        }
    };
    // XML has no place for control characters.
    pictures.into_iter().flatten().for_each(|picture| printable(&picture.replace('\r', "")));
}
