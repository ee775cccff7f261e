//! The call tree of a profile, or of a base and a new one: root first, inlined frames expanded.
//!
//! Derived, for drawing and for tables. Nodes with the same frames from the root are one node. A node's `own` values
//! are those of stacks that end in it, `total` those of everything below too; both in the unit of the sample type.
//! The root has no frame; its totals are the profile's.
//!
//! Order: nodes are numbered depth first, a node before what is below it; siblings are sorted by name, file and line.
//! That order does not depend on the order of samples. Cost: stacks are sorted once; whole trees then cost a step a
//! node, trees within a budget only what the kept nodes cost.

use super::frames::{FrameClass, ShownFrame};
use super::keys::Grouping;
use super::{Profile, ProfileError, ValueType};

mod budget;
mod sorted;

use sorted::Sorted;

/// A node of a [`CallTree`], by number. 0 is the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

impl NodeId {
    /// The root.
    pub const ROOT: NodeId = NodeId(0);

    /// The position in the tree, from 0, depth first.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The values of a node in the base and in the new profile. A tree of one profile has it as `new`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
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
    /// One more than the last node below this one.
    end: u32,
}

/// A frame that nodes share.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TreeFrame {
    /// Name and place in the source.
    pub shown: ShownFrame,
    /// Whose code it is.
    pub class: FrameClass,
}

/// What a tree is made of.
#[derive(Clone, Copy, Debug)]
pub enum Sides<'a> {
    /// One profile and the index of a sample type.
    One(&'a Profile, usize),
    /// A base, a new profile, and the kind of a sample type that both have.
    Pair(&'a Profile, &'a Profile, &'a str),
}

/// How a tree is made.
#[derive(Clone, Debug, Default)]
pub struct TreeOptions {
    /// What a frame is.
    pub grouping: Grouping,
    /// Keep about so many of the heaviest nodes and sum the others, for each parent, in one node of kind
    /// [`NodeKind::Smaller`], so that totals stay. All if `None`.
    ///
    /// Weight is the sum of magnitudes at and below a node, base and new together, so that a kept node's parent is
    /// kept too, also in differences. Ties go to the node nearer to the root, then to the name.
    pub max_frames: Option<usize>,
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
        Self::build(Sides::One(profile, type_index), &TreeOptions::default())
    }

    /// The tree of a base and a new profile, for the sample type of this kind (`inuse_space`) in both, by function.
    ///
    /// # Errors
    /// [`ProfileError::NoSampleType`] when one of them lacks it, [`ProfileError::SampleTypesDiffer`] when the units
    /// differ.
    pub fn pair(base: &Profile, new: &Profile, kind: &str) -> Result<Self, ProfileError> {
        Self::build(Sides::Pair(base, new, kind), &TreeOptions::default())
    }

    /// A tree with another grouping than by function, or with a budget. With [`Grouping::Label`] functions hang
    /// below one node for each value of the label.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`pair`](Self::pair).
    pub fn build(sides: Sides<'_>, options: &TreeOptions) -> Result<Self, ProfileError> {
        let sides = match sides {
            Sides::One(profile, type_index) => vec![(profile, type_index)],
            Sides::Pair(base, new, kind) => {
                let (b, n) = super::select::same_type(base, new, kind)?;
                vec![(base, b), (new, n)]
            }
        };
        let sorted = Sorted::new(&sides, &options.grouping)?;
        Ok(match options.max_frames {
            None => sorted.whole(),
            Some(max_frames) => sorted.within(max_frames),
        })
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

    /// All nodes, depth first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
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
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = self.node(id).end;
        let mut next = id.0 + 1;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(NodeId(next))?;
            next = self.node(child).end;
            Some(child)
        })
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

#[cfg(test)]
mod tests;
