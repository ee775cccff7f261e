//! Samples folded into a call tree, root first, one node a distinct path of function names.
//!
//! Paths are collected and sorted, then each sample continues the path of the one before it, so that no look-up is
//! needed. Nodes are in preorder: a parent comes before its children, and passes over the tree are loops, not
//! recursion. Cost: 4 bytes a frame of each sample, 48 bytes a node. Sums saturate.

use diag::profile::frames::{address_name, is_runtime, module_of_name};
use diag::profile::{LocationId, Profile, Sample};
use hashbrown::HashMap;

use crate::caption::Columns;
use crate::options::{DiffWidth, Options, RuntimeFrames, StackOrder};
use crate::origin::{self, Origin};
use crate::runtime::{self, Part};

/// Values of a node: the drawn column on both sides, and the one that goes with it (objects of bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Amounts {
    pub(crate) base: i64,
    pub(crate) new: i64,
    pub(crate) base_also: i64,
    pub(crate) new_also: i64,
}

impl Amounts {
    pub(crate) fn add(&mut self, other: &Amounts) {
        self.base = self.base.saturating_add(other.base);
        self.new = self.new.saturating_add(other.new);
        self.base_also = self.base_also.saturating_add(other.base_also);
        self.new_also = self.new_also.saturating_add(other.new_also);
    }

    pub(crate) fn subtract(&mut self, other: &Amounts) {
        self.base = self.base.saturating_sub(other.base);
        self.new = self.new.saturating_sub(other.new);
        self.base_also = self.base_also.saturating_sub(other.base_also);
        self.new_also = self.new_also.saturating_sub(other.new_also);
    }

    /// New minus base.
    pub(crate) fn delta(&self) -> i64 {
        self.new.saturating_sub(self.base)
    }

    /// New minus base of the column that goes along.
    pub(crate) fn delta_also(&self) -> i64 {
        self.new_also.saturating_sub(self.base_also)
    }
}

/// Which side of a difference a profile is. A single profile is the new side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Base,
    New,
}

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// One profile; width is the value.
    Single,
    /// One profile that is a difference already; width is the amount of change.
    Signed,
    /// Two profiles.
    Diff(DiffWidth),
}

impl Mode {
    /// The width of a node's own values.
    fn width(self, own: &Amounts) -> u64 {
        match self {
            Mode::Single => u64::try_from(own.new).unwrap_or(0),
            Mode::Signed | Mode::Diff(DiffWidth::Change) => own.delta().unsigned_abs(),
            Mode::Diff(DiffWidth::Larger) => own.base.unsigned_abs().max(own.new.unsigned_abs()),
        }
    }

    pub(crate) fn is_difference(self) -> bool {
        self != Mode::Single
    }
}

/// A function as it occurs in the profiles.
#[derive(Debug)]
pub(crate) struct Name {
    /// As found; untrusted.
    pub(crate) raw: String,
    /// Source file, or empty; untrusted.
    pub(crate) file: String,
    /// Not a function but a remark of ours.
    pub(crate) remark: bool,
    pub(crate) origin: Origin,
    /// Whether it only runs other code.
    pub(crate) runtime: bool,
    /// The fewest and most frames that this one stands for.
    pub(crate) folded: Option<(usize, usize)>,
}

/// A node. `amounts` and `width` include the children once the tree is finished.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: u32,
    pub(crate) name: u32,
    pub(crate) amounts: Amounts,
    pub(crate) width: u64,
}

/// The call tree. Node 0 is the root, which stands for everything.
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: Vec<Name>,
    pub(crate) columns: Columns,
    pub(crate) mode: Mode,
    /// Samples whose stack lost its middle.
    pub(crate) too_deep: u64,
    name_ids: HashMap<String, u32>,
    /// Until the tree is folded: all paths in one, and where each sample's is.
    paths: Vec<u32>,
    rows: Vec<Row>,
    order: StackOrder,
    max_depth: usize,
    runtime: RuntimeFrames,
    group_by_label: Option<String>,
    path: Vec<u32>,
}

/// A sample to be folded in.
struct Row {
    path: std::ops::Range<usize>,
    own: Amounts,
}

