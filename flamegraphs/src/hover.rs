//! The text of a frame: `name (values)`. inferno's script shows it on hover, searches in it, and takes what stands
//! before the last `(...)` as the label, so the values contain no parentheses.

use std::fmt::Write;

use crate::budget::{Frame, Kind};
use crate::names;
use crate::tree::{Mode, Tree};
use crate::units::{amount, change, count, magnitude, share};

/// What is written on a frame.
pub(crate) struct Label {
    /// The whole name, with the sign of a change.
    pub(crate) whole: String,
    /// What is left of it where room is short.
    pub(crate) short: String,
}

/// What is written on the frame, if it fits.
pub(crate) fn label(tree: &Tree, frame: &Frame) -> Label {
    let sign = match frame.amounts.delta() {
        _ if !tree.mode.is_difference() => "",
        0 => "",
        d if d > 0 => "+ ",
        _ => "- ",
    };
    let name = match frame.kind {
        Kind::All => "all".to_owned(),
        Kind::Smaller(1) => "(1 smaller stack)".to_owned(),
        Kind::Smaller(n) => format!("({} smaller stacks)", count(n)),
        Kind::Function(name) => match tree.names.get(name as usize) {
            Some(n) => names::shown(&n.raw),
            None => "(unnamed)".to_owned(),
        },
    };
    let short = names::short(&name);
    Label { whole: format!("{sign}{name}"), short: format!("{sign}{short}") }
}

/// Label and values.
pub(crate) fn text(tree: &Tree, frame: &Frame, label: &Label) -> String {
    let values = match tree.mode {
        Mode::Single => single(tree, frame),
        Mode::Signed => signed(tree, frame),
        Mode::Diff(_) => difference(tree, frame),
    };
    let mut text = format!("{} ({values}", label.whole);
    if let Kind::Function(name) = frame.kind
        && let Some(n) = tree.names.get(name as usize)
    {
        if !n.file.is_empty() {
            let file = names::short_path(&n.file).replace('(', "[").replace(')', "]");
            let _ = write!(text, "; {file}");
        }
        let _ = match n.folded {
            Some((fewest, most)) if fewest == most => write!(text, "; {most} runtime frames in one"),
            Some((fewest, most)) => write!(text, "; {fewest} to {most} runtime frames in one"),
            None => Ok(()),
        };
    }
    text.push(')');
    text
}

fn single(tree: &Tree, frame: &Frame) -> String {
    let value = &tree.columns.value;
    let mut text = amount(frame.amounts.new, value);
    if let Some(also) = &tree.columns.companion {
        let _ = write!(text, " in {}", amount(frame.amounts.new_also, also));
    }
    let _ = write!(text, ", {}", share(frame.width, tree.root().width));
    if frame.own_width > 0 && frame.own_width != frame.width {
        let _ = write!(text, "; self {}", amount(frame.own.new, value));
    }
    plain(text)
}

fn signed(tree: &Tree, frame: &Frame) -> String {
    let value = &tree.columns.value;
    let mut text = change(frame.amounts.delta(), value);
    if let Some(also) = &tree.columns.companion {
        let _ = write!(text, ", {}", change(frame.amounts.delta_also(), also));
    }
    grown_and_shrunk(tree, frame, &mut text);
    plain(text)
}

fn difference(tree: &Tree, frame: &Frame) -> String {
    let value = &tree.columns.value;
    let Frame { amounts, .. } = frame;
    let mut text = change(amounts.delta(), value);
    if let Some(also) = &tree.columns.companion {
        let _ = write!(text, ", {}", change(amounts.delta_also(), also));
    }
    let _ = write!(text, ": base {}, new {}", amount(amounts.base, value), amount(amounts.new, value));
    match (amounts.base, amounts.new) {
        (0, 0) => {}
        (0, _) => text.push_str(", did not exist in base"),
        (_, 0) => text.push_str(", vanished in new"),
        (base, _) if base > 0 => {
            let growth = 100.0 * amounts.delta() as f64 / base as f64;
            let _ = match growth {
                g if g.abs() >= 10_000.0 => write!(text, ", x{:.0}", 1.0 + g / 100.0),
                g => write!(text, ", {g:+.1} %"),
            };
        }
        _ => {}
    }
    if tree.mode == Mode::Diff(crate::options::DiffWidth::Change) {
        grown_and_shrunk(tree, frame, &mut text);
    }
    plain(text)
}

/// Both signs below one frame: the net change alone would hide them.
fn grown_and_shrunk(tree: &Tree, frame: &Frame, text: &mut String) {
    let (gross, net) = (frame.width, frame.amounts.delta());
    let shrunk = gross.saturating_sub(net.unsigned_abs()) / 2;
    if shrunk > 0 {
        let larger = shrunk.saturating_add(net.unsigned_abs());
        let (grown, shrunk) = if net >= 0 { (larger, shrunk) } else { (shrunk, larger) };
        let value = &tree.columns.value;
        let _ = write!(text, "; grown {}, shrunk {}", magnitude(grown, value), magnitude(shrunk, value));
    }
}

/// Units come from the file and are as untrusted as names.
fn plain(text: String) -> String {
    names::shown(&text).replace('(', "[").replace(')', "]")
}
