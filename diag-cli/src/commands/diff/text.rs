//! The difference as text.

use std::fmt::Write as _;

use diag::profile::diff::{Change, Diff, DiffRow, Trend};
use diag::profile::frames::{FrameClass, ShownFrame, classify_in};
use diag::profile::units;

use super::{Compared, DiffArgs};
use crate::clock;
use crate::error::one_line;
use crate::load::Loaded;
use crate::table::{Align, Table, fit};
use crate::terminal::{Style, stdout_columns};
use crate::view::{caveats, frame, plus_minus};

pub(super) fn render(
    compared: &Compared,
    args: &DiffArgs,
    diff: &Diff,
    trend: Option<&Trend>,
    style: Style,
) -> String {
    let mut out = String::new();
    head(&mut out, compared, diff, style);
    rows(&mut out, args, diff, style);
    if let Some(trend) = trend {
        course(&mut out, trend, args.rows, style);
    }
    out
}

fn head(out: &mut String, compared: &Compared, diff: &Diff, style: Style) {
    let side = |out: &mut String, what: &str, loaded: Option<&Loaded>, total: i64| {
        let Some(loaded) = loaded else { return };
        let meta = loaded.profile.meta();
        let over = meta.duration_ns.filter(|ns| *ns > 0 && of_time(&diff.unit));
        let over = over.map(|ns| format!(" in {}", units::nanoseconds(ns))).unwrap_or_default();
        let when = meta.time_unix_ns.map(|t| format!(", taken {}", clock::readable(t))).unwrap_or_default();
        let total = units::value(total, &diff.unit);
        let _ = writeln!(out, "{what}  {}: {total}{over}{when}", one_line(&loaded.name));
        out.push_str(&caveats(loaded));
    };
    side(out, "base", compared.loaded.first(), diff.base_total);
    side(out, "new ", compared.loaded.last(), diff.new_total);
    let mut line = format!("{} {}", diff.kind, units::signed(diff.delta_total, &diff.unit));
    if diff.base_total != 0 {
        let _ = write!(line, " ({})", units::percent(diff.delta_total, diff.base_total));
    }
    // Memory grows from one capture to the next; CPU time is spent within each.
    if let Some(s) = diff.elapsed_s.filter(|s| *s > 0.0 && !of_time(&diff.unit)) {
        let _ = write!(
            line,
            " in {}: {}",
            units::nanoseconds((s * 1e9) as i64),
            units::per_hour(diff.delta_total as f64 / s * 3600.0, &diff.unit)
        );
    }
    let _ = writeln!(out, "{}", style.strong(&one_line(&line)));
    for warning in &diff.warnings {
        let _ = writeln!(out, "doubt: {}", one_line(warning));
    }
    if compared.other_processes > 0 {
        let _ = writeln!(
            out,
            "left out: {} captures of earlier processes; name files to compare those",
            compared.other_processes
        );
    }
    if let Some(all) = compared.thinned_from {
        let _ = writeln!(
            out,
            "the trend is drawn from {} of {all} captures, evenly spread",
            compared.loaded.len()
        );
    }
    out.push('\n');
}

fn rows(out: &mut String, args: &DiffArgs, diff: &Diff, style: Style) {
    if diff.rows.is_empty() {
        out.push_str("nothing changed\n");
        return;
    }
    let columns = stdout_columns();
    let with_objects = diff.unit == "bytes" && diff.rows.iter().any(|r| r.delta_objects.is_some());
    let mut table = Table::new(&[
        ("change", Align::Right),
        (if diff.rows.iter().any(|r| r.delta_low.is_some()) { "95 %" } else { "" }, Align::Right),
        ("base", Align::Right),
        ("new", Align::Right),
        (if with_objects { "objects" } else { "" }, Align::Right),
        ("", Align::Left),
        ("site", Align::Left),
    ]);
    for row in &diff.rows {
        let noise = is_unsure(row);
        let objects = row.delta_objects.filter(|_| with_objects).map(|n| units::signed(n, "count"));
        let cells = vec![
            units::signed(row.delta, &diff.unit),
            plus_minus(row.delta, row.delta_low, row.delta_high, &diff.unit),
            units::value(row.base, &diff.unit),
            units::value(row.new, &diff.unit),
            objects.unwrap_or_default(),
            if noise { "unsure" } else { word(row.change) }.to_owned(),
            place(row),
        ];
        match row.delta {
            _ if noise => table.painted(cells, move |line| style.faint(line)),
            1.. => table.painted(cells, move |line| style.grown(line)),
            ..0 => table.painted(cells, move |line| style.shrunk(line)),
            0 => table.row(cells),
        }
    }
    // The table is one block of lines; what belongs to a row goes under it.
    let text = table.render(columns);
    let mut lines = text.lines();
    let _ = writeln!(out, "{}", lines.next().unwrap_or_default());
    for (line, row) in lines.zip(&diff.rows) {
        let _ = writeln!(out, "{line}");
        let under = if args.stacks { stack(row) } else { via(row).into_iter().collect() };
        for text in under {
            let _ = writeln!(out, "{}", style.faint(&fit(&text, columns)));
        }
    }
    if diff.rows_total > diff.rows.len() {
        let _ = writeln!(out, "… {} more changed; -n 0 shows all", diff.rows_total - diff.rows.len());
    }
    if diff.rows.iter().any(is_unsure) {
        out.push_str("unsure: the change is within the error of sampling\n");
    }
    if diff.rows_unchanged > 0 {
        let _ = writeln!(out, "{} did not change", diff.rows_unchanged);
    }
}

