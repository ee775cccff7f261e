//! The words around a picture: title, subtitle, legend, and notes on sampling, losses and what is not drawn.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use diag::profile::frames::module_of_name;
use diag::profile::{Meta, Profile, ValueType};

use crate::budget::{Frame, Kind};
use crate::error::{Error, list};
use crate::names;
use crate::options::{Colors, DiffWidth, Options, StackOrder};
use crate::origin::Origin;
use crate::paint;
use crate::time::utc;
use crate::tree::{Mode, Tree};
use crate::units::{amount, change, count, magnitude};

/// Characters of a side's name that fit on the line under the title.
const SHORT_NAME: usize = 24;

/// The drawn column, and the one that is shown beside it: objects of bytes, samples of time, and the other way round.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) value: ValueType,
    pub(crate) companion: Option<ValueType>,
}

impl Columns {
    pub(crate) fn companion_index(&self, profile: &Profile) -> Option<usize> {
        self.companion.as_ref().and_then(|c| profile.sample_type_index(&c.kind))
    }
}

pub(crate) fn columns(profile: &Profile, index: usize) -> Result<Columns, Error> {
    let types = profile.sample_types();
    let value = types.get(index).cloned().ok_or_else(|| Error::NoSuchType { index, types: list(types) })?;
    let find = |kind: &str| types.iter().find(|t| t.kind == kind).cloned();
    let companion = match (value.kind.strip_suffix("_space"), value.kind.strip_suffix("_objects")) {
        (Some(stem), _) => find(&format!("{stem}_objects")),
        (_, Some(stem)) => find(&format!("{stem}_space")),
        _ if is_time(&value) => find("samples"),
        _ if value.kind == "samples" => find("cpu").or_else(|| find("wall")),
        _ => None,
    };
    Ok(Columns { value, companion })
}

/// Of a processor, or of the clock on the wall.
fn is_time(value: &ValueType) -> bool {
    matches!(value.kind.as_str(), "cpu" | "wall")
}

/// A colour of the legend.
#[derive(Clone, Debug)]
pub(crate) struct Swatch {
    pub(crate) fill: String,
    pub(crate) text: String,
}

/// All words of a picture. Untrusted parts are fit to be shown, not yet escaped.
#[derive(Clone, Debug)]
pub(crate) struct Caption {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) legend: Vec<Swatch>,
    /// What width means.
    pub(crate) width: String,
    /// Whole sentences, one a line.
    pub(crate) notes: Vec<String>,
    /// What to say in place of a picture when there is nothing to draw.
    pub(crate) empty: &'static str,
}

impl Caption {
    pub(crate) fn single(profile: &Profile, tree: &Tree, options: &Options) -> Self {
        let (value, meta) = (&tree.columns.value, profile.meta());
        let signed = tree.mode == Mode::Signed;
        let mut title = if signed { format!("Change of {}", words(value)) } else { capital(&words(value)) };
        push_target(&mut title, options);
        if let Some(t) = meta.time_unix_ns {
            title.push_str(&format!(", {}", utc(t)));
        }
        let root = tree.root();
        let subtitle = if signed {
            format!("{}. Orange: grown. Blue: shrunk.", net(tree))
        } else {
            let mut text = format!("Total {}", amount(root.amounts.new, value));
            if let Some(also) = &tree.columns.companion {
                text.push_str(&format!(" in {}", amount(root.amounts.new_also, also)));
            }
            text
        };
        let mut notes: Vec<String> =
            sampling(meta).into_iter().chain(duration(meta, value, root.amounts.new)).collect();
        notes.extend(losses(meta, "").into_iter().chain(comments(meta)));
        let legend = if signed { difference_legend(false) } else { origin_legend(tree) };
        let empty = if signed { NOTHING_CHANGED } else { no_samples(profile, value) };
        Self { title, subtitle, legend, width: width_note(tree, options), notes, empty }.shown()
    }

    pub(crate) fn difference(base: &Profile, new: &Profile, tree: &Tree, options: &Options) -> Self {
        let value = &tree.columns.value;
        let mut title = format!("Change of {}", words(value));
        push_target(&mut title, options);
        let root = tree.root();
        // One line has room for two short names; long ones go to the notes.
        let short = [&options.base_name, &options.new_name].iter().all(|n| n.chars().count() <= SHORT_NAME);
        let side = |name: &str, what: &str, total: i64, meta: &Meta| {
            let mut text = format!("{what} {}", amount(total, value));
            if short && !name.is_empty() {
                text.push_str(&format!(", {name}"));
            }
            if let Some(t) = meta.time_unix_ns {
                text.push_str(&format!(", {}", utc(t)));
            }
            text
        };
        let base_text = side(&options.base_name, "base", root.amounts.base, base.meta());
        let new_text = side(&options.new_name, "new", root.amounts.new, new.meta());
        let subtitle = format!("{base_text} \u{2192} {new_text}. Orange: grown. Blue: shrunk.");
        let mut notes = vec![format!("{}.", net(tree))];
        if !short {
            notes.push(format!("Base: {}. New: {}.", options.base_name, options.new_name));
        }
        let periods = (base.meta().period.as_ref(), new.meta().period.as_ref());
        if periods.0.map(|p| p.value) != periods.1.map(|p| p.value) {
            let text = |p: Option<&diag::profile::Period>| {
                p.map_or_else(|| "an unknown period".to_owned(), |p| amount(p.value, &p.value_type))
            };
            notes.push(format!(
                "The sides were sampled differently: base every {}, new every {}; small changes may be noise.",
                text(periods.0),
                text(periods.1)
            ));
        } else {
            notes.extend(sampling(new.meta()));
        }
        notes.extend(losses(base.meta(), " in base"));
        notes.extend(losses(new.meta(), " in new"));
        let empty = if base.sample_count() == 0 && new.sample_count() == 0 {
            no_samples(new, value)
        } else {
            NOTHING_CHANGED
        };
        let width = width_note(tree, options);
        Self { title, subtitle, legend: difference_legend(true), width, notes, empty }.shown()
    }

