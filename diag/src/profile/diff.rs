//! What changed between two profiles, and over several: by site, by site and line, or by full stack.
//!
//! A site is the first frame of the user's own code from the leaf ([`frames`](super::frames)); all stacks with the
//! same site are one row, which shows the stack that contributes most. Functions match by name and file, lines by
//! number, frames without names by module and offset, so two runs of a binary can be compared.
//!
//! Values are new minus base. Rows that did not change are counted, not listed.

use std::cmp::Reverse;

use serde::Serialize;

use super::frames::ShownFrame;
use super::select::HeapColumns;
use super::table::keep_first;
use super::{Profile, ProfileError};

mod origin;
mod rows;
mod trend;

pub use origin::origin_warnings;
pub use trend::{Trend, TrendRow, trend};

use rows::Rows;

/// What one row of a difference is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RowBy {
    /// The function of the site.
    #[default]
    Site,
    /// The function of the site and its line.
    SiteLine,
    /// The whole stack, with lines.
    Stack,
}

/// How [`diff`] and [`trend`] choose, group and cut.
#[derive(Clone, Debug, Default)]
pub struct DiffOptions {
    /// The sample type that is compared: `inuse_space`. Default: that of the new profile.
    pub kind: Option<String>,
    /// What a row is.
    pub rows: RowBy,
    /// Keep so many rows; all if `None`.
    pub limit: Option<usize>,
}

/// The difference of two profiles; serializes as `diag.diff/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Diff {
    /// `diag.diff/1`.
    pub schema: &'static str,
    /// What is compared: `inuse_space`.
    pub kind: String,
    /// Its unit.
    pub unit: String,
    /// Sum over the base.
    pub base_total: i64,
    /// Sum over the new profile.
    pub new_total: i64,
    /// New minus base.
    pub delta_total: i64,
    /// When the base was taken, nanoseconds since the Unix epoch.
    pub base_time_unix_ns: Option<i64>,
    /// When the new profile was taken.
    pub new_time_unix_ns: Option<i64>,
    /// Seconds between the two.
    pub elapsed_s: Option<f64>,
    /// Reasons to doubt the comparison, a sentence each.
    pub warnings: Vec<String>,
    /// How many rows changed, before the limit.
    pub rows_total: usize,
    /// How many did not change.
    pub rows_unchanged: usize,
    /// Largest change first; ties by site and frames.
    pub rows: Vec<DiffRow>,
}

/// The direction of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Not in the base.
    New,
    /// More than in the base.
    Grown,
    /// Less than in the base.
    Shrunk,
    /// Not in the new profile.
    Vanished,
    /// The chosen value is the same, another column is not.
    Same,
}

/// A row of a [`Diff`].
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct DiffRow {
    /// First frame of the user's own code.
    pub site: String,
    /// The direction.
    pub change: Change,
    /// New minus base of the compared sample type, in its unit.
    pub delta: i64,
    /// Value in the base.
    pub base: i64,
    /// Value in the new profile.
    pub new: i64,
    /// New minus base in bytes; `None` when the profiles count no bytes.
    pub delta_bytes: Option<i64>,
    /// New minus base in objects; `None` when the profiles count none.
    pub delta_objects: Option<i64>,
    /// Bytes in the base.
    pub base_bytes: Option<i64>,
    /// Bytes in the new profile.
    pub new_bytes: Option<i64>,
    /// Objects in the base.
    pub base_objects: Option<i64>,
    /// Objects in the new profile.
    pub new_objects: Option<i64>,
    /// Limits of `delta` from sampling, 95 %; `None` where the profiles state no sampling period in bytes. Both
    /// profiles count as independent samples; if they share survivors, the change is more certain than this.
    pub delta_low: Option<i64>,
    /// See `delta_low`.
    pub delta_high: Option<i64>,
    /// How many distinct stacks the row sums.
    pub stacks: usize,
    /// The stack that changed most, from the allocation outwards.
    pub frames: Vec<ShownFrame>,
}

/// Compares two profiles.
///
/// # Errors
/// [`ProfileError::NoSampleType`] when one of them lacks the sample type, [`ProfileError::SampleTypesDiffer`] when its
/// units differ.
pub fn diff(base: &Profile, new: &Profile, options: &DiffOptions) -> Result<Diff, ProfileError> {
    let profiles = [base, new];
    let columns = HeapColumns::of(&profiles, options.kind.as_deref())?;
    let rows = Rows::new(&profiles, &columns, options.rows);

    let mut changed: Vec<u32> = Vec::new();
    let mut unchanged = 0;
    for row in rows.used() {
        let values = |column| (rows.value(row, 0, column), rows.value(row, 1, column));
        if (0..columns.width()).any(|c| values(c).0 != values(c).1) {
            changed.push(row);
        } else {
            unchanged += 1;
        }
    }
    let rows_total = changed.len();
    let delta = |row: u32| rows.value(row, 1, 0).saturating_sub(rows.value(row, 0, 0));
    keep_first(
        &mut changed,
        options.limit,
        |&row| (Reverse(delta(row).unsigned_abs()), Reverse(delta(row))),
        |&row| rows.name(row),
    );
    let shown = rows.show(&changed, |values| values[1].saturating_sub(values[0]).unsigned_abs());
    let certainty = rows.certainty(&changed);
    let list = changed.iter().zip(shown).enumerate().map(|(i, (&row, shown))| {
        let interval = certainty.as_ref().and_then(|c| c.get(i));
        let pair = |column: Option<usize>| column.map(|c| (rows.value(row, 0, c), rows.value(row, 1, c)));
        let (bytes, objects) = (pair(columns.bytes()), pair(columns.objects()));
        let (from, to) = (rows.value(row, 0, 0), rows.value(row, 1, 0));
        let minus = |(from, to): (i64, i64)| to.saturating_sub(from);
        DiffRow {
            site: rows.site(row),
            change: change(from, to),
            delta: minus((from, to)),
            base: from,
            new: to,
            delta_bytes: bytes.map(minus),
            delta_objects: objects.map(minus),
            base_bytes: bytes.map(|p| p.0),
            new_bytes: bytes.map(|p| p.1),
            base_objects: objects.map(|p| p.0),
            new_objects: objects.map(|p| p.1),
            delta_low: interval.map(|i| i.low),
            delta_high: interval.map(|i| i.high),
            stacks: shown.stacks,
            frames: shown.frames,
        }
    });
    let (base_total, new_total) = (base.total(columns.of_profile(0, 0)), new.total(columns.of_profile(1, 0)));
    let times = (base.meta().time_unix_ns, new.meta().time_unix_ns);
    Ok(Diff {
        schema: "diag.diff/1",
        kind: columns.value_type.kind.clone(),
        unit: columns.value_type.unit.clone(),
        base_total,
        new_total,
        delta_total: new_total.saturating_sub(base_total),
        base_time_unix_ns: times.0,
        new_time_unix_ns: times.1,
        elapsed_s: times.0.zip(times.1).map(|(from, to)| to.saturating_sub(from) as f64 / 1e9),
        warnings: origin_warnings(base, new),
        rows_total,
        rows_unchanged: unchanged,
        rows: list.collect(),
    })
}

fn change(base: i64, new: i64) -> Change {
    match (base, new) {
        _ if base == new => Change::Same,
        (0, _) => Change::New,
        (_, 0) => Change::Vanished,
        _ if new > base => Change::Grown,
        _ => Change::Shrunk,
    }
}

#[cfg(test)]
mod tests;
