//! The call tree of a profile, or of a base and a new one: root first, inlined frames expanded.
//!
//! Derived, for drawing and for tables. Nodes with the same frames from the root are one node. A node's `own` values
//! are those of stacks that end in it, `total` those of everything below too; both in the unit of the sample type.
//! The root has no frame; its totals are the profile's.
//!
//! Order: nodes are numbered breadth first, children of a node are neighbours, sorted by name, file and line. That
//! order does not depend on the order of samples. Cost: one hash look-up a frame of each distinct stack.

use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use std::hash::BuildHasher;

use super::frames::{FrameClass, ShownFrame};
use super::keys::{Grouping, Keys};
use super::{Profile, ProfileError, ValueType};

mod prune;

/// A node of a [`CallTree`], by number. 0 is the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

impl NodeId {
    /// The root.
    pub const ROOT: NodeId = NodeId(0);

    /// The position in the tree, from 0, breadth first.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The values of a node in the base and in the new profile. A tree of one profile has it as `new`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Weights {
    /// Value in the base; 0 when there is none.
    pub base: i64,
    /// Value in the new, or only, profile.
    pub new: i64,
}

impl Weights {
    /// New minus base, saturating.
    pub fn delta(self) -> i64 {
        self.new.saturating_sub(self.base)
    }

    fn add(&mut self, other: Weights) {
        self.base = self.base.saturating_add(other.base);
        self.new = self.new.saturating_add(other.new);
    }
}

/// What a node stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// The whole profile.
    Root,
    /// A frame: an index for [`CallTree::frames`].
    Frame(u32),
    /// That many sibling subtrees that were too small to be kept, as one.
    Smaller(u32),
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it stands for.
    pub kind: NodeKind,
    /// The caller; the root is its own.
    pub parent: NodeId,
    /// Values of the stacks that end here.
    pub own: Weights,
    /// Values of the stacks that end here or below.
    pub total: Weights,
    children: Range<u32>,
}

/// A frame that nodes share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeFrame {
    /// Name and place in the source.
    pub shown: ShownFrame,
    /// Whose code it is.
    pub class: FrameClass,
}

/// A call tree. See the module.
#[derive(Clone, Debug)]
pub struct CallTree {
    value_type: ValueType,
    is_pair: bool,
    frames: Vec<TreeFrame>,
    nodes: Vec<Node>,
}

impl CallTree {
    /// The tree of one profile, for the sample type at `type_index`, by function.
    ///
    /// # Errors
    /// [`ProfileError::NoSampleType`].
    pub fn new(profile: &Profile, type_index: usize) -> Result<Self, ProfileError> {
        Self::grouped(profile, type_index, &Grouping::Function)
    }

    /// The tree of one profile, with a frame being what `grouping` says. With [`Grouping::Label`] functions hang
    /// below one node for each value of the label.
    ///
    /// # Errors
    /// [`ProfileError::NoSampleType`].
    pub fn grouped(profile: &Profile, type_index: usize, grouping: &Grouping) -> Result<Self, ProfileError> {
        build(&[(profile, type_index)], grouping)
    }

    /// The tree of a base and a new profile, for the sample type of this kind (`inuse_space`) in both, by function.
    ///
    /// # Errors
    /// [`ProfileError::NoSampleType`] when one of them lacks it, [`ProfileError::SampleTypesDiffer`] when the units
    /// differ.
    pub fn pair(base: &Profile, new: &Profile, kind: &str) -> Result<Self, ProfileError> {
        Self::pair_grouped(base, new, kind, &Grouping::Function)
    }

    /// [`pair`](Self::pair), with a frame being what `grouping` says.
    ///
    /// # Errors
    /// As [`pair`](Self::pair).
    pub fn pair_grouped(
        base: &Profile,
        new: &Profile,
        kind: &str,
        grouping: &Grouping,
    ) -> Result<Self, ProfileError> {
        let (b, n) = super::select::same_type(base, new, kind)?;
        build(&[(base, b), (new, n)], grouping)
    }

    /// What the values count.
    pub fn value_type(&self) -> &ValueType {
        &self.value_type
    }

