use super::*;
use crate::profile::testing::{Stacks, named};

fn labels(tree: &CallTree, id: NodeId, depth: usize, out: &mut Vec<String>) {
    let node = tree.node(id);
    out.push(format!(
        "{}{} own {}/{} total {}/{}",
        "  ".repeat(depth),
        tree.label(id),
        node.own.base,
        node.own.new,
        node.total.base,
        node.total.new
    ));
    for child in tree.children(id) {
        labels(tree, child, depth + 1, out);
    }
}

fn drawn(tree: &CallTree) -> Vec<String> {
    let mut out = Vec::new();
    labels(tree, NodeId::ROOT, 0, &mut out);
    out
}

#[test]
fn one_profile_root_first() {
    let profile = named(&[("main;b;c", 5), ("main;a", 3), ("main;b", 2), ("", 1)]);
    let tree = CallTree::new(&profile, 0).unwrap();
    assert_eq!(
        drawn(&tree),
        [
            "root own 0/1 total 0/11",
            "  main own 0/0 total 0/10",
            "    a own 0/3 total 0/3",
            "    b own 0/2 total 0/7",
            "      c own 0/5 total 0/5",
        ]
    );
    assert!(!tree.is_pair());
    assert_eq!(tree.depth(), 3);
    let main = tree.children(NodeId::ROOT).next().unwrap();
    let by_weight: Vec<_> =
        tree.children_by_weight(main).into_iter().map(|c| tree.label(c).into_owned()).collect();
    assert_eq!(by_weight, ["b", "a"]);
}

#[test]
fn a_pair_has_vanished_and_new_stacks() {
    let base = named(&[("main;gone", 4), ("main;kept", 2)]);
    let new = named(&[("main;kept", 3), ("main;fresh", 9)]);
    let tree = CallTree::pair(&base, &new, "inuse_space").unwrap();
    assert_eq!(
        drawn(&tree),
        [
            "root own 0/0 total 6/12",
            "  main own 0/0 total 6/12",
            "    fresh own 0/9 total 0/9",
            "    gone own 4/0 total 4/0",
            "    kept own 2/3 total 2/3",
        ]
    );
    assert_eq!(tree.node(NodeId::ROOT).total.delta(), 6);
}

#[test]
fn inlined_frames_are_expanded_and_recursion_stays() {
    let profile = Stacks::new(&["inuse_space/bytes"]).add("main;f;f;g|inl|ined", &[7]).build();
    let tree = CallTree::new(&profile, 0).unwrap();
    let mut at = NodeId::ROOT;
    let mut path = Vec::new();
    while let Some(child) = tree.children(at).next() {
        path.push(tree.label(child).into_owned());
        at = child;
    }
    assert_eq!(path, ["main", "f", "f", "g", "inl", "ined"]);
    assert_eq!(tree.node(at).own.new, 7);
}

#[test]
fn the_order_of_samples_does_not_matter() {
    let one = named(&[("m;a;x", 1), ("m;b", 2), ("m;a;y", 3)]);
    let other = named(&[("m;a;y", 3), ("m;a;x", 1), ("m;b", 2)]);
    let (one, other) = (CallTree::new(&one, 0).unwrap(), CallTree::new(&other, 0).unwrap());
    assert_eq!(drawn(&one), drawn(&other));
}

fn by(profile: &Profile, grouping: Grouping) -> CallTree {
    CallTree::build(Sides::One(profile, 0), &TreeOptions { grouping, ..Default::default() }).unwrap()
}

#[test]
fn groups() {
    let profile = named(&[("std::rt::start;my::main;my::f;alloc::vec::push", 5)]);
    let tree = by(&profile, Grouping::Module);
    assert_eq!(
        drawn(&tree),
        [
            "root own 0/0 total 0/5",
            "  std own 0/0 total 0/5",
            "    my own 0/0 total 0/5",
            "      alloc own 0/5 total 0/5",
        ]
    );
    let profile = Stacks::new(&["inuse_space/bytes"])
        .add_labelled("main;f", &[("age", "0-10s")], &[5])
        .add("main;f", &[2])
        .build();
    let tree = by(&profile, Grouping::Label("age".into()));
    let top: Vec<_> = tree.children(NodeId::ROOT).map(|c| tree.label(c).into_owned()).collect();
    assert_eq!(top, ["(no age)", "0-10s"]);
}

#[test]
fn a_budget_keeps_the_heaviest_and_all_totals() {
    let profile = named(&[("m;big;x", 100), ("m;big;y", 1), ("m;s1", 3), ("m;s2", 2), ("m;mid", 50)]);
    let tree = within(&profile, 4);
    assert_eq!(
        drawn(&tree),
        [
            "root own 0/0 total 0/156",
            "  m own 0/0 total 0/156",
            "    big own 0/0 total 0/101",
            "      x own 0/100 total 0/100",
            "      (1 smaller) own 0/1 total 0/1",
            "    mid own 0/50 total 0/50",
            "    (2 smaller) own 0/5 total 0/5",
        ]
    );
    assert_eq!(
        drawn(&within(&profile, 1)),
        ["root own 0/0 total 0/156", "  m own 0/0 total 0/156", "    (4 smaller) own 0/156 total 0/156",]
    );
    assert_eq!(
        drawn(&within(&profile, 0)),
        ["root own 0/0 total 0/156", "  (1 smaller) own 0/156 total 0/156"]
    );
    assert_eq!(drawn(&within(&profile, 100)), drawn(&CallTree::new(&profile, 0).unwrap()));
}

fn within(profile: &Profile, max_frames: usize) -> CallTree {
    let options = TreeOptions { max_frames: Some(max_frames), ..Default::default() };
    CallTree::build(Sides::One(profile, 0), &options).unwrap()
}

#[test]
fn a_wrong_type_is_named() {
    let profile = named(&[("m", 1)]);
    let error = CallTree::new(&profile, 3).unwrap_err().to_string();
    assert_eq!(error, "the profile has no sample type number 3; it has inuse_space/bytes");
    let error = CallTree::pair(&profile, &profile, "cpu").unwrap_err().to_string();
    assert_eq!(error, "the profile has no sample type cpu; it has inuse_space/bytes");
}
