//! A flame graph as data (`diag.flame/1`), for a viewer that draws it itself: the same frames, words and colours as the
//! pictures, without inferno's layout. About 90 bytes a frame as JSON with its names, where the SVG takes 260.
//!
//! Frames are columns in preorder, heaviest child first: the depths alone give the tree. Names are fit to be shown, but
//! not escaped: a viewer must treat them as text.

use std::hash::Hash;

use hashbrown::HashMap;
use serde::Serialize;

use crate::budget::{Frame, Kind};
use crate::caption::Caption;
use crate::names;
use crate::options::Options;
use crate::paint;
use crate::tree::{Mode, Tree};
use crate::units::count;

/// A flame graph as data.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Flame {
    /// `diag.flame/1`.
    pub schema: &'static str,
    /// What it shows, of whom, and when, in UTC.
    pub title: String,
    /// The sum of it all.
    pub subtitle: String,
    /// What the width of a frame means.
    pub width: String,
    /// Sampling, losses and what is not drawn; whole sentences.
    pub notes: Vec<String>,
    /// What to say when there are no frames.
    pub empty: &'static str,
    /// Colours and what they mean.
    pub legend: Vec<Swatch>,
    /// Whether it is a difference: then frames have a base.
    pub difference: bool,
    /// Kind and unit of the values.
    pub value: Kinds,
    /// Of the values beside them, where there are any.
    pub also: Option<Kinds>,
    /// When the profile was taken, unix nanoseconds.
    pub taken_unix_ns: Option<i64>,
    /// When the base was taken.
    pub base_taken_unix_ns: Option<i64>,
    /// Whole name, short name, source file.
    pub names: Vec<[String; 3]>,
    /// `#rrggbb`, `gone` or `rest`, which are hatched.
    pub fills: Vec<String>,
    /// The frames.
    pub frames: Columns,
}

/// What a column of values counts.
#[derive(Clone, Debug, Serialize)]
pub struct Kinds {
    /// `inuse_space`.
    pub kind: String,
    /// `bytes`.
    pub unit: String,
}

/// A colour of the legend.
#[derive(Clone, Debug, Serialize)]
pub struct Swatch {
    /// As in [`Flame::fills`].
    pub fill: String,
    /// What it means.
    pub text: String,
}

/// A value a frame in each column. Values of frames include those below them.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Columns {
    /// 0 is the root.
    pub depth: Vec<u32>,
    /// Position in [`Flame::names`].
    pub name: Vec<u32>,
    /// Position in [`Flame::fills`].
    pub fill: Vec<u32>,
    /// Drawn width: the value, or in a difference the amount of change.
    pub width: Vec<u64>,
    /// What is left of the width without the frames below.
    pub own: Vec<u64>,
    /// The value; in a difference the new one.
    pub new: Vec<i64>,
    /// The value beside it; empty when there is none.
    pub new_also: Vec<i64>,
    /// The value in the base; empty when there is no base.
    pub base: Vec<i64>,
    /// The value beside it in the base; empty likewise.
    pub base_also: Vec<i64>,
}

/// Texts, each once.
struct Table<K> {
    ids: HashMap<K, u32>,
}

impl<K: Hash + Eq> Table<K> {
    fn id(&mut self, key: K, add: impl FnOnce() -> usize) -> u32 {
        *self.ids.entry(key).or_insert_with(|| add() as u32)
    }
}

pub(crate) fn flame(
    tree: &Tree,
    frames: &[Frame],
    caption: Caption,
    taken: [Option<i64>; 2],
    options: &Options,
) -> Flame {
    let kinds = |t: &diag::profile::ValueType| Kinds { kind: shown(&t.kind), unit: shown(&t.unit) };
    let difference = tree.mode.is_difference();
    let two_sides = matches!(tree.mode, Mode::Diff(_));
    let also = tree.columns.companion.as_ref();
    let mut all_names: Vec<[String; 3]> = Vec::new();
    let mut fills: Vec<String> = Vec::new();
    let (mut known_names, mut known_fills) = (Table { ids: HashMap::new() }, Table { ids: HashMap::new() });
    let mut columns = Columns::default();
    for frame in frames {
        columns.depth.push(u32::try_from(frame.depth).unwrap_or(u32::MAX));
        columns.name.push(known_names.id(frame.kind, || {
            all_names.push(name(tree, frame.kind));
            all_names.len() - 1
        }));
        let fill = plain(paint::fill(tree, frame, options.colors));
        columns.fill.push(known_fills.id(fill.clone(), || {
            fills.push(fill);
            fills.len() - 1
        }));
        columns.width.push(frame.width);
        columns.own.push(frame.own_width);
        columns.new.push(frame.amounts.new);
        if also.is_some() {
            columns.new_also.push(frame.amounts.new_also);
        }
        if two_sides {
            columns.base.push(frame.amounts.base);
        }
        if two_sides && also.is_some() {
            columns.base_also.push(frame.amounts.base_also);
        }
    }
    let swatch = |s: crate::caption::Swatch| Swatch { fill: plain(s.fill), text: s.text };
    let [base_taken_unix_ns, taken_unix_ns] = taken;
    Flame {
        schema: "diag.flame/1",
        title: caption.title,
        subtitle: caption.subtitle,
        width: caption.width,
        notes: caption.notes,
        empty: caption.empty,
        legend: caption.legend.into_iter().map(swatch).collect(),
        difference,
        value: kinds(&tree.columns.value),
        also: also.map(kinds),
        taken_unix_ns,
        base_taken_unix_ns,
        names: all_names,
        fills,
        frames: columns,
    }
}

/// The hatched fills by name: a viewer has hatches of its own.
fn plain(fill: String) -> String {
    match fill.as_str() {
        paint::FILL_GONE => "gone".to_owned(),
        paint::FILL_REST => "rest".to_owned(),
        _ => fill,
    }
}

/// What stands in a file, fit to be shown; an empty text stays one.
fn shown(text: &str) -> String {
    if text.is_empty() { String::new() } else { names::shown(text) }
}

fn name(tree: &Tree, kind: Kind) -> [String; 3] {
    let plain = |text: String| [text.clone(), text, String::new()];
    match kind {
        Kind::All => plain("all".to_owned()),
        Kind::Smaller(1) => plain("(1 smaller stack)".to_owned()),
        Kind::Smaller(n) => plain(format!("({} smaller stacks)", count(n))),
        Kind::Function(id) => match tree.names.get(id as usize) {
            None => plain("(unnamed)".to_owned()),
            Some(found) => {
                let whole = names::shown(&found.raw);
                let short = names::short(&whole);
                let mut file =
                    if found.file.is_empty() { String::new() } else { names::short_path(&found.file) };
                if let Some((fewest, most)) = found.folded {
                    file = if fewest == most {
                        format!("{most} runtime frames in one")
                    } else {
                        format!("{fewest} to {most} runtime frames in one")
                    };
                }
                [whole, short, file]
            }
        },
    }
}