    /// Texts come from the file and the caller: made fit to be shown here, all of them, once.
    fn shown(mut self) -> Self {
        for text in self.notes.iter_mut().chain([&mut self.title, &mut self.subtitle, &mut self.width]) {
            *text = names::shown(text);
        }
        self
    }

    /// Adds what is known once the frames are chosen.
    pub(crate) fn drawn(mut self, tree: &Tree, frames: &[Frame], colors: Colors) -> Self {
        if tree.mode == Mode::Single && colors == Colors::Crate {
            self.legend = crate_legend(tree, frames);
        }
        let hidden: u64 = frames.iter().map(|f| if let Kind::Smaller(n) = f.kind { n } else { 0 }).sum();
        if hidden > 0 {
            let rest = frames
                .iter()
                .filter(|f| matches!(f.kind, Kind::Smaller(_)))
                .fold(0u64, |sum, f| sum.saturating_add(f.width));
            self.notes.push(format!(
                "The {} heaviest frames are drawn; {} smaller stacks, {} of {}, are summed up in frames that say so.",
                count(frames.len() as u64),
                count(hidden),
                magnitude(rest, &tree.columns.value),
                magnitude(tree.root().width, &tree.columns.value),
            ));
        }
        if tree.names.iter().any(|n| n.folded.is_some()) {
            self.notes.push(
                "Frames in [...] stand for runs of frames of the standard library and runtimes.".to_owned(),
            );
        }
        if tree.too_deep > 0 {
            self.notes.push(format!(
                "Samples with stacks too deep to be drawn whole, which lose their middle: {}.",
                count(tree.too_deep)
            ));
        }
        self.shown()
    }
}

const NOTHING_CHANGED: &str = "Nothing changed between base and new.";