impl Tree {
    pub(crate) fn new(options: &Options, columns: Columns) -> Self {
        Self {
            nodes: vec![Node { parent: 0, name: u32::MAX, amounts: Amounts::default(), width: 0 }],
            names: Vec::new(),
            columns,
            mode: Mode::Single,
            too_deep: 0,
            name_ids: HashMap::new(),
            paths: Vec::new(),
            rows: Vec::new(),
            order: options.order,
            max_depth: options.max_depth.max(8),
            runtime: options.runtime,
            group_by_label: options.group_by_label.clone(),
            path: Vec::new(),
        }
    }

    /// Adds the samples of a profile. `column` and `also` are indices of its sample types.
    pub(crate) fn add(&mut self, profile: &Profile, column: usize, also: Option<usize>, side: Side) {
        let mut frames = Frames::new(profile);
        for sample in profile.samples() {
            let value = sample.values.get(column).copied().unwrap_or(0);
            let value_also = also.and_then(|i| sample.values.get(i)).copied().unwrap_or(0);
            if value == 0 && value_also == 0 {
                continue;
            }
            self.fill_path(profile, &sample, &mut frames);
            let start = self.paths.len();
            self.paths.extend_from_slice(&self.path);
            let own = match side {
                Side::Base => Amounts { base: value, base_also: value_also, ..Amounts::default() },
                Side::New => Amounts { new: value, new_also: value_also, ..Amounts::default() },
            };
            self.rows.push(Row { path: start..self.paths.len(), own });
        }
    }

    /// Makes nodes of the samples that were added.
    pub(crate) fn fold(&mut self) {
        let (paths, mut rows) = (std::mem::take(&mut self.paths), std::mem::take(&mut self.rows));
        self.name_ids = HashMap::new();
        let path = |row: &Row| paths.get(row.path.clone()).unwrap_or_default();
        rows.sort_unstable_by(|a, b| path(a).cmp(path(b)));
        let mut last: &[u32] = &[];
        // The nodes of the last path; the root is not among them.
        let mut open: Vec<u32> = Vec::new();
        for row in &rows {
            let this = path(row);
            let shared = this.iter().zip(last).take_while(|(a, b)| a == b).count();
            open.truncate(shared);
            for &name in this.iter().skip(shared) {
                let parent = open.last().copied().unwrap_or(0);
                open.push(self.nodes.len() as u32);
                self.nodes.push(Node { parent, name, amounts: Amounts::default(), width: 0 });
            }
            if let Some(node) = self.nodes.get_mut(open.last().copied().unwrap_or(0) as usize) {
                node.amounts.add(&row.own);
            }
            last = this;
        }
    }

    /// Whether some path has a negative value of its own. After [`fold`](Self::fold), before
    /// [`finish`](Self::finish) only.
    pub(crate) fn has_negative(&self) -> bool {
        self.nodes.iter().any(|n| n.amounts.new < 0)
    }

    /// Turns own values into totals, and gives widths.
    pub(crate) fn finish(&mut self, mode: Mode) {
        self.mode = mode;
        for node in &mut self.nodes {
            node.width = mode.width(&node.amounts);
        }
        for i in (1..self.nodes.len()).rev() {
            let (before, rest) = self.nodes.split_at_mut(i);
            if let Some(child) = rest.first()
                && let Some(parent) = before.get_mut(child.parent as usize)
            {
                parent.amounts.add(&child.amounts);
                parent.width = parent.width.saturating_add(child.width);
            }
        }
    }

    pub(crate) fn root(&self) -> &Node {
        // The root is there from the start.
        &self.nodes[0]
    }

    /// The names of a sample's frames, in drawing order, into `self.path`.
    fn fill_path(&mut self, profile: &Profile, sample: &Sample<'_>, frames: &mut Frames) {
        self.path.clear();
        for &location in profile.stack(sample.stack).iter().rev() {
            let range = frames.names_of(profile, location, self);
            self.path.extend_from_slice(frames.flat.get(range).unwrap_or_default());
        }
        if self.path.is_empty() {
            let name = self.remark("(no stack)".to_owned());
            self.path.push(name);
        }
        match self.runtime {
            RuntimeFrames::Show => {}
            RuntimeFrames::Hide => self.hide_runtime(),
            RuntimeFrames::Fold => self.fold_runtime(),
        }
        self.cut_middle();
        if self.order == StackOrder::FromLeaf {
            self.path.reverse();
        }
        if let Some(key) = self.group_by_label.clone() {
            let group = label_text(profile, sample, &key);
            let name = self.remark(group);
            self.path.insert(0, name);
        }
    }

