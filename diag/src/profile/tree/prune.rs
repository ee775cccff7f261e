//! Fewer nodes for drawing: the heaviest stay, the rest is summed.

use super::{CallTree, Node, NodeId, NodeKind};

impl CallTree {
    /// The tree with about `max_frames` of the heaviest frame nodes. What is left out is summed, for each parent, into
    /// one node of kind [`NodeKind::Smaller`] with the number of its dropped direct children, so that totals stay.
    ///
    /// Weight is the sum of magnitudes at and below a node, in base and new together, so a kept node's parent is
    /// kept too, also in differences. Ties are resolved by position in the tree.
    pub fn pruned(&self, max_frames: usize) -> CallTree {
        if self.nodes.len().saturating_sub(1) <= max_frames {
            return self.clone();
        }
        let keep = self.heaviest(max_frames);
        let mut nodes = vec![Node { children: 0..0, ..self.nodes[NodeId::ROOT.index()].clone() }];
        let mut old_of_new = vec![Some(NodeId::ROOT)];
        let mut next = 0;
        while next < nodes.len() {
            let first = nodes.len() as u32;
            if let Some(old) = old_of_new[next] {
                let mut smaller: Option<Node> = None;
                for child in self.children(old) {
                    let node = self.node(child);
                    if keep[child.index()] {
                        nodes.push(Node { parent: NodeId(next as u32), children: 0..0, ..node.clone() });
                        old_of_new.push(Some(child));
                        continue;
                    }
                    let sum = smaller.get_or_insert_with(|| Node {
                        kind: NodeKind::Smaller(0),
                        parent: NodeId(next as u32),
                        own: Default::default(),
                        total: Default::default(),
                        children: 0..0,
                    });
                    let count = match (sum.kind, node.kind) {
                        (NodeKind::Smaller(n), NodeKind::Smaller(more)) => n.saturating_add(more),
                        (NodeKind::Smaller(n), _) => n.saturating_add(1),
                        _ => 1,
                    };
                    sum.kind = NodeKind::Smaller(count);
                    sum.own.add(node.total);
                    sum.total.add(node.total);
                }
                if let Some(sum) = smaller {
                    nodes.push(sum);
                    old_of_new.push(None);
                }
            }
            nodes[next].children = first..nodes.len() as u32;
            next += 1;
        }
        CallTree {
            value_type: self.value_type.clone(),
            is_pair: self.is_pair,
            frames: self.frames.clone(),
            nodes,
        }
    }

    /// Which nodes are among the `max_frames` heaviest. A parent weighs at least as much as a child and has a lower
    /// number, so it is chosen before it.
    fn heaviest(&self, max_frames: usize) -> Vec<bool> {
        let mut weights: Vec<u128> = self
            .nodes
            .iter()
            .map(|n| u128::from(n.own.base.unsigned_abs()) + u128::from(n.own.new.unsigned_abs()))
            .collect();
        for i in (1..self.nodes.len()).rev() {
            weights[self.nodes[i].parent.index()] += weights[i];
        }
        let mut order: Vec<u32> = (1..self.nodes.len() as u32).collect();
        let heaviest_first = |&i: &u32| (std::cmp::Reverse(weights[i as usize]), i);
        if max_frames < order.len() {
            order.select_nth_unstable_by_key(max_frames, heaviest_first);
            order.truncate(max_frames);
        }
        let mut keep = vec![false; self.nodes.len()];
        keep[NodeId::ROOT.index()] = true;
        for i in order {
            keep[i as usize] = true;
        }
        keep
    }
}
