//! Profiles as SVG and single-file HTML flame graphs, drawn with inferno.
//!
//! Pure: a [`Profile`] goes in, a text comes out; no clock, no IO, no network reference in
//! the output. The steps, one module each: `tree` folds samples into a call tree, `budget` keeps the heaviest frames
//! and sums up the rest, `svg` lets inferno lay them out and then puts names, values and colours on the result,
//! `html` wraps it into a page, `data` gives it to a viewer that draws for itself.
//!
//! Widths are proportional to values, in the sample type's unit. Nothing vanishes silently: frames beyond the budget
//! and the middle of over-deep stacks become frames that say so, and the profile's losses stand in the caption.
//! In a difference, stacks that vanished are drawn as well as those that grew.
//!
//! ```
//! use diag::profile::folded;
//!
//! let profile = folded::parse(b"orders::main;orders::cache::insert 4096\n")?;
//! let options = flamegraphs::Options { title: "orders".to_owned(), ..Default::default() };
//! let svg = flamegraphs::render_svg(&profile, &options)?;
//! assert!(svg.contains("orders::cache::insert (4,096 samples, 100.0 %)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Names of functions, files and targets are untrusted: control and direction-changing characters are shown as
//! escapes, long names are cut in the middle, and everything is escaped as XML.

mod budget;
mod caption;
mod data;
mod error;
mod hover;
mod html;
mod message;
mod names;
mod options;
mod origin;
mod paint;
mod runtime;
mod svg;
mod time;
mod tree;
mod units;

pub use data::{Columns, Flame, Kinds, Swatch};
pub use error::Error;
pub use options::{Colors, DiffWidth, Direction, Options, RuntimeFrames, StackOrder};

use caption::Caption;
use diag::profile::Profile;
use tree::{Mode, Tree};

/// A flame graph of one sample type as a self-contained SVG with search and zoom.
///
/// A profile without samples gives a picture that says so. A profile with negative values, which is what a delta is,
/// is drawn as a difference: width is the amount of change.
///
/// # Errors
/// [`Error::NoSuchType`] lists the sample types there are; [`Error::Draw`] when inferno refuses.
pub fn render_svg(profile: &Profile, options: &Options) -> Result<String, Error> {
    single(profile, options)?.svg(options)
}

/// The same as one offline HTML page: caption, search box, legend and the picture.
///
/// # Errors
/// As [`render_svg`].
pub fn render_html(profile: &Profile, options: &Options) -> Result<String, Error> {
    single(profile, options)?.html(options)
}

/// A flame graph of what changed from `base` to `new`. Grown stacks are orange, shrunk ones blue, vanished ones
/// blue and hatched; the sign is in the text as well.
///
/// Sample types are matched by kind; `options.type_index` counts in `new`.
///
/// # Errors
/// As [`render_svg`]; [`Error::NoSuchTypeInBase`] and [`Error::UnitsDiffer`] when the profiles do not fit together.
pub fn render_diff_svg(base: &Profile, new: &Profile, options: &Options) -> Result<String, Error> {
    difference(base, new, options)?.svg(options)
}

/// The difference as one offline HTML page.
///
/// # Errors
/// As [`render_diff_svg`].
pub fn render_diff_html(base: &Profile, new: &Profile, options: &Options) -> Result<String, Error> {
    difference(base, new, options)?.html(options)
}

/// A flame graph as data, for a viewer that draws it itself. With a base it is a difference, as [`render_diff_svg`] draws it.
///
/// # Errors
/// As [`render_diff_svg`].
pub fn flame(base: Option<&Profile>, new: &Profile, options: &Options) -> Result<Flame, Error> {
    let picture = match base {
        Some(base) => difference(base, new, options)?,
        None => single(new, options)?,
    };
    let taken = [base.and_then(|p| p.meta().time_unix_ns), new.meta().time_unix_ns];
    Ok(picture.data(taken, options))
}

/// What is to be drawn, before a format is chosen.
struct Picture {
    tree: Tree,
    caption: Caption,
}

impl Picture {
    fn svg(&self, options: &Options) -> Result<String, Error> {
        match self.layout(options) {
            Some(frames) => svg::render(
                &self.tree,
                &frames,
                &self.caption.clone().drawn(&self.tree, &frames, options.colors),
                options,
            ),
            None => Ok(message::svg(&self.caption, options)),
        }
    }

    fn html(&self, options: &Options) -> Result<String, Error> {
        match self.layout(options) {
            Some(frames) => html::render(
                &self.tree,
                &frames,
                &self.caption.clone().drawn(&self.tree, &frames, options.colors),
                options,
            ),
            None => Ok(html::message(&self.caption, options)),
        }
    }

    fn data(self, taken: [Option<i64>; 2], options: &Options) -> Flame {
        let frames = self.layout(options).unwrap_or_default();
        let caption = self.caption.drawn(&self.tree, &frames, options.colors);
        data::flame(&self.tree, &frames, caption, taken, options)
    }

    /// `None` when there is nothing to draw.
    fn layout(&self, options: &Options) -> Option<Vec<budget::Frame>> {
        (self.tree.root().width > 0).then(|| budget::choose(&self.tree, options.frame_budget))
    }
}

fn single(profile: &Profile, options: &Options) -> Result<Picture, Error> {
    let column = options.type_index.unwrap_or_else(|| profile.default_sample_type());
    let columns = caption::columns(profile, column)?;
    let mut tree = Tree::new(options, columns.clone());
    tree.add(profile, column, columns.companion_index(profile), tree::Side::New);
    tree.fold();
    let mode = if tree.has_negative() { Mode::Signed } else { Mode::Single };
    tree.finish(mode);
    let caption = Caption::single(profile, &tree, options);
    Ok(Picture { tree, caption })
}

fn difference(base: &Profile, new: &Profile, options: &Options) -> Result<Picture, Error> {
    let column = options.type_index.unwrap_or_else(|| new.default_sample_type());
    let columns = caption::columns(new, column)?;
    let base_column = base.sample_type_index(&columns.value.kind).ok_or_else(|| Error::NoSuchTypeInBase {
        kind: columns.value.kind.clone(),
        types: error::list(base.sample_types()),
    })?;
    if let Some(base_type) = base.sample_types().get(base_column).filter(|t| t.unit != columns.value.unit) {
        return Err(Error::UnitsDiffer {
            kind: columns.value.kind,
            base: base_type.unit.clone(),
            new: columns.value.unit,
        });
    }
    let mut tree = Tree::new(options, columns.clone());
    tree.add(base, base_column, columns.companion_index(base), tree::Side::Base);
    tree.add(new, column, columns.companion_index(new), tree::Side::New);
    tree.fold();
    tree.finish(Mode::Diff(options.diff_width));
    let caption = Caption::difference(base, new, &tree, options);
    Ok(Picture { tree, caption })
}
