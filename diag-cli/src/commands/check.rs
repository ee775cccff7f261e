//! `check`: a gate for CI. Did the memory in use grow by more than a limit, in total or at one site?
//!
//! Profiles are samples, so a site counts only when the lower end of its interval is above the limit. Of m sites some would be by
//! chance: the quantile is z = sqrt(1.96^2 + 2 ln m), by which the normal tail falls to a 1/m of 2.5 % or below (Bonferroni; the tail
//! falls faster than exp(-z^2/2)). Intervals are widened from 95 % in proportion to z. Of a site that the base has no sample of,
//! there may have been up to z^2 samples' worth (the upper score limit of a count of 0).
//!
//! Exit code 1 on a regression. Otherwise one line says what would have been found.

use std::process::ExitCode;

use clap::Args;
use diag::profile::Profile;
use diag::profile::diff::{DiffOptions, DiffRow, RowBy, diff};
use diag::profile::estimate::{Accumulated, Estimator, Interval};
use diag::profile::frames::ShownFrame;
use diag::profile::sampling::probability;
use serde::Serialize;

use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson, parse_bytes, parse_percent};
use crate::error::{Error, Result};
use crate::load::Loader;
use crate::output::print;
use crate::target::Target;
use crate::terminal::Style;
use crate::view::{SelectArgs, profile_error, refuse_time};

mod text;

/// Standard normal quantile of 97.5 %.
const Z_95: f64 = 1.959_963_984_540_054;
/// Standard normal quantile of 95 %: the power of what is called detectable.
const Z_POWER: f64 = 1.644_853_626_951_472_2;
const DEFAULT_BYTES: u64 = 1 << 20;
const MOST_OTHERS: usize = 3;

/// `check BASE NEW`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The profile of the accepted version: file, live target, or directory of captures (its last)
    pub base: String,
    /// The profile to check
    pub new: String,
    /// Growth that is accepted, as a share of the base: of the whole for the total, of its own for a site
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = parse_percent)]
    pub max_growth: f64,
    /// Growth that is accepted in any case, also at a site that is new [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub max_bytes: Option<u64>,
    /// What is compared.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// How it is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// What was found; serializes as `diag.check/1`.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    verdict: &'static str,
    /// The sample type.
    kind: String,
    unit: String,
    base: String,
    new: String,
    max_growth: f64,
    max_bytes: Option<u64>,
    /// Whether the profiles state their sampling: without, values count as exact.
    sampled: bool,
    total: Measure,
    sites_checked: usize,
    regressions: Vec<Regression>,
    /// When only the total is a regression: where it grew most.
    grew_most: Vec<Regression>,
    detectable: Detectable,
    warnings: Vec<String>,
}

/// A change and its limit.
#[derive(Clone, Copy, Debug, Serialize)]
struct Measure {
    base: i64,
    new: i64,
    delta: i64,
    delta_low: i64,
    delta_high: i64,
    limit: i64,
    regressed: bool,
}

/// A site that grew.
#[derive(Debug, Serialize)]
struct Regression {
    site: String,
    #[serde(flatten)]
    measure: Measure,
    /// From the allocation outwards.
    frames: Vec<ShownFrame>,
}

/// The least growth that would have been called a regression in 95 % of runs.
#[derive(Debug, Serialize)]
struct Detectable {
    total: i64,
    /// At a site with nothing in the base, in objects far smaller than the sampling period.
    new_site: i64,
}