    /// Whether the tree compares two profiles.
    pub fn is_pair(&self) -> bool {
        self.is_pair
    }

    /// How many nodes there are, the root included.
    #[expect(clippy::len_without_is_empty, reason = "there is always a root")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node. `id` must come from this tree.
    #[inline]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The frames that nodes point at.
    pub fn frames(&self) -> &[TreeFrame] {
        &self.frames
    }

    /// The frame of a node; `None` for the root and for sums of smaller nodes.
    pub fn frame(&self, id: NodeId) -> Option<&TreeFrame> {
        match self.node(id).kind {
            NodeKind::Frame(f) => self.frames.get(f as usize),
            NodeKind::Root | NodeKind::Smaller(_) => None,
        }
    }

    /// The text of a node: the function, `(12 smaller)`, or `root`.
    pub fn label(&self, id: NodeId) -> std::borrow::Cow<'_, str> {
        match self.node(id).kind {
            NodeKind::Root => "root".into(),
            NodeKind::Frame(f) => {
                self.frames.get(f as usize).map_or("", |f| f.shown.function.as_str()).into()
            }
            NodeKind::Smaller(n) => format!("({n} smaller)").into(),
        }
    }

    /// The children of a node, by name, file and line; a sum of smaller ones last.
    pub fn children(&self, id: NodeId) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        self.node(id).children.clone().map(NodeId)
    }

    /// The children of a node, heaviest first by the larger magnitude of base and new total; ties by name.
    pub fn children_by_weight(&self, id: NodeId) -> Vec<NodeId> {
        let mut children: Vec<NodeId> = self.children(id).collect();
        children.sort_by_key(|&c| {
            let total = self.node(c).total;
            (std::cmp::Reverse(total.base.unsigned_abs().max(total.new.unsigned_abs())), c)
        });
        children
    }

    /// How deep the deepest node is; the root alone is 0.
    pub fn depth(&self) -> usize {
        let mut depths = vec![0usize; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().skip(1) {
            depths[i] = depths[node.parent.index()] + 1;
        }
        depths.into_iter().max().unwrap_or(0)
    }
}

/// A node while the tree grows: its frame's key, and values.
struct Growing {
    parent: u32,
    key: u32,
    own: Weights,
}

fn build(sides: &[(&Profile, usize)], grouping: &Grouping) -> Result<CallTree, ProfileError> {
    let mut value_type = None;
    for &(profile, type_index) in sides {
        value_type = Some(super::select::type_at(profile, type_index)?.clone());
    }
    let Some(value_type) = value_type else { return Err(ProfileError::Invalid { what: "no profile" }) };
    let profiles: Vec<&Profile> = sides.iter().map(|s| s.0).collect();
    let keys = Keys::new(&profiles, grouping);
    let labels = super::select::LabelGroups::new(&profiles, grouping);
    // Keys of label values follow those of frames.
    let key_of_label = |group: u32| keys.len() as u32 + group;

    let mut nodes = vec![Growing { parent: 0, key: u32::MAX, own: Weights::default() }];
    let mut index = Children::default();
    let mut stack = Vec::new();
    for (side, &(profile, type_index)) in sides.iter().enumerate() {
        for sample in profile.samples() {
            let value = sample.values[type_index];
            if value == 0 {
                continue;
            }
            keys.stack_into(side, sample.stack, &mut stack);
            let mut at = 0u32;
            if let Some(group) = labels.of(side, sample.labels) {
                at = index.child(&mut nodes, at, key_of_label(group));
            }
            for &key in stack.iter().rev() {
                at = index.child(&mut nodes, at, key);
            }
            let is_base = sides.len() == 2 && side == 0;
            nodes[at as usize].own.add(if is_base {
                Weights { base: value, new: 0 }
            } else {
                Weights { base: 0, new: value }
            });
        }
    }
    let frame = |key: u32| match (key as usize).checked_sub(keys.len()) {
        None => TreeFrame { shown: keys.show(key), class: keys.class(key) },
        Some(group) => TreeFrame {
            shown: ShownFrame {
                function: labels.name(group as u32),
                file: String::new(),
                line: 0,
                inlined: false,
            },
            class: FrameClass::User,
        },
    };
    let (frames, nodes) = lay_out(&nodes, frame);
    Ok(CallTree { value_type, is_pair: sides.len() == 2, frames, nodes })
}

