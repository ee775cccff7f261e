//! Chooses the frames that are drawn: the heaviest, at most as many as the budget allows, and one frame for what is
//! left out below each of them. So every value is in exactly one drawn frame's own width, and widths add up.
//!
//! Cost: linear in the nodes of the tree, plus sorting of the chosen ones.

use std::cmp::Reverse;

use crate::tree::{Amounts, Tree};

/// What a drawn frame stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// Everything.
    All,
    /// A function: an index of the tree's names.
    Function(u32),
    /// Left out for the budget: so many stacks.
    Smaller(u64),
}

/// A drawn frame. Frames are in preorder, heaviest child first, left-out ones last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// From 0, the root's.
    pub(crate) depth: usize,
    /// With the frames below.
    pub(crate) amounts: Amounts,
    /// Without the frames below.
    pub(crate) own: Amounts,
    pub(crate) width: u64,
    pub(crate) own_width: u64,
}

/// A frame before ordering: a kept node, or what is left out below one.
struct Candidate {
    kind: Kind,
    /// Position of the parent among the candidates; the root is its own.
    parent: usize,
    amounts: Amounts,
    own: Amounts,
    width: u64,
    own_width: u64,
}

const NOT_KEPT: u32 = u32::MAX;

/// Chooses at most `budget` frames (at least 2) of a finished tree.
pub(crate) fn choose(tree: &Tree, budget: usize) -> Vec<Frame> {
    let kept = heaviest(tree, budget.max(2));
    let mut position = vec![NOT_KEPT; tree.nodes.len()];
    let mut candidates = Vec::with_capacity(kept.len());
    for &i in &kept {
        let Some(node) = tree.nodes.get(i as usize) else { continue };
        if let Some(slot) = position.get_mut(i as usize) {
            *slot = candidates.len() as u32;
        }
        let parent = position.get(node.parent as usize).copied().unwrap_or(0);
        candidates.push(Candidate {
            kind: if i == 0 { Kind::All } else { Kind::Function(node.name) },
            parent: parent as usize,
            amounts: node.amounts,
            own: node.amounts,
            width: node.width,
            own_width: node.width,
        });
    }
    sum_up_rest(tree, &mut position, &mut candidates);
    in_preorder(tree, &candidates)
}

/// The nodes to keep, parents before children. A parent is never lighter than its child and comes first in the tree,
/// so the first nodes by weight and position are a tree themselves.
fn heaviest(tree: &Tree, budget: usize) -> Vec<u32> {
    let mut live_children = vec![0u32; tree.nodes.len()];
    let mut nodes: Vec<(Reverse<u64>, u32)> = Vec::new();
    for (i, node) in tree.nodes.iter().enumerate() {
        if node.width == 0 && i > 0 {
            continue;
        }
        nodes.push((Reverse(node.width), i as u32));
        if i > 0
            && let Some(n) = live_children.get_mut(node.parent as usize)
        {
            *n += 1;
        }
    }
    if nodes.len() > budget {
        nodes.select_nth_unstable(budget);
        nodes.truncate(budget);
    }
    nodes.sort_unstable();
    let mut nodes: Vec<u32> = nodes.into_iter().map(|(_, i)| i).collect();

    // Each kept node with a child left out costs one more frame.
    let (mut frames, mut open, mut count) = (0usize, 0usize, 0usize);
    for &i in &nodes {
        let Some(node) = tree.nodes.get(i as usize) else { continue };
        frames += 1;
        if i > 0
            && let Some(n) = live_children.get_mut(node.parent as usize)
        {
            *n -= 1;
            open -= usize::from(*n == 0);
        }
        open += usize::from(live_children.get(i as usize).is_some_and(|&n| n > 0));
        if frames + open > budget && count > 0 {
            break;
        }
        count += 1;
    }
    nodes.truncate(count);
    nodes
}