/// Runs the command.
///
/// # Errors
/// A target cannot be loaded, or the profiles do not go together.
pub fn run(global: &GlobalArgs, args: &CheckArgs) -> Result<ExitCode> {
    let targets = [Target::parse(&args.base)?, Target::parse(&args.new)?];
    let loaded = Loader::new(global, &args.symbols)?.latest(&targets)?;
    let [base, new] = loaded.as_slice() else {
        return Err(Error::usage("there are not two profiles", "give BASE and NEW"));
    };
    refuse_time("check", [base, new])?;
    let type_index = args.select.type_index(&new.profile)?;
    let kind = new.profile.sample_types().get(type_index).map(|t| t.kind.clone());
    let (base_profile, new_profile) =
        (args.select.apply_with_runtime(base)?, args.select.apply_with_runtime(new)?);
    let names = (base.name.clone(), new.name.clone());
    let document = examine(args, &base_profile, &new_profile, kind, names)?;
    match args.format.format {
        TextOrJson::Json => {
            let json = serde_json::to_string(&document)
                .map_err(|e| Error::failed(format!("cannot write JSON: {e}"), "this is a bug: report it"))?;
            print(&format!("{json}\n"))?;
        }
        TextOrJson::Text => print(&text::render(&document, Style::for_stdout(global.color)))?,
    }
    Ok(if document.verdict == "regression" { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn examine(
    args: &CheckArgs,
    base: &Profile,
    new: &Profile,
    kind: Option<String>,
    names: (String, String),
) -> Result<Document> {
    let both = format!("{} and {}", names.0, names.1);
    let options = DiffOptions { kind, rows: RowBy::Site, limit: None };
    let diff = diff(base, new, &options).map_err(|e| profile_error(&both, &e))?;
    let in_bytes = diff.unit == "bytes";
    if args.max_bytes.is_some() && !in_bytes {
        return Err(Error::usage(
            format!("--max-bytes does not go with {}, which is in {}", diff.kind, diff.unit),
            "leave it out, or compare --type inuse_space",
        ));
    }
    let floor = if in_bytes { whole(args.max_bytes.unwrap_or(DEFAULT_BYTES)) } else { 0 };
    let limit = |base: i64| ((base.max(0) as f64 * args.max_growth) as i64).max(floor);

    let period = new.meta().period.as_ref().filter(|p| p.value_type.unit == "bytes").map_or(0, |p| p.value);
    let weight = |bytes: i64, objects: i64| sample_weight(bytes, objects, in_bytes, period.unsigned_abs());
    let interval = total_interval(base, new, &diff.kind, in_bytes);
    let counts = |row: &DiffRow| (row.new_bytes.unwrap_or(0), row.new_objects.unwrap_or(0));
    let (bytes, objects) = diff
        .rows
        .iter()
        .map(counts)
        .fold((0i64, 0i64), |sum, row| (sum.0.saturating_add(row.0), sum.1.saturating_add(row.1)));
    let mean_weight = weight(bytes, objects);
    let totals = (diff.base_total, diff.new_total);
    let total =
        measure(totals, interval, limit(diff.base_total), Z_95).with_unseen(interval, mean_weight, Z_95);
    let sites = diff.rows.len() + diff.rows_unchanged;
    let z = (Z_95 * Z_95 + 2.0 * (sites.max(1) as f64).ln()).sqrt();
    let of_row = |row: &DiffRow| {
        let interval = row.delta_low.zip(row.delta_high);
        let (bytes, objects) = counts(row);
        measure((row.base, row.new), interval, limit(row.base), z).with_unseen(
            interval,
            weight(bytes, objects),
            z,
        )
    };
    let (mut regressions, mut others): (Vec<Regression>, Vec<Regression>) = diff
        .rows
        .into_iter()
        .map(|row| Regression { measure: of_row(&row), site: row.site, frames: row.frames })
        .partition(|r| r.measure.regressed);
    regressions.sort_by(|a, b| (-a.measure.delta_low, &a.site).cmp(&(-b.measure.delta_low, &b.site)));
    // The rows come with the largest change first.
    others.retain(|r| r.measure.delta > 0);
    others.truncate(if total.regressed && regressions.is_empty() { MOST_OTHERS } else { 0 });
    // In bytes that is the period, for objects far smaller than it.
    let small = if in_bytes { period as f64 } else { mean_weight };
    let found = total.regressed || !regressions.is_empty();
    Ok(Document {
        schema: "diag.check/1",
        verdict: if found { "regression" } else { "ok" },
        kind: diff.kind,
        unit: diff.unit,
        base: names.0,
        new: names.1,
        max_growth: args.max_growth,
        max_bytes: in_bytes.then_some(floor.unsigned_abs()),
        sampled: interval.is_some(),
        total,
        sites_checked: sites,
        regressions,
        grew_most: others,
        detectable: Detectable {
            total: total.limit.saturating_add(
                (total.delta.saturating_sub(total.delta_low) as f64 * (1.0 + Z_POWER / Z_95)) as i64,
            ),
            new_site: new_site(floor as f64, small, z),
        },
        warnings: diff.warnings,
    })
}

impl Measure {
    /// Of what the base has no sample of, some may have been there.
    fn with_unseen(mut self, interval: Option<(i64, i64)>, weight: f64, z: f64) -> Self {
        if self.base == 0 && interval.is_some() {
            let down = self.delta.saturating_sub(self.delta_low) as f64;
            self.delta_low = self.delta.saturating_sub(down.hypot(z * z * weight).round() as i64);
            self.regressed = self.delta_low > self.limit;
        }
        self
    }
}

/// What one sample stands for beyond itself: (1-p)/p objects of the mean size.
fn sample_weight(bytes: i64, objects: i64, in_bytes: bool, period: u64) -> f64 {
    let size = (bytes.max(0) as f64 / objects.max(1) as f64).max(1.0);
    let p = probability(size.round() as u64, period);
    let unseen = (1.0 - p) / p.max(f64::MIN_POSITIVE);
    if in_bytes { size * unseen } else { unseen }
}

/// The bytes that a new site of small objects must have to be found in 95 % of runs: the least count k of samples whose lower limit
/// is above the limit, and the mean of which k is the 5 % quantile.
fn new_site(limit: f64, weight: f64, z: f64) -> i64 {
    if weight <= 0.0 {
        return limit as i64;
    }
    let low = |k: f64| {
        let down = Z_95 * (k + Z_95 * Z_95 / 4.0).sqrt() - Z_95 * Z_95 / 2.0;
        k - (down * z / Z_95).hypot(z * z)
    };
    let (mut too_few, mut enough) = (0.0, 1.0);
    while low(enough) * weight <= limit && enough < 1e15 {
        (too_few, enough) = (enough, enough * 2.0);
    }
    while enough - too_few > 0.01 * enough {
        let middle = f64::midpoint(too_few, enough);
        if low(middle) * weight <= limit { too_few = middle } else { enough = middle }
    }
    let root = (Z_POWER + (Z_POWER * Z_POWER + 4.0 * enough).sqrt()) / 2.0;
    (root * root * weight) as i64
}

/// `interval`: the limits of the change, 95 %; `None` when the values are exact.
fn measure((base, new): (i64, i64), interval: Option<(i64, i64)>, limit: i64, z: f64) -> Measure {
    let delta = new.saturating_sub(base);
    let (low, high) = interval.unwrap_or((delta, delta));
    let wider =
        |limit: i64| delta.saturating_add((limit.saturating_sub(delta) as f64 * z / Z_95).round() as i64);
    let (delta_low, delta_high) = (wider(low), wider(high));
    Measure { base, new, delta, delta_low, delta_high, limit, regressed: delta_low > limit }
}

fn total_interval(base: &Profile, new: &Profile, kind: &str, in_bytes: bool) -> Option<(i64, i64)> {
    let sum = |profile: &Profile| {
        let estimator = Estimator::new(profile, kind).ok()?;
        let mut sum = Accumulated::default();
        profile.samples().for_each(|sample| estimator.add(&mut sum, &sample));
        Some(sum)
    };
    let (base, new) = (sum(base)?, sum(new)?);
    let Interval { low, high, .. } = if in_bytes { base.bytes_to(&new) } else { base.objects_to(&new) };
    Some((low, high))
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
