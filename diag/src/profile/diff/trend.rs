//! The course of each site over several profiles.

use std::cmp::Reverse;

use serde::Serialize;

use super::{DiffOptions, Rows, origin_warnings};
use crate::profile::frames::ShownFrame;
use crate::profile::select::HeapColumns;
use crate::profile::table::keep_first;
use crate::profile::{Profile, ProfileError};

/// Values of each site in a series of profiles; serializes as `diag.trend/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Trend {
    /// `diag.trend/1`.
    pub schema: &'static str,
    /// What is compared: `inuse_space`.
    pub kind: String,
    /// Its unit.
    pub unit: String,
    /// When each profile was taken, nanoseconds since the Unix epoch; `None` unless all profiles say it.
    pub times_unix_ns: Option<Vec<i64>>,
    /// Sum of each profile.
    pub totals: Vec<i64>,
    /// Growth of the sum, an hour, by least squares; `None` without times.
    pub per_hour: Option<f64>,
    /// Reasons to doubt the comparison.
    pub warnings: Vec<String>,
    /// How many rows changed, before the limit.
    pub rows_total: usize,
    /// Fastest growth first, shrinking last; ties by the last change, then by site.
    pub rows: Vec<TrendRow>,
}

/// A row of a [`Trend`].
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct TrendRow {
    /// First frame of the user's own code.
    pub site: String,
    /// Value in each profile.
    pub values: Vec<i64>,
    /// Last minus first.
    pub delta: i64,
    /// Slope of the least-squares line through the values over their times, an hour; `None` without times.
    pub per_hour: Option<f64>,
    /// The same, when the unit is bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_hour: Option<f64>,
    /// In how many steps the value grew, and in how many it fell.
    pub steps_up: usize,
    /// See `steps_up`.
    pub steps_down: usize,
    /// How many distinct stacks the row sums.
    pub stacks: usize,
    /// The stack that changed most between first and last, from the allocation outwards.
    pub frames: Vec<ShownFrame>,
}

/// The course of each site over profiles, which are put in the order of their times when all have one.
///
/// The slope describes the series; it is no test: snapshots share their survivors, so its residuals are not
/// independent. Whether growth is a leak is for the verdict to say.
///
/// # Errors
/// [`ProfileError::Invalid`] without profiles, [`ProfileError::NoSampleType`], [`ProfileError::SampleTypesDiffer`].
pub fn trend(profiles: &[&Profile], options: &DiffOptions) -> Result<Trend, ProfileError> {
    let mut profiles = profiles.to_vec();
    let times: Option<Vec<i64>> = profiles.iter().map(|p| p.meta().time_unix_ns).collect();
    let times = times.map(|mut times| {
        profiles.sort_by_key(|p| p.meta().time_unix_ns);
        times.sort_unstable();
        times
    });
    let columns = HeapColumns::of(&profiles, options.kind.as_deref())?;
    let rows = Rows::new(&profiles, &columns, options.rows);
    let seconds = times.as_ref().and_then(|t| seconds_since_first(t));
    let slope = |values: &[i64]| seconds.as_ref().map(|s| slope(s, values) * 3600.0);

    let values = |row: u32| -> Vec<i64> { (0..profiles.len()).map(|p| rows.value(row, p, 0)).collect() };
    let last = profiles.len().saturating_sub(1);
    let delta = |row: u32| rows.value(row, last, 0).saturating_sub(rows.value(row, 0, 0));
    let mut changed: Vec<(u32, Option<f64>)> = rows
        .used()
        .map(|row| (row, values(row)))
        .filter(|(_, v)| v.windows(2).any(|w| w.first() != w.last()))
        .map(|(row, v)| (row, slope(&v)))
        .collect();
    let rows_total = changed.len();
    // Slopes are finite; a total order of their bits is that of their values after the sign is folded in.
    let rank = |slope: f64| slope.to_bits() as i64 ^ (((slope.to_bits() as i64 >> 63) as u64) >> 1) as i64;
    keep_first(
        &mut changed,
        options.limit,
        |&(row, slope)| (Reverse(slope.map(rank)), Reverse(delta(row))),
        |&(row, _)| rows.name(row),
    );
    let kept: Vec<u32> = changed.iter().map(|r| r.0).collect();
    let shown = rows.show(&kept, |v| {
        let (first, last) = (v.first().copied().unwrap_or(0), v.last().copied().unwrap_or(0));
        last.saturating_sub(first).unsigned_abs()
    });
    let is_bytes = columns.value_type.unit == "bytes";
    let list = changed.iter().zip(shown).map(|(&(row, per_hour), shown)| {
        let values = values(row);
        let steps = |up: bool| {
            values.windows(2).filter(|w| w.first() != w.last() && (w.first() < w.last()) == up).count()
        };
        TrendRow {
            site: rows.site(row),
            delta: delta(row),
            per_hour,
            bytes_per_hour: per_hour.filter(|_| is_bytes),
            steps_up: steps(true),
            steps_down: steps(false),
            stacks: shown.stacks,
            frames: shown.frames,
            values,
        }
    });
    let list: Vec<TrendRow> = list.collect();
    let totals: Vec<i64> =
        profiles.iter().enumerate().map(|(i, p)| p.total(columns.of_profile(i, 0))).collect();
    Ok(Trend {
        schema: "diag.trend/1",
        kind: columns.value_type.kind.clone(),
        unit: columns.value_type.unit.clone(),
        per_hour: slope(&totals),
        totals,
        warnings: warnings(&profiles, seconds.is_some()),
        times_unix_ns: times,
        rows_total,
        rows: list,
    })
}

fn warnings(profiles: &[&Profile], timed: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if !timed {
        warnings.push("not all profiles say when they were taken, or all at once: no rates".to_owned());
    }
    for (i, pair) in profiles.windows(2).enumerate() {
        let &[base, new] = pair else { continue };
        for warning in origin_warnings(base, new) {
            // A loss of a middle profile would be told twice, as new and as base.
            if i > 0 && warning.starts_with("the base lost") {
                continue;
            }
            warnings.push(format!("profiles {} and {}: {warning}", i + 1, i + 2));
        }
    }
    warnings
}

/// Seconds since the first time; `None` unless there are two different times.
fn seconds_since_first(times_ns: &[i64]) -> Option<Vec<f64>> {
    let first = *times_ns.first()?;
    let seconds: Vec<f64> = times_ns.iter().map(|t| t.saturating_sub(first) as f64 / 1e9).collect();
    (seconds.last().copied()? > 0.0).then_some(seconds)
}

/// Slope of the least-squares line, a second: sum (t - mean t)(v - mean v) / sum (t - mean t)^2.
fn slope(seconds: &[f64], values: &[i64]) -> f64 {
    let n = seconds.len() as f64;
    let mean_t = seconds.iter().sum::<f64>() / n;
    let mean_v = values.iter().map(|&v| v as f64).sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for (t, &v) in seconds.iter().zip(values) {
        above += (t - mean_t) * (v as f64 - mean_v);
        below += (t - mean_t) * (t - mean_t);
    }
    if below > 0.0 { above / below } else { 0.0 }
}