    fn is_runtime(&self, name: u32) -> bool {
        self.names.get(name as usize).is_some_and(|n| n.runtime)
    }

    fn hide_runtime(&mut self) {
        let names = &self.names;
        self.path.retain(|&n| names.get(n as usize).is_none_or(|n| !n.runtime));
        if self.path.is_empty() {
            let name = self.remark("(only runtime frames)".to_owned());
            self.path.push(name);
        }
    }

    fn fold_runtime(&mut self) {
        let flags: Vec<bool> = self.path.iter().map(|&n| self.is_runtime(n)).collect();
        let path = std::mem::take(&mut self.path);
        for part in runtime::parts(&flags) {
            match part {
                Part::Frame(i) => self.path.extend(path.get(i)),
                Part::Run(from, to) => {
                    let run = path.get(from..to).unwrap_or_default();
                    let name = self.run_name(run);
                    self.path.push(name);
                }
            }
        }
    }

    fn run_name(&mut self, run: &[u32]) -> u32 {
        let known = run.iter().filter_map(|&n| self.names.get(n as usize));
        let text = runtime::text(known.map(|n| module_of_name(&n.raw)));
        let id = self.remark(text);
        if let Some(name) = self.names.get_mut(id as usize) {
            name.origin = Origin::Runtime;
            let (fewest, most) = name.folded.unwrap_or((run.len(), run.len()));
            name.folded = Some((fewest.min(run.len()), most.max(run.len())));
        }
        id
    }

    fn cut_middle(&mut self) {
        let (depth, max) = (self.path.len(), self.max_depth);
        if depth <= max {
            return;
        }
        self.too_deep += 1;
        let name = self.remark("(frames left out: the stack is too deep)".to_owned());
        let head = max / 2;
        let tail = max - head - 1;
        self.path.splice(head..depth - tail, [name]);
    }

    fn remark(&mut self, text: String) -> u32 {
        self.intern(text, String::new, |_, _| Origin::Unknown, true)
    }

    fn intern(
        &mut self,
        raw: String,
        file: impl FnOnce() -> String,
        origin: impl FnOnce(&str, &str) -> Origin,
        remark: bool,
    ) -> u32 {
        if let Some(&id) = self.name_ids.get(&raw) {
            return id;
        }
        let id = self.names.len() as u32;
        let file = file();
        let origin = origin(&raw, &file);
        let runtime = !remark && is_runtime(&raw);
        self.name_ids.insert(raw.clone(), id);
        self.names.push(Name { raw, file, remark, origin, runtime, folded: None });
        id
    }
}

/// The names of each location of one profile, outermost first, looked up once.
struct Frames {
    flat: Vec<u32>,
    ranges: Vec<Option<std::ops::Range<usize>>>,
}

impl Frames {
    fn new(profile: &Profile) -> Self {
        Self { flat: Vec::new(), ranges: vec![None; profile.location_count()] }
    }

    fn names_of(&mut self, profile: &Profile, id: LocationId, tree: &mut Tree) -> std::ops::Range<usize> {
        if let Some(Some(range)) = self.ranges.get(id.index()) {
            return range.clone();
        }
        let start = self.flat.len();
        let location = profile.location(id);
        if location.lines.is_empty() {
            let text = address_name(profile, id);
            self.flat.push(tree.intern(text, String::new, |_, _| Origin::Unknown, false));
        }
        for line in location.lines.iter().rev() {
            let function = profile.function(line.function);
            let raw = profile.str(function.name).to_owned();
            self.flat.push(tree.intern(raw, || profile.str(function.file).to_owned(), origin::of, false));
        }
        let range = start..self.flat.len();
        if let Some(slot) = self.ranges.get_mut(id.index()) {
            *slot = Some(range.clone());
        }
        range
    }
}

fn label_text(profile: &Profile, sample: &Sample<'_>, key: &str) -> String {
    use diag::profile::LabelValue;
    let label = profile.label_set(sample.labels).iter().find(|l| profile.str(l.key) == key);
    match label.map(|l| l.value) {
        Some(LabelValue::Str(s)) => format!("{key} = {}", profile.str(s)),
        Some(LabelValue::Num(n, unit)) => format!("{key} = {n} {}", profile.str(unit)).trim_end().to_owned(),
        None => format!("no {key}"),
    }
}
