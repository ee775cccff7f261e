//! Stacks root first, as ranks of frames, sorted: each node of the tree is a range of them.

use super::{CallTree, Node, NodeId, NodeKind, TreeFrame, Weights};
use crate::profile::frames::{FrameClass, ShownFrame};
use crate::profile::keys::{Grouping, Keys};
use crate::profile::select::{LabelGroups, type_at};
use crate::profile::{Profile, ProfileError, ValueType};

/// A distinct stack of one side.
#[derive(Clone, Copy)]
struct Row {
    /// The first two ranks, each plus one: most comparisons end here.
    head: u64,
    start: usize,
    end: usize,
    values: Weights,
}

/// The sorted stacks of one or two profiles.
pub(super) struct Sorted {
    value_type: ValueType,
    is_pair: bool,
    /// By rank: in the order of name, file and line.
    pub(super) frames: Vec<TreeFrame>,
    ranks: Vec<u32>,
    rows: Vec<Row>,
    /// Sums of magnitudes over the rows before.
    weights_before: Vec<u128>,
}

impl Sorted {
    pub(super) fn new(sides: &[(&Profile, usize)], grouping: &Grouping) -> Result<Self, ProfileError> {
        let mut value_type = None;
        for &(profile, type_index) in sides {
            value_type = Some(type_at(profile, type_index)?.clone());
        }
        let value_type = value_type.ok_or(ProfileError::Invalid { what: "there is no profile" })?;
        let profiles: Vec<&Profile> = sides.iter().map(|s| s.0).collect();
        let keys = Keys::new(&profiles, grouping);
        let labels = LabelGroups::new(&profiles, grouping);
        let (frames, rank_of_key) = rank(&keys, &labels);

        let (mut ranks, mut rows) = (Vec::new(), Vec::new());
        let mut stack = Vec::new();
        for (side, &(profile, type_index)) in sides.iter().enumerate() {
            let is_base = sides.len() == 2 && side == 0;
            for sample in profile.samples() {
                let value = sample.values[type_index];
                if value == 0 {
                    continue;
                }
                keys.stack_into(side, sample.stack, &mut stack);
                let start = ranks.len();
                let group = labels.of(side, sample.labels).map(|group| keys.len() as u32 + group);
                let root_first = group.into_iter().chain(stack.iter().rev().copied());
                ranks.extend(root_first.map(|key| rank_of_key[key as usize]));
                let at = |i: usize| ranks.get(start + i).map_or(0, |r| u64::from(*r) + 1);
                let values =
                    if is_base { Weights { base: value, new: 0 } } else { Weights { base: 0, new: value } };
                rows.push(Row { head: at(0) << 32 | at(1), start, end: ranks.len(), values });
            }
        }
        rows.sort_unstable_by(|a: &Row, b: &Row| {
            (a.head, &ranks[a.start..a.end]).cmp(&(b.head, &ranks[b.start..b.end]))
        });
        let mut weights_before = Vec::with_capacity(rows.len() + 1);
        let mut sum = 0u128;
        weights_before.push(sum);
        for row in &rows {
            sum += u128::from(row.values.base.unsigned_abs()) + u128::from(row.values.new.unsigned_abs());
            weights_before.push(sum);
        }
        Ok(Self { value_type, is_pair: sides.len() == 2, frames, ranks, rows, weights_before })
    }

    /// How many stacks.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The frames of a stack, root first.
    pub(super) fn stack(&self, row: usize) -> &[u32] {
        let row = self.rows[row];
        &self.ranks[row.start..row.end]
    }

    /// The value of a stack.
    pub(super) fn values(&self, row: usize) -> Weights {
        self.rows[row].values
    }

    /// The sum of magnitudes of a range of stacks.
    pub(super) fn weight(&self, from: usize, to: usize) -> u128 {
        self.weights_before[to] - self.weights_before[from]
    }

    /// The root, without what is below.
    pub(super) fn root() -> Node {
        Node {
            kind: NodeKind::Root,
            parent: NodeId::ROOT,
            own: Weights::default(),
            total: Weights::default(),
            end: 1,
        }
    }

    /// Every node.
    pub(super) fn whole(self) -> CallTree {
        let mut nodes = vec![Self::root()];
        // The nodes from below the root to where the last stack ended.
        let mut path: Vec<u32> = Vec::new();
        let mut previous: &[u32] = &[];
        for row in 0..self.len() {
            let stack = self.stack(row);
            let shared = previous.iter().zip(stack).take_while(|(a, b)| a == b).count();
            close(&mut nodes, &mut path, shared);
            for &rank in stack.iter().skip(shared) {
                let parent = NodeId(path.last().copied().unwrap_or(0));
                path.push(nodes.len() as u32);
                nodes.push(Node { kind: NodeKind::Frame(rank), parent, ..Self::root() });
            }
            let at = path.last().copied().unwrap_or(0) as usize;
            nodes[at].own.add(self.values(row));
            previous = stack;
        }
        close(&mut nodes, &mut path, 0);
        self.tree(nodes)
    }

    /// The tree of these nodes, which know their own values and, but for the root, their ends. Sums totals.
    pub(super) fn tree(self, mut nodes: Vec<Node>) -> CallTree {
        nodes[0].end = nodes.len() as u32;
        for node in nodes.iter_mut() {
            node.total = node.own;
        }
        for i in (1..nodes.len()).rev() {
            let (total, parent) = (nodes[i].total, nodes[i].parent.index());
            nodes[parent].total.add(total);
        }
        CallTree { value_type: self.value_type, is_pair: self.is_pair, frames: self.frames, nodes }
    }
}

/// Ends the nodes of the path from this depth on.
fn close(nodes: &mut [Node], path: &mut Vec<u32>, depth: usize) {
    let end = nodes.len() as u32;
    for id in path.drain(depth.min(path.len())..) {
        nodes[id as usize].end = end;
    }
}

/// The frames in the order of name, file and line, and the rank of each key. Keys of label groups follow the others.
fn rank(keys: &Keys<'_>, labels: &LabelGroups) -> (Vec<TreeFrame>, Vec<u32>) {
    let of_frame = |key: u32| TreeFrame { shown: keys.show(key), class: keys.class(key) };
    let of_label = |group: u32| TreeFrame {
        shown: ShownFrame { function: labels.name(group), file: String::new(), line: 0, inlined: false },
        class: FrameClass::User,
    };
    let frames = (0..keys.len() as u32).map(of_frame);
    let mut frames: Vec<(usize, TreeFrame)> =
        frames.chain((0..labels.len() as u32).map(of_label)).enumerate().collect();
    frames.sort_by(|(_, a), (_, b)| {
        let (a, b) = (&a.shown, &b.shown);
        (&a.function, &a.file, a.line).cmp(&(&b.function, &b.file, b.line))
    });
    let mut rank_of_key = vec![0u32; frames.len()];
    for (rank, (key, _)) in frames.iter().enumerate() {
        rank_of_key[*key] = rank as u32;
    }
    (frames.into_iter().map(|(_, frame)| frame).collect(), rank_of_key)
}
