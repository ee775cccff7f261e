//! What the demo found: which function retains, how fast it grows, and where the pictures are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use diag::profile::diff::{Diff, DiffOptions, Trend, TrendRow, diff, trend};
use diag::profile::frames::{FrameClass, ShownFrame, classify_in};
use diag::profile::{Profile, units};
use serde_json::{Value, json};

use super::super::flamegraph::{Picture, render};
use super::schema;
use crate::error::{Error, Result};
use crate::output::Sink;
use crate::terminal::Style;
use crate::view::{frame, profile_error};

/// A capture of the service.
#[derive(Debug)]
pub(super) struct Shot {
    pub(super) profile: Profile,
    pub(super) path: PathBuf,
}

impl Shot {
    /// `12.3 MiB`.
    pub(super) fn live(&self) -> String {
        let total = self.profile.sample_type_index(KIND).map_or(0, |i| self.profile.total(i));
        units::bytes(total)
    }
}

const KIND: &str = "inuse_space";

/// The findings of a run.
#[derive(Debug)]
pub(super) struct Story {
    out: PathBuf,
    trend: Trend,
    /// The row to blame.
    suspect: Option<TrendRow>,
    /// Its growth an hour, with the 95 % interval, bytes.
    rate: Option<Rate>,
    heap_svg: PathBuf,
    growth_svg: PathBuf,
}

/// Bytes an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    per_hour: f64,
    low: f64,
    high: f64,
}

