//! The check as text.

use std::fmt::Write as _;

use diag::profile::units;

use super::{Document, Measure};
use crate::error::one_line;
use crate::terminal::Style;
use crate::view::frame;

/// Frames of a stack that are printed.
const MOST_FRAMES: usize = 12;
const MOST_SITES: usize = 20;

pub(super) fn render(d: &Document, style: Style) -> String {
    let mut out = String::new();
    let total = change(&d.total, &d.unit);
    let limits = limits(d);
    if d.verdict == "ok" {
        let detectable = format!(
            "found would have been {} in total, or {} at one new site",
            units::signed(d.detectable.total, &d.unit),
            units::signed(d.detectable.new_site, &d.unit)
        );
        let _ = writeln!(out, "ok: {} {total}, {} sites; {limits}; {detectable}", d.kind, d.sites_checked);
    } else {
        let sites = d.regressions.len();
        let what = match (d.total.regressed, sites) {
            (true, 0) => {
                "the total grew by more than its limit, no single site by more than its own".to_owned()
            }
            (true, 1) => "the total and 1 site grew by more than their limits".to_owned(),
            (true, n) => format!("the total and {n} sites grew by more than their limits"),
            (false, 1) => "1 site grew by more than its limit".to_owned(),
            (false, n) => format!("{n} sites grew by more than their limits"),
        };
        let line = format!("regression: {what} ({limits})");
        let _ = writeln!(out, "{}", style.strong(&line));
        let _ = writeln!(out, "  {} of {} against {}", d.kind, one_line(&d.new), one_line(&d.base));
        let _ = writeln!(out, "  total  {total}");
    }
    if d.regressions.is_empty() && !d.grew_most.is_empty() {
        out.push_str("\nthe sites that grew most, none of them certain by itself:\n");
    }
    let shown = if d.regressions.is_empty() { &d.grew_most } else { &d.regressions };
    for r in shown.iter().take(MOST_SITES) {
        let line = format!("  {}  {}", one_line(&r.site), change(&r.measure, &d.unit));
        let _ = writeln!(out, "\n{}", style.grown(&line));
        for f in r.frames.iter().take(MOST_FRAMES) {
            let _ = writeln!(out, "      {}", one_line(&frame(f)));
        }
        if r.frames.len() > MOST_FRAMES {
            let _ = writeln!(out, "      … {} more frames", r.frames.len() - MOST_FRAMES);
        }
    }
    if d.regressions.len() > MOST_SITES {
        let _ = writeln!(out, "\n  … {} more sites; --format json has all", d.regressions.len() - MOST_SITES);
    }
    if !d.sampled {
        out.push_str(
            "doubt: the profiles state no sampling period in bytes; their values are taken as exact\n",
        );
    }
    for warning in &d.warnings {
        let _ = writeln!(out, "doubt: {}", one_line(warning));
    }
    if d.verdict != "ok" {
        let _ = writeln!(out, "\nnext\n  diag-cli diff {} {}", one_line(&d.base), one_line(&d.new));
    }
    out
}

/// `1.0 MiB -> 3.0 MiB, +2.0 MiB (+1.2 MiB to +2.8 MiB)`.
fn change(m: &Measure, unit: &str) -> String {
    let values = (units::value(m.base, unit), units::value(m.new, unit), units::signed(m.delta, unit));
    let mut text = format!("{} -> {}, {}", values.0, values.1, values.2);
    if (m.delta_low, m.delta_high) != (m.delta, m.delta) {
        let _ =
            write!(text, " ({} to {})", units::signed(m.delta_low, unit), units::signed(m.delta_high, unit));
    }
    text
}

fn limits(d: &Document) -> String {
    let share = format!("accepted is {}%", d.max_growth * 100.0);
    match d.max_bytes.and_then(|b| i64::try_from(b).ok()) {
        Some(bytes) => format!("{share} or {}", units::bytes(bytes)),
        None => share,
    }
}
