//! The async tasks as they were at the last capture, by the code that spawned them, the worst first.

use diag::profile::units;
use diag::tasks::{SiteReport, TaskVerdict, TasksReport};

use super::markup::Markup;

const MOST_ROWS: usize = 30;

/// The section.
pub(super) fn tasks(out: &mut Markup, report: &TasksReport) {
    out.raw("<section id=\"tasks\">\n<h2>Async tasks</h2>\n<p class=\"soft\">");
    let share = report.coverage.map_or_else(
        || "What share of all tasks this is, is not known.".to_owned(),
        |c| format!("{:.0} % of the tokio runtime's tasks are tracked.", c.share * 100.0),
    );
    out.text(&format!(
        "{} alive at the last capture, {} spawned since the process began. {share}",
        units::count(report.totals.live as i64),
        units::count(report.totals.spawned as i64)
    ));
    out.raw("</p>\n<div class=\"scroll\"><table class=\"sites\"><thead><tr><th class=\"n\">alive</th><th class=\"n\">more an hour</th>");
    out.raw("<th class=\"n\">median age</th><th class=\"n\">longest poll</th><th>verdict</th><th>task</th></tr></thead><tbody>\n");
    for site in report.sites.iter().take(MOST_ROWS) {
        row(out, site);
    }
    out.raw("</tbody></table></div>\n");
    let reasons: Vec<&SiteReport> =
        report.sites.iter().filter(|site| site.verdict != TaskVerdict::Ok).take(MOST_ROWS).collect();
    if !reasons.is_empty() {
        out.raw("<ul class=\"notes\">");
        for site in reasons {
            out.raw("<li><code>").text(&site.future).raw("</code>: ").text(&site.reason).raw("</li>");
        }
        out.raw("</ul>\n");
    }
    out.raw("</section>\n");
}

fn row(out: &mut Markup, site: &SiteReport) {
    let ns = |s: f64| units::nanoseconds((s * 1e9) as i64);
    let growth = site.growth_per_hour.map_or_else(String::new, |growth| format!("+{growth:.0}"));
    out.element("<tr><td class=\"n\" data-is=\"alive\">", &site.live.to_string(), "</td>");
    out.element("<td class=\"n\" data-is=\"more an hour\">", &growth, "</td>");
    out.element("<td class=\"n\" data-is=\"median age\">", &ns(site.age_s.p50), "</td>");
    out.element("<td class=\"n\" data-is=\"longest poll\">", &ns(site.longest_poll_s), "</td>");
    out.element("<td data-is=\"verdict\">", &site.verdict.word().replace('_', " "), "</td>");
    let name = site.name.as_deref().map(|name| format!("\"{name}\" ")).unwrap_or_default();
    let place = format!("{name}{} at {}", site.future, site.site);
    out.element("<td><code>", &place, "</code></td></tr>\n");
}