impl Story {
    /// Compares the captures and draws the pictures.
    pub(super) fn new(shots: &[Shot], out: &Path) -> Result<Self> {
        let (Some(first), Some(last)) = (shots.first(), shots.last()) else {
            return Err(Error::failed("the demo took no captures", "this is a bug: report it"));
        };
        let fail = |e| profile_error("the demo's captures", &e);
        let profiles: Vec<&Profile> = shots.iter().map(|s| &s.profile).collect();
        let options = DiffOptions { kind: Some(KIND.to_owned()), ..DiffOptions::default() };
        let trend = trend(&profiles, &options).map_err(fail)?;
        // What has stopped growing by the middle was filling up to a bound.
        let middle = shots.get(shots.len() / 2).unwrap_or(first);
        let late = diff(&middle.profile, &last.profile, &options).map_err(fail)?;
        let whole = diff(&first.profile, &last.profile, &options).map_err(fail)?;
        let suspect = suspect(&trend, &late, &whole);
        let rate = suspect.as_ref().and_then(|row| rate(&whole, &trend, row));
        let (heap_svg, growth_svg) = (out.join("heap.svg"), out.join("growth.svg"));
        let name =
            |s: &Shot| s.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut drawing = flamegraphs::Options {
            title: "demo-shop".into(),
            type_index: last.profile.sample_type_index(KIND),
            ..flamegraphs::Options::default()
        };
        Sink::File(heap_svg.clone())
            .write(render(Picture::Svg, None, &last.profile, &drawing)?.as_bytes())?;
        drawing.base_name = name(first);
        drawing.new_name = name(last);
        Sink::File(growth_svg.clone())
            .write(render(Picture::Svg, Some(&first.profile), &last.profile, &drawing)?.as_bytes())?;
        Ok(Self { out: out.to_path_buf(), trend, suspect, rate, heap_svg, growth_svg })
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "schema": schema(), "dir": self.out, "captures": self.trend.totals.len(),
            "totals_bytes": self.trend.totals,
            "retains": self.suspect.as_ref().map(|row| json!({
                "site": row.site, "frames": row.frames, "live_bytes": row.values.last(), "delta_bytes": row.delta,
                "bytes_per_hour": self.rate.map(|r| r.per_hour), "bytes_per_hour_low": self.rate.map(|r| r.low),
                "bytes_per_hour_high": self.rate.map(|r| r.high),
            })),
            "flamegraph": self.heap_svg, "differential": self.growth_svg, "next": self.next(),
        })
    }

    pub(super) fn text(&self, style: Style) -> String {
        let mut out = String::new();
        let live: Vec<String> = self.trend.totals.iter().map(|t| units::bytes(*t)).collect();
        let _ = writeln!(out, "\nalive in {} captures: {}\n", live.len(), live.join(", "));
        match self.suspect.as_ref() {
            Some(row) => self.blame(&mut out, row, style),
            None => {
                let _ = writeln!(out, "{}", style.strong("No function keeps growing: nothing is retained."));
            }
        }
        let _ = writeln!(out, "\nflame graph of the heap  {}", self.heap_svg.display());
        let _ = writeln!(out, "what grew, as a picture  {}", self.growth_svg.display());
        let _ = writeln!(out, "\nTry next:");
        for command in self.next() {
            let _ = writeln!(out, "  {command}");
        }
        out
    }

    fn blame(&self, out: &mut String, row: &TrendRow, style: Style) {
        let site = row.frames.iter().find(|f| f.function == row.site);
        let _ = writeln!(out, "This function retains the memory:\n");
        let _ =
            writeln!(out, "  {}", style.grown(&style.strong(&site.map_or_else(|| row.site.clone(), frame))));
        let callers: Vec<&str> = row
            .frames
            .iter()
            .skip_while(|f| f.function != row.site)
            .skip(1)
            .filter(|f: &&ShownFrame| classify_in(&f.function, &f.file) == FrameClass::User)
            .map(|f| f.function.as_str())
            .take(3)
            .collect();
        if !callers.is_empty() {
            let _ = writeln!(out, "  called by {}", callers.join(" ← "));
        }
        let _ = writeln!(
            out,
            "\n  it holds {}, grew in {} of {} steps",
            units::bytes(row.values.last().copied().unwrap_or(0)),
            row.steps_up,
            row.values.len().saturating_sub(1)
        );
        if let Some(rate) = self.rate {
            let _ = writeln!(
                out,
                "  and grows by {} (95 % interval {} to {})",
                style.strong(&units::per_hour(rate.per_hour, "bytes")),
                units::per_hour(rate.low, "bytes"),
                units::per_hour(rate.high, "bytes")
            );
        }
        let others = self.trend.rows.iter().filter(|r| r.site != row.site);
        let rest: i64 = others.map(|r| r.delta).sum();
        let _ = writeln!(out, "  everything else together: {}", units::signed(rest, "bytes"));
    }

    /// Commands that can be typed as they are.
    fn next(&self) -> Vec<String> {
        let program = std::env::args().next().unwrap_or_else(|| "diag-cli".into());
        let out = self.out.display();
        let mut list = vec![
            format!("{program} diff {out}                # every site, with its course"),
            format!("{program} top {out}                 # what is alive now"),
            format!("{program} diff {out} -o {out}/growth.html"),
        ];
        if let Some(row) = self.suspect.as_ref() {
            let last = row.site.rsplit("::").next().unwrap_or(&row.site);
            list.push(format!("{program} peek {out} {last}"));
        }
        list
    }
}

/// The row that grows most for sure: beyond the error of sampling, by a good part of what is alive, and in the second half
/// still at a good part of its pace.
fn suspect(trend: &Trend, late: &Diff, whole: &Diff) -> Option<TrendRow> {
    let top = whole.rows.iter().max_by_key(|r| r.delta_low)?;
    let sure = top.delta_low.is_some_and(|low| low > 0);
    let matters = top.delta.saturating_mul(20) >= whole.new_total;
    let later = late.rows.iter().find(|r| r.site == top.site).map_or(0, |r| r.delta);
    let goes_on = later.saturating_mul(4) >= top.delta;
    trend.rows.iter().find(|r| sure && matters && goes_on && r.site == top.site).cloned()
}

/// Growth from the first to the last capture with the interval of its sampling error.
fn rate(difference: &Diff, trend: &Trend, row: &TrendRow) -> Option<Rate> {
    let times = trend.times_unix_ns.as_ref()?;
    let hours = (times.last()?.saturating_sub(*times.first()?)) as f64 / 3.6e12;
    let grown = difference.rows.iter().find(|r| r.site == row.site)?;
    let an_hour = |bytes: i64| bytes as f64 / hours;
    let (low, high) = (grown.delta_low?, grown.delta_high?);
    (hours > 0.0).then(|| Rate { per_hour: an_hour(grown.delta), low: an_hour(low), high: an_hour(high) })
}
