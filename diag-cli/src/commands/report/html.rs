//! The page. One document, nothing fetched: style, script and pictures are in it, and its policy forbids the rest.
//!
//! It is well-formed XML as well, so that it can be checked as such.

use diag::leak::Verdict;

use super::cards::{cards, sentence};
use super::chart::{LineChart, Series};
use super::markup::Markup;
use super::model::Document;
use super::{tables, tasks};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the document down.
pub(super) fn page(document: &Document) -> String {
    let mut out = Markup::new();
    head(&mut out, document);
    out.raw("<body>\n");
    header(&mut out, document);
    verdict(&mut out, document);
    memory(&mut out, document);
    flames(&mut out, document);
    tables::tables(&mut out, document);
    if let Some(report) = &document.tasks {
        tasks::tasks(&mut out, report);
    }
    environment(&mut out, document);
    out.raw("</body>\n</html>\n");
    out.into_string()
}

fn title(document: &Document) -> String {
    match document.service.as_str() {
        "" => "Memory report".to_owned(),
        service => format!("Memory report: {service}"),
    }
}

fn head(out: &mut Markup, document: &Document) {
    let nonce = &document.nonce;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'"
    );
    out.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n");
    out.raw("<meta http-equiv=\"Content-Security-Policy\"").attr("content", &policy).raw("/>\n");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
    out.raw("<meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n");
    out.element("<title>", &title(document), "</title>\n");
    out.raw("<style").attr("nonce", nonce).raw(">").raw(STYLE).raw("</style>\n");
    out.raw("<script")
        .attr("nonce", nonce)
        .raw(">//<![CDATA[\n")
        .raw(SCRIPT)
        .raw("//]]></script>\n</head>\n");
}

fn header(out: &mut Markup, document: &Document) {
    out.element("<header>\n<h1>", &title(document), "</h1>\n");
    facts(out, &document.facts);
    if !document.host.is_empty() {
        out.raw("<details><summary>Host and process</summary>");
        facts(out, &document.host);
        out.raw("</details>\n");
    }
    if !document.left_out.is_empty() {
        out.raw("<p class=\"soft\">Left out:</p>\n");
        list(out, "<ul class=\"notes\">", &document.left_out);
    }
    out.raw("</header>\n");
}

fn verdict(out: &mut Markup, document: &Document) {
    let report = &document.report;
    out.raw("<section id=\"verdict\">\n<h2>Verdict</h2>\n<p").attr(
        "class",
        match report.verdict {
            Verdict::Leak => "verdict leak",
            Verdict::NoLeak => "verdict fine",
            Verdict::NotEnoughEvidence => "verdict open",
        },
    );
    out.raw(">").text(&sentence(&report.headline())).raw(".</p>\n");
    let reasons: Vec<String> = report.reasons.iter().map(|r| sentence(r)).collect();
    list(out, "<ul class=\"notes\">", &reasons);
    cards(out, document);
    if !report.next.is_empty() {
        out.raw("<p>Next, where HOST:PORT is the address of the service:</p>\n<ul class=\"next\">");
        for next in &report.next {
            out.element("<li><code>", next, "</code></li>");
        }
        out.raw("</ul>\n");
    }
    out.raw("</section>\n");
}

fn memory(out: &mut Markup, document: &Document) {
    out.raw("<section id=\"memory\">\n<h2>Memory over time</h2>\n");
    let waterline = &document.waterline;
    if document.readings == 0 {
        out.raw("<p>There are no memory waterlines (<code>memory-*.json</code>) beside these captures, so that only the ");
        out.raw("live heap can be drawn, by the sampler. A service with diag in it and <code>diag-cli capture</code> write them.</p>\n");
    }
    let only_live = [document.live.clone()];
    let series: &[Series] = if waterline.series.is_empty() { &only_live } else { &waterline.series };
    if series.iter().all(|s| s.points.is_empty()) {
        out.raw("<p>Nothing says when it was taken.</p>\n");
    } else {
        over_time(out, series);
    }
    list(out, "<ul class=\"notes\">", &waterline.notes);
    out.raw("</section>\n");
}

/// The same picture for a wide page and for a narrow one: scaling one would make its text too large or too small.
fn over_time(out: &mut Markup, series: &[Series]) {
    let title = "Memory over time";
    let wide = LineChart { id: "memory-wide", title, series, width: 800.0, height: 300.0 };
    let narrow = LineChart { id: "memory-narrow", title, series, width: 400.0, height: 260.0 };
    out.raw("<figure><div class=\"wide\">").push(&wide.svg()).raw("</div><div class=\"narrow\">");
    out.push(&narrow.svg()).raw("</div>\n<figcaption>").push(&wide.legend()).raw("</figcaption>");
    out.push(&wide.table()).raw("</figure>\n");
}

fn flames(out: &mut Markup, document: &Document) {
    out.raw("<section id=\"flames\">\n<h2>Flame graphs</h2>\n");
    out.raw("<p class=\"soft\">Click a box to zoom, search for names; hold the pointer over a box for its values.</p>\n");
    for flame in &document.flames {
        out.element("<h3>", flame.title, "</h3>\n").element("<p class=\"soft\">", flame.how, "</p>\n");
        out.raw("<iframe sandbox=\"allow-scripts allow-forms\"").attr("title", flame.title);
        out.attr("height", &flame.height_px.to_string()).document("srcdoc", &flame.page).raw("></iframe>\n");
    }
    out.raw("</section>\n");
}

fn environment(out: &mut Markup, document: &Document) {
    out.raw("<section id=\"environment\">\n<h2>How this was made, and its limits</h2>\n");
    list(out, "<ul>", &document.report.limits());
    facts(out, &document.environment);
    out.raw("</section>\n");
}

fn facts(out: &mut Markup, facts: &[(&'static str, String)]) {
    out.raw("<dl>");
    for (name, value) in facts {
        out.element("<div><dt>", name, "</dt>").element("<dd>", value, "</dd></div>\n");
    }
    out.raw("</dl>\n");
}

fn list(out: &mut Markup, open: &'static str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    out.raw(open);
    for item in items {
        out.element("<li>", item, "</li>");
    }
    out.raw("</ul>\n");
}
