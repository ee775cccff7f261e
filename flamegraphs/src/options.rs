//! What a caller chooses.

/// How to draw. `Options::default()` suits a browser; change single fields with `..Options::default()`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What was profiled: a service name, URL or file. Empty: left out.
    pub title: String,
    /// What the base of a difference is called besides its time, for instance a file name. Empty: left out.
    pub base_name: String,
    /// The same for the new side.
    pub new_name: String,
    /// Which sample type gives the widths, as an index; `None`: the profile's default.
    pub type_index: Option<usize>,
    /// At most this many frames are drawn, the heaviest; the rest is summed up in frames called
    /// "(n smaller stacks)". At least 2.
    pub frame_budget: usize,
    /// Stacks deeper than this lose their middle; root and leaf stay. At least 8.
    pub max_depth: usize,
    /// What colour means. Differences have their own colours.
    pub colors: Colors,
    /// Which way stacks grow.
    pub direction: Direction,
    /// Which end of the stacks is merged first.
    pub order: StackOrder,
    /// What width means in a difference.
    pub diff_width: DiffWidth,
    /// What becomes of frames of the standard library, async runtimes, web frameworks and the allocator.
    pub runtime: RuntimeFrames,
    /// Puts a frame with the value of this label (`age`, `thread`) below each stack, so that stacks are grouped by it.
    pub group_by_label: Option<String>,
    /// For a strict content security policy: the scripts and styles carry this nonce. There is no other inline code;
    /// `default-src 'none'; script-src 'nonce-N'; style-src 'nonce-N'` suffices. Letters, digits and `+/=_-` are
    /// kept, the rest is dropped.
    pub csp_nonce: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            title: String::new(),
            base_name: String::new(),
            new_name: String::new(),
            type_index: None,
            frame_budget: 4_000,
            max_depth: 256,
            colors: Colors::default(),
            direction: Direction::default(),
            order: StackOrder::default(),
            diff_width: DiffWidth::default(),
            runtime: RuntimeFrames::default(),
            group_by_label: None,
            csp_nonce: None,
        }
    }
}

impl Options {
    pub(crate) fn nonce(&self) -> Option<String> {
        let safe = |c: &char| c.is_ascii_alphanumeric() || "+/=_-".contains(*c);
        self.csp_nonce.as_ref().map(|n| n.chars().filter(safe).collect())
    }
}

/// What the colour of a frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colors {
    /// Whose code it is: own, a dependency's, the standard library's, native, unknown.
    #[default]
    Origin,
    /// Which crate it is.
    Crate,
}

/// Which way stacks grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Downwards: the root is at the top, where a page begins.
    #[default]
    Icicle,
    /// Upwards: the root is at the bottom.
    Flame,
}

/// Which end of the stacks is merged first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StackOrder {
    /// From `main` to the place of the allocation: who called what.
    #[default]
    FromRoot,
    /// From the place of the allocation to `main`: what is called by whom.
    FromLeaf,
}

/// What the width of a frame means in a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DiffWidth {
    /// The amount of change, grown and shrunk added up. What did not change is not drawn, so that a small leak in
    /// a large heap is wide.
    #[default]
    Change,
    /// The larger of the two sides: what did not change is drawn in light grey and gives the context.
    Larger,
}

/// What becomes of frames that only run other code. In an async service they are nine of ten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RuntimeFrames {
    /// A run of them becomes one frame that names the crates. The function that other code called stays, and so do
    /// the last ones of a stack without any other code.
    #[default]
    Fold,
    /// All are drawn.
    Show,
    /// None is drawn. A stack of nothing else gets a frame that says so.
    Hide,
}
