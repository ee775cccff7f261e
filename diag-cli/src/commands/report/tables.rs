//! What holds the most now, and what changed the most from the first capture to the last.

use diag::profile::diff::Change;
use diag::profile::units;

use super::markup::Markup;
use super::model::Document;
use crate::view::plus_minus;

/// Both tables.
pub(super) fn tables(out: &mut Markup, document: &Document) {
    holdings(out, document);
    growth(out, document);
}

fn holdings(out: &mut Markup, document: &Document) {
    let ((rows, all), (total, unit)) = (&document.holdings, &document.total);
    out.raw("<section id=\"top\">\n<h2>What holds the memory now</h2>\n<p class=\"soft\">");
    out.text(&format!(
        "{} in use at the last capture, by the first function of your own code.",
        units::value(*total, unit)
    ));
    out.raw(
        "</p>\n<div class=\"scroll\"><table class=\"sites\"><thead><tr><th class=\"n\">in use</th><th class=\"n\">share</th>",
    );
    out.raw("<th class=\"n\">objects</th><th>function</th></tr></thead><tbody>\n");
    for row in rows {
        out.element("<tr><td class=\"n\" data-is=\"in use\">", &units::value(row.bytes, unit), "</td>");
        out.element("<td class=\"n\" data-is=\"share\">", &units::percent(row.bytes, *total), "</td>");
        out.element("<td class=\"n\" data-is=\"objects\">", &units::count(row.objects), "</td>");
        out.element("<td><code>", name(&row.site), "</code></td></tr>\n");
    }
    out.raw("</tbody></table></div>\n");
    more(out, *all, rows.len());
    out.raw("</section>\n");
}

fn growth(out: &mut Markup, document: &Document) {
    let diff = &document.diff;
    let signed = |v: i64| units::signed(v, &diff.unit);
    out.raw(
        "<section id=\"growth\">\n<h2>What grew from the first capture to the last</h2>\n<p class=\"soft\">",
    );
    let span =
        diff.elapsed_s.map(|s| format!(" in {}", units::nanoseconds((s * 1e9) as i64))).unwrap_or_default();
    out.text(&format!(
        "{}{span}: from {} to {}.",
        signed(diff.delta_total),
        units::value(diff.base_total, &diff.unit),
        units::value(diff.new_total, &diff.unit)
    ));
    out.raw("</p>\n");
    for warning in &diff.warnings {
        out.element("<p class=\"warn\">", warning, "</p>\n");
    }
    out.raw("<div class=\"scroll\"><table class=\"sites\"><thead><tr><th class=\"n\">change</th><th class=\"n\">95 %</th>");
    out.raw("<th class=\"n\">first</th><th class=\"n\">last</th><th class=\"n\">objects</th><th>function</th></tr></thead><tbody>\n");
    for row in &diff.rows {
        let sign = if row.delta < 0 {
            "<tr class=\"less\"><td class=\"n\" data-is=\"change\">"
        } else {
            "<tr class=\"more\"><td class=\"n\" data-is=\"change\">"
        };
        out.element(sign, &signed(row.delta), "</td>");
        let certain = plus_minus(row.delta, row.delta_low, row.delta_high, &diff.unit);
        out.element("<td class=\"n soft\" data-is=\"95 %\">", &certain, "</td>");
        out.element("<td class=\"n\" data-is=\"first\">", &units::value(row.base, &diff.unit), "</td>");
        out.element("<td class=\"n\" data-is=\"last\">", &units::value(row.new, &diff.unit), "</td>");
        let objects = row.delta_objects.map(|n| units::signed(n, "count")).unwrap_or_default();
        out.element("<td class=\"n\" data-is=\"objects\">", &objects, "</td><td><code>");
        out.text(name(&row.site)).raw("</code>");
        out.raw(match row.change {
            Change::New => " <span class=\"soft\">new</span>",
            Change::Vanished => " <span class=\"soft\">vanished</span>",
            _ => "",
        });
        out.raw("</td></tr>\n");
    }
    out.raw("</tbody></table></div>\n");
    more(out, diff.rows_total, diff.rows.len());
    out.raw("</section>\n");
}

fn name(site: &str) -> &str {
    if site.is_empty() { "(no name)" } else { site }
}

fn more(out: &mut Markup, all: usize, shown: usize) {
    if all > shown {
        out.raw("<p class=\"soft\">").text(&format!("{} more with less.", all - shown)).raw("</p>\n");
    }
}