/// Adds a candidate below each kept node for its children that were left out, and takes children off `own`.
fn sum_up_rest(tree: &Tree, position: &mut [u32], candidates: &mut Vec<Candidate>) {
    let mut rest_of = vec![NOT_KEPT; candidates.len()];
    for (i, node) in tree.nodes.iter().enumerate().skip(1) {
        if node.width == 0 {
            continue;
        }
        let own_position = position.get(i).copied().unwrap_or(NOT_KEPT);
        let parent = position.get(node.parent as usize).copied().unwrap_or(0) as usize;
        // Below a left-out node the position is that of the sum it went into.
        let in_rest = candidates.get(parent).is_some_and(|c| matches!(c.kind, Kind::Smaller(_)));
        if !in_rest && let Some(c) = candidates.get_mut(parent) {
            c.own.subtract(&node.amounts);
            c.own_width = c.own_width.saturating_sub(node.width);
        }
        if own_position != NOT_KEPT {
            continue;
        }
        let rest = if in_rest {
            parent
        } else {
            let known = rest_of.get(parent).copied().unwrap_or(NOT_KEPT);
            if known == NOT_KEPT {
                candidates.push(Candidate {
                    kind: Kind::Smaller(0),
                    parent,
                    amounts: Amounts::default(),
                    own: Amounts::default(),
                    width: 0,
                    own_width: 0,
                });
                let at = candidates.len() - 1;
                if let Some(slot) = rest_of.get_mut(parent) {
                    *slot = at as u32;
                }
                at
            } else {
                known as usize
            }
        };
        if let Some(slot) = position.get_mut(i) {
            *slot = rest as u32;
        }
        if let Some(c) = candidates.get_mut(rest)
            && !in_rest
        {
            c.amounts.add(&node.amounts);
            c.own = c.amounts;
            c.width = c.width.saturating_add(node.width);
            c.own_width = c.width;
        }
    }
    count_stacks(tree, position, candidates);
}

/// How many stacks went into each sum: those that end in a left-out node with a width of its own.
fn count_stacks(tree: &Tree, position: &[u32], candidates: &mut [Candidate]) {
    let mut own_width: Vec<u64> = tree.nodes.iter().map(|n| n.width).collect();
    for node in tree.nodes.iter().skip(1) {
        if let Some(w) = own_width.get_mut(node.parent as usize) {
            *w = w.saturating_sub(node.width);
        }
    }
    for (&at, &own) in position.iter().zip(&own_width) {
        if own > 0
            && at != NOT_KEPT
            && let Some(Candidate { kind: Kind::Smaller(n), .. }) = candidates.get_mut(at as usize)
        {
            *n += 1;
        }
    }
}

fn in_preorder(tree: &Tree, candidates: &[Candidate]) -> Vec<Frame> {
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); candidates.len()];
    for (i, c) in candidates.iter().enumerate().skip(1) {
        if let Some(list) = children.get_mut(c.parent) {
            list.push(i as u32);
        }
    }
    let order = |&i: &u32| {
        candidates.get(i as usize).map(|c| {
            let (last, name) = match c.kind {
                Kind::Function(n) => (false, tree.names.get(n as usize).map_or("", |n| n.raw.as_str())),
                _ => (true, ""),
            };
            (last, Reverse(c.width), name)
        })
    };
    let mut frames = Vec::with_capacity(candidates.len());
    let mut pending = vec![(0u32, 0usize)];
    while let Some((i, depth)) = pending.pop() {
        let Some(c) = candidates.get(i as usize) else { continue };
        let &Candidate { kind, amounts, own, width, own_width, .. } = c;
        frames.push(Frame { kind, depth, amounts, own, width, own_width });
        if let Some(list) = children.get_mut(i as usize) {
            list.sort_by(|a, b| order(a).cmp(&order(b)));
            pending.extend(list.iter().rev().map(|&child| (child, depth + 1)));
        }
    }
    frames
}