/// What a person calls the column: `live heap bytes`.
pub(crate) fn words(value: &ValueType) -> String {
    match value.kind.as_str() {
        "inuse_space" => "live heap bytes".to_owned(),
        "inuse_objects" => "live heap objects".to_owned(),
        "alloc_space" => "allocated bytes".to_owned(),
        "alloc_objects" => "allocated objects".to_owned(),
        "cpu" => "CPU time".to_owned(),
        "wall" => "wall-clock time".to_owned(),
        other => other.to_owned(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

fn push_target(title: &mut String, options: &Options) {
    if !options.title.is_empty() {
        title.push_str(": ");
        title.push_str(&options.title);
    }
}

fn net(tree: &Tree) -> String {
    let (value, root) = (&tree.columns.value, tree.root());
    let delta = root.amounts.delta();
    let mut text = format!("Net change {}", change(delta, value));
    if let Some(also) = &tree.columns.companion {
        text.push_str(&format!(", {}", change(root.amounts.delta_also(), also)));
    }
    if tree.mode != Mode::Diff(DiffWidth::Larger) {
        let shrunk = root.width.saturating_sub(delta.unsigned_abs()) / 2;
        let larger = shrunk.saturating_add(delta.unsigned_abs());
        let (grown, shrunk) = if delta >= 0 { (larger, shrunk) } else { (shrunk, larger) };
        text.push_str(&format!(": grown {}, shrunk {}", magnitude(grown, value), magnitude(shrunk, value)));
    }
    text
}

fn width_note(tree: &Tree, options: &Options) -> String {
    let words = words(&tree.columns.value);
    let of = match options.order {
        StackOrder::FromRoot => "of a function with all it called",
        StackOrder::FromLeaf => "of a function as called by the frames below",
    };
    match tree.mode {
        Mode::Single => format!("Width: {words} {of}."),
        Mode::Signed | Mode::Diff(DiffWidth::Change) => {
            format!("Width: how much the {words} {of} changed, up or down. What did not change is not drawn.")
        }
        Mode::Diff(DiffWidth::Larger) => {
            format!("Width: {words} {of}, the larger of base and new. Light grey did not change.")
        }
    }
}

fn sampling(meta: &Meta) -> Option<String> {
    let period = meta.period.as_ref().filter(|p| p.value > 1)?;
    let distance = amount(period.value, &period.value_type);
    Some(match period.value_type.unit.as_str() {
        "bytes" => format!(
            "Sampled: one allocation for every {distance} on average; values are unbiased estimates of the whole."
        ),
        _ if is_time(&period.value_type) => {
            format!("Sampled: every {distance} of the {} of each thread.", words(&period.value_type))
        }
        _ => format!("Sampled: every {distance}."),
    })
}

/// How long it was recorded; of times also how many processors or threads that is, which a total of many threads hides.
fn duration(meta: &Meta, value: &ValueType, total: i64) -> Option<String> {
    let ns = meta.duration_ns.filter(|&d| d > 0)?;
    let over = amount(ns, &ValueType::new("", "nanoseconds"));
    let mean = total as f64 / ns as f64;
    Some(match value.kind.as_str() {
        "cpu" if value.unit == "nanoseconds" => format!("Over {over}: {mean:.2} processors on average."),
        "wall" if value.unit == "nanoseconds" => format!("Over {over}: {mean:.1} threads on average."),
        _ => format!("Over {over}."),
    })
}

fn losses(meta: &Meta, side: &str) -> Option<String> {
    if meta.losses.is_empty() {
        return None;
    }
    let list: Vec<String> =
        meta.losses.iter().map(|l| format!("{} {}", l.what.replace('_', " "), count(l.count))).collect();
    Some(format!("Lost{side}: {}.", list.join(", ")))
}

/// The remarks that viewers show, the first five of them.
fn comments(meta: &Meta) -> Vec<String> {
    let shown = || meta.comments.iter().filter(|c| !c.starts_with('#') && !c.trim().is_empty());
    let mut list: Vec<String> = shown().take(5).map(|c| in_words(c)).collect();
    let more = shown().count() - list.len();
    if more > 0 {
        list.push(format!("{more} more remarks are in the profile."));
    }
    list
}

/// A remark of diag's CPU sampler as a sentence; others as they are.
fn in_words(comment: &str) -> String {
    let accounted = || comment.strip_prefix("cpu_time_ns=")?.split_once(" accounted=")?.1.parse::<f64>().ok();
    if let Some((source, why)) = comment.strip_prefix("cpu_source=").and_then(|c| c.split_once(": ")) {
        return format!("Sampled by {}: {why}.", source.replace('_', " "));
    }
    match accounted() {
        Some(share) => format!(
            "The samples stood for {:.1} % of the CPU time that the kernel charged, and are weighted to it.",
            share * 100.0
        ),
        None => comment.to_owned(),
    }
}

fn no_samples(profile: &Profile, value: &ValueType) -> &'static str {
    if profile.sample_count() > 0 {
        "The profile has samples, but all their values of this type are zero; choose another type."
    } else if value.kind.starts_with("inuse") || value.kind.starts_with("alloc") {
        "No samples yet: less was allocated than the sampling period, or profiling was switched on a moment ago."
    } else if value.kind == "cpu" {
        "No samples: the process used less CPU time than a sampling period while it was recorded."
    } else {
        "The profile has no samples."
    }
}

fn origin_legend(tree: &Tree) -> Vec<Swatch> {
    [
        (Origin::Own, "own code"),
        (Origin::Dependency, "dependencies"),
        (Origin::Runtime, "standard library, runtime"),
        (Origin::Native, "native code"),
        (Origin::Unknown, "no name known"),
    ]
    .into_iter()
    .filter(|(o, _)| tree.names.iter().any(|n| n.origin == *o && !n.remark))
    .map(|(o, text)| Swatch { fill: paint::sample(o), text: text.to_owned() })
    .collect()
}

/// The crates with the largest values of their own.
fn crate_legend(tree: &Tree, frames: &[Frame]) -> Vec<Swatch> {
    let mut widths: BTreeMap<&str, u64> = BTreeMap::new();
    for frame in frames {
        let Kind::Function(name) = frame.kind else { continue };
        if let Some(name) = tree.names.get(name as usize).filter(|n| !n.remark)
            && let Some(krate) = module_of_name(&name.raw)
        {
            let width = widths.entry(krate).or_default();
            *width = width.saturating_add(frame.own_width);
        }
    }
    let mut crates: Vec<(&str, u64)> = widths.into_iter().collect();
    crates.sort_by_key(|&(krate, width)| (Reverse(width), krate));
    crates.truncate(8);
    crates
        .iter()
        .map(|(krate, _)| Swatch { fill: paint::of_crate(krate), text: names::shown(krate) })
        .collect()
}

fn difference_legend(two_sides: bool) -> Vec<Swatch> {
    let [grown, unchanged, shrunk] = paint::scale();
    let mut legend = vec![
        Swatch { fill: grown, text: "+ grown".to_owned() },
        Swatch { fill: unchanged, text: "no net change".to_owned() },
        Swatch { fill: shrunk, text: "- shrunk".to_owned() },
    ];
    if two_sides {
        legend.push(Swatch { fill: paint::FILL_GONE.to_owned(), text: "- vanished".to_owned() });
    }
    legend
}
