//! The stacks of a recording as one call tree, and how often each was seen.
//!
//! About 21 bytes a node and 28 a row; both are capped, and what finds no place is counted under [`Calls::OVERFLOW`].

use std::hash::BuildHasher as _;

use hashbrown::hash_table::{Entry, HashTable};
use hashbrown::{DefaultHashBuilder, HashMap, hash_map};

/// Distinct calls kept: 3 MiB.
const NODES: usize = 1 << 17;
/// Distinct rows kept: 2 MiB.
const ROWS: usize = 1 << 16;

/// A call: an address below its caller.
struct Node {
    parent: u32,
    address: u64,
}

/// What is counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Row {
    /// Leaf of the stack.
    pub(super) node: u32,
    pub(super) thread: u32,
    pub(super) context: u32,
    /// State of the thread, for wall profiles.
    pub(super) state: State,
}

/// Whether a thread ran, as the kernel tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(super) enum State {
    #[default]
    Running,
    Waiting,
    /// In an uninterruptible wait: mostly for a disk.
    Disk,
}

/// How much was seen of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sum {
    pub(super) samples: u64,
    /// Time they stand for, before it is weighted.
    pub(super) ns: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.ns += other.ns;
    }
}

pub(super) struct Calls {
    nodes: Vec<Node>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    rows: HashMap<Row, Sum>,
    overflow: u64,
}

impl Calls {
    /// Above every root.
    const ROOT: u32 = u32::MAX;
    /// Stands for stacks that found no place.
    pub(super) const OVERFLOW: u32 = u32::MAX - 1;
    /// Stands for the stack of a thread that could not be asked.
    pub(super) const NO_ANSWER: u32 = u32::MAX - 2;

    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            rows: HashMap::new(),
            overflow: 0,
        }
    }

    /// The node of a stack, innermost frame first.
    pub(super) fn node(&mut self, leaf_first: &[u64]) -> u32 {
        let mut parent = Self::ROOT;
        for &address in leaf_first.iter().rev() {
            let hash = self.hasher.hash_one((parent, address));
            let nodes = &self.nodes;
            let get = |at: u32| nodes.get(at as usize).map_or((Self::ROOT, 0), |n| (n.parent, n.address));
            let entry = self.index.entry(
                hash,
                |at| get(*at) == (parent, address),
                |at| self.hasher.hash_one(get(*at)),
            );
            parent = match entry {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(_) if nodes.len() >= NODES => return Self::OVERFLOW,
                Entry::Vacant(vacant) => {
                    let new = nodes.len() as u32;
                    vacant.insert(new);
                    self.nodes.push(Node { parent, address });
                    new
                }
            };
        }
        parent
    }

    /// Adds to a row.
    pub(super) fn add(&mut self, row: Row, amount: Sum) {
        if row.node == Self::OVERFLOW {
            self.overflow += amount.samples;
        }
        let rows = self.rows.len();
        match self.rows.entry(row) {
            hash_map::Entry::Occupied(mut sum) => *sum.get_mut() += amount,
            hash_map::Entry::Vacant(place) if rows < ROWS => _ = place.insert(amount),
            hash_map::Entry::Vacant(_) => {
                self.overflow += amount.samples;
                let rest = Row { node: Self::OVERFLOW, thread: 0, context: 0, state: row.state };
                *self.rows.entry(rest).or_default() += amount;
            }
        }
    }

    /// The stack of a node, innermost first; empty for [`OVERFLOW`](Self::OVERFLOW).
    pub(super) fn stack(&self, node: u32) -> impl Iterator<Item = u64> {
        let mut at = node;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.parent;
            Some(node.address)
        })
    }

    /// All rows, in a reproducible order.
    pub(super) fn rows(&self) -> Vec<(Row, Sum)> {
        let mut rows: Vec<(Row, Sum)> = self.rows.iter().map(|(row, sum)| (*row, *sum)).collect();
        rows.sort_unstable_by_key(|(row, _)| *row);
        rows
    }

    /// Samples that found no place.
    pub(super) fn overflow(&self) -> u64 {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(node: u32, thread: u32) -> Row {
        Row { node, thread, context: 0, state: State::Running }
    }

    fn sum(ns: u64) -> Sum {
        Sum { samples: 1, ns }
    }

    fn total(calls: &Calls) -> u64 {
        calls.rows().iter().map(|(_, sum)| sum.ns).sum()
    }

    #[test]
    fn stacks_come_out_as_they_went_in() {
        let mut calls = Calls::new();
        let stacks: [&[u64]; 4] = [&[3, 2, 1], &[4, 2, 1], &[1], &[2, 1, 1]];
        for (i, stack) in stacks.iter().enumerate() {
            let node = calls.node(stack);
            assert_eq!(calls.node(stack), node);
            calls.add(row(node, 7), sum(i as u64 + 1));
            calls.add(row(node, 7), sum(10));
            assert_eq!(calls.stack(node).collect::<Vec<_>>(), *stack);
        }
        assert_eq!(total(&calls), 50);
        assert_eq!(calls.rows().len(), 4);
        assert_eq!(calls.overflow(), 0);
    }

    #[test]
    fn countless_stacks_are_counted_and_bounded() {
        let mut calls = Calls::new();
        for i in 0..NODES as u64 + 1_000 {
            let node = calls.node(&[i]);
            calls.add(row(node, 1), sum(1));
        }
        assert!(calls.rows().len() <= ROWS + 1 && calls.nodes.len() == NODES);
        assert_eq!(total(&calls), NODES as u64 + 1_000, "no time is lost");
        assert!(calls.overflow() >= 1_000);
        assert_eq!(calls.stack(Calls::OVERFLOW).count(), 0);
    }
}