/// The children of all nodes, by parent and key.
#[derive(Default)]
struct Children {
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Children {
    fn child(&mut self, nodes: &mut Vec<Growing>, parent: u32, key: u32) -> u32 {
        let hasher = &self.hasher;
        let hash_of = |parent: u32, key: u32| hasher.hash_one(u64::from(parent) << 32 | u64::from(key));
        let entry = self.index.entry(
            hash_of(parent, key),
            |&i| nodes[i as usize].key == key && nodes[i as usize].parent == parent,
            |&i| hash_of(nodes[i as usize].parent, nodes[i as usize].key),
        );
        match entry {
            Entry::Occupied(e) => *e.get(),
            Entry::Vacant(e) => {
                let at = nodes.len() as u32;
                e.insert(at);
                nodes.push(Growing { parent, key, own: Weights::default() });
                at
            }
        }
    }
}

/// Sorts the frames by name and the nodes breadth first, and sums totals.
fn lay_out(grown: &[Growing], frame: impl Fn(u32) -> TreeFrame) -> (Vec<TreeFrame>, Vec<Node>) {
    let mut used: Vec<u32> = grown.iter().skip(1).map(|n| n.key).collect();
    used.sort_unstable();
    used.dedup();
    let mut frames: Vec<(u32, TreeFrame)> = used.into_iter().map(|key| (key, frame(key))).collect();
    let order = |f: &TreeFrame| (f.shown.function.clone(), f.shown.file.clone(), f.shown.line);
    frames.sort_by_cached_key(|(_, f)| order(f));
    let top_key = grown.iter().skip(1).map(|n| n.key as usize + 1).max().unwrap_or(0);
    let mut rank_of_key = vec![0u32; top_key];
    for (rank, (key, _)) in frames.iter().enumerate() {
        rank_of_key[*key as usize] = rank as u32;
    }

    // Children of each grown node, contiguous: counting sort by parent, then by rank within a parent.
    let mut starts = vec![0u32; grown.len() + 1];
    for node in grown.iter().skip(1) {
        starts[node.parent as usize + 1] += 1;
    }
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let mut fill = starts.clone();
    let mut children = vec![0u32; grown.len().saturating_sub(1)];
    for (i, node) in grown.iter().enumerate().skip(1) {
        let slot = &mut fill[node.parent as usize];
        children[*slot as usize] = i as u32;
        *slot += 1;
    }
    let mut nodes = vec![Node {
        kind: NodeKind::Root,
        parent: NodeId::ROOT,
        own: grown.first().map(|n| n.own).unwrap_or_default(),
        total: Weights::default(),
        children: 0..0,
    }];
    let mut old_of_new = vec![0u32];
    let mut next = 0usize;
    while next < nodes.len() {
        let old = old_of_new[next] as usize;
        let mine = &mut children[starts[old] as usize..starts[old + 1] as usize];
        mine.sort_unstable_by_key(|&c| rank_of_key[grown[c as usize].key as usize]);
        let first = nodes.len() as u32;
        for &child in mine.iter() {
            nodes.push(Node {
                kind: NodeKind::Frame(rank_of_key[grown[child as usize].key as usize]),
                parent: NodeId(next as u32),
                own: grown[child as usize].own,
                total: Weights::default(),
                children: 0..0,
            });
            old_of_new.push(child);
        }
        nodes[next].children = first..nodes.len() as u32;
        next += 1;
    }
    sum_totals(&mut nodes);
    (frames.into_iter().map(|(_, f)| f).collect(), nodes)
}

/// Every node's total, from its own value and its children's. Children have higher numbers than their parent.
fn sum_totals(nodes: &mut [Node]) {
    for node in nodes.iter_mut() {
        node.total = node.own;
    }
    for i in (1..nodes.len()).rev() {
        let (total, parent) = (nodes[i].total, nodes[i].parent.index());
        nodes[parent].total.add(total);
    }
}

#[cfg(test)]
mod tests;