fn of_time(unit: &str) -> bool {
    unit == "nanoseconds"
}

/// Whether sampling alone explains the change.
fn is_unsure(row: &DiffRow) -> bool {
    row.delta_low.is_some_and(|low| low <= 0) && row.delta_high.is_some_and(|high| high >= 0)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Grown => "grown",
        Change::Shrunk => "shrunk",
        Change::Vanished => "vanished",
        Change::Same => "same",
    }
}

/// The site with its place in the source.
fn place(row: &DiffRow) -> String {
    match row.frames.iter().find(|f| f.function == row.site) {
        Some(f) => frame(f),
        None => row.site.clone(),
    }
}

/// The user's own callers of the site.
fn via(row: &DiffRow) -> Option<String> {
    let after = row.frames.iter().skip_while(|f| f.function != row.site).skip(1);
    let callers: Vec<&str> = after
        .filter(|f| f.function != row.site && classify_in(&f.function, &f.file) == FrameClass::User)
        .map(|f| f.function.as_str())
        .take(3)
        .collect();
    (!callers.is_empty()).then(|| format!("            via {}", one_line(&callers.join(" ← "))))
}

fn stack(row: &DiffRow) -> Vec<String> {
    let shown = |f: &ShownFrame| {
        format!("            {}{}", one_line(&frame(f)), if f.inlined { "  (inlined)" } else { "" })
    };
    row.frames.iter().map(shown).collect()
}

fn course(out: &mut String, trend: &Trend, limit: usize, style: Style) {
    let _ = write!(out, "\nover {} captures", trend.totals.len());
    if let Some(times) = &trend.times_unix_ns
        && let (Some(first), Some(last)) = (times.first(), times.last())
    {
        let _ = write!(out, " in {}", units::nanoseconds(last.saturating_sub(*first)));
    }
    let rates = !of_time(&trend.unit);
    if let Some(rate) = trend.per_hour.filter(|_| rates) {
        let _ = write!(out, ": {}", units::per_hour(rate, &trend.unit));
    }
    out.push('\n');
    let mut table = Table::new(&[
        (if rates { "an hour" } else { "" }, Align::Right),
        ("change", Align::Right),
        ("up/down", Align::Right),
        ("course", Align::Left),
        ("site", Align::Left),
    ]);
    let shown = if limit == 0 { trend.rows.len() } else { limit };
    for row in trend.rows.iter().take(shown) {
        let cells = vec![
            match row.per_hour {
                Some(rate) if rates => units::per_hour(rate, &trend.unit),
                None if rates => "-".to_owned(),
                _ => String::new(),
            },
            units::signed(row.delta, &trend.unit),
            format!("{}/{}", row.steps_up, row.steps_down),
            sparkline(&row.values),
            row.site.clone(),
        ];
        match row.delta {
            1.. => table.painted(cells, move |line| style.grown(line)),
            ..0 => table.painted(cells, move |line| style.shrunk(line)),
            0 => table.row(cells),
        }
    }
    out.push_str(&table.render(stdout_columns()));
}

/// The values from zero to their maximum, a character each.
pub(super) fn sparkline(values: &[i64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) =
        (values.iter().min().copied().unwrap_or(0).min(0), values.iter().max().copied().unwrap_or(0).max(0));
    let span = (high as f64 - low as f64).max(1.0);
    let level = |v: &i64| {
        let at = ((*v as f64 - low as f64) / span * 7.0).round() as usize;
        LEVELS.get(at).copied().unwrap_or('█')
    };
    values.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn sparklines_begin_at_zero() {
        assert_eq!(sparkline(&[0, 50, 100]), "▁▅█");
        assert_eq!(sparkline(&[100, 100]), "██");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[i64::MIN, i64::MAX]), "▁█");
        assert_eq!(sparkline(&[]), "");
    }
}
