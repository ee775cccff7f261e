//! Trees of the heaviest nodes only, grown from the root, heaviest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::sorted::Sorted;
use super::{CallTree, Node, NodeId, NodeKind, Weights};

/// A node that is kept: a range of stacks, all with the same frames down to `depth`.
struct Kept {
    rank: u32,
    from: usize,
    to: usize,
    depth: usize,
    children: Vec<u32>,
}

/// A node that could be kept. Ordered: heaviest first, then nearer to the root, then as found, which is by name.
type Candidate = (u128, Reverse<usize>, Reverse<u64>, Place);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    parent: u32,
    rank: u32,
    from: usize,
    to: usize,
}

impl Sorted {
    /// The `max_frames` heaviest nodes. A child never weighs more than its parent, so growing from the root finds
    /// them.
    pub(super) fn within(self, max_frames: usize) -> CallTree {
        let mut kept = vec![Kept { rank: 0, from: 0, to: self.len(), depth: 0, children: Vec::new() }];
        let mut candidates = BinaryHeap::new();
        let mut found = 0;
        self.find_children(&kept, 0, &mut candidates, &mut found);
        while kept.len() <= max_frames {
            let Some((_, _, _, place)) = candidates.pop() else { break };
            let id = kept.len() as u32;
            let depth = kept[place.parent as usize].depth + 1;
            kept[place.parent as usize].children.push(id);
            kept.push(Kept { rank: place.rank, from: place.from, to: place.to, depth, children: Vec::new() });
            self.find_children(&kept, id, &mut candidates, &mut found);
        }
        drop(candidates);
        let nodes = self.emit(&mut kept);
        self.tree(nodes)
    }

    /// The first stack of the node that has a frame below it.
    fn below(&self, node: &Kept) -> usize {
        // Stacks that end here are sorted before longer ones.
        (node.from..node.to).find(|&row| self.stack(row).len() > node.depth).unwrap_or(node.to)
    }

    /// Ranges of the node's stacks with the same next frame.
    fn groups(&self, node: &Kept) -> impl Iterator<Item = (u32, usize, usize)> + '_ {
        let (depth, to) = (node.depth, node.to);
        let mut from = self.below(node);
        std::iter::from_fn(move || {
            let &rank = (from < to).then(|| self.stack(from))?.get(depth)?;
            let start = from;
            while from < to && self.stack(from).get(depth) == Some(&rank) {
                from += 1;
            }
            Some((rank, start, from))
        })
    }

    fn find_children(&self, kept: &[Kept], parent: u32, into: &mut BinaryHeap<Candidate>, found: &mut u64) {
        let node = &kept[parent as usize];
        for (rank, from, to) in self.groups(node) {
            *found += 1;
            let place = Place { parent, rank, from, to };
            into.push((self.weight(from, to), Reverse(node.depth + 1), Reverse(*found), place));
        }
    }

    /// The kept nodes depth first, with the rest of each as one node behind its children.
    fn emit(&self, kept: &mut [Kept]) -> Vec<Node> {
        let mut nodes = vec![Self::root()];
        // A kept node and its number in the result, its children not yet written; the last is the next to be.
        let mut open: Vec<(u32, u32, Vec<u32>)> = Vec::new();
        open.push((0, 0, self.start(kept, 0, 0, &mut nodes)));
        while let Some((id, number, children)) = open.last_mut() {
            let (id, number) = (*id, *number);
            match children.pop() {
                Some(child) => {
                    let at = nodes.len() as u32;
                    let kind = NodeKind::Frame(kept[child as usize].rank);
                    nodes.push(Node { kind, parent: NodeId(number), ..Self::root() });
                    let below = self.start(kept, child, at, &mut nodes);
                    open.push((child, at, below));
                }
                None => {
                    self.push_rest(&kept[id as usize], NodeId(number), kept, &mut nodes);
                    nodes[number as usize].end = nodes.len() as u32;
                    open.pop();
                }
            }
        }
        nodes
    }

    /// Sums the stacks that end in a node; gives its children, the first by name last.
    fn start(&self, kept: &mut [Kept], id: u32, number: u32, nodes: &mut [Node]) -> Vec<u32> {
        let node = &kept[id as usize];
        for row in node.from..self.below(node) {
            nodes[number as usize].own.add(self.values(row));
        }
        let mut children = kept[id as usize].children.clone();
        children.sort_unstable_by_key(|&c| Reverse(kept[c as usize].rank));
        children
    }

    /// What is below a node and not kept, in one node.
    fn push_rest(&self, node: &Kept, parent: NodeId, kept: &[Kept], nodes: &mut Vec<Node>) {
        let mut is_kept: Vec<usize> = node.children.iter().map(|&c| kept[c as usize].from).collect();
        is_kept.sort_unstable();
        let mut count = 0u32;
        let mut sum = Weights::default();
        for (_, from, to) in self.groups(node).filter(|(_, from, _)| is_kept.binary_search(from).is_err()) {
            count = count.saturating_add(1);
            (from..to).for_each(|row| sum.add(self.values(row)));
        }
        if count > 0 {
            let end = nodes.len() as u32 + 1;
            nodes.push(Node { kind: NodeKind::Smaller(count), parent, own: sum, end, ..Self::root() });
        }
    }
}
