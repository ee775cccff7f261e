//! A card for each suspect.

use diag::leak::{Suspect, SuspectVerdict};
use diag::profile::frames::{FrameClass, ShownFrame, classify_in};
use diag::profile::units;

use super::bars::BarChart;
use super::chart::{LineChart, Series};
use super::markup::Markup;
use super::model::{Card, Document};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 190.0;
/// Frames of a stack.
const MOST_FRAMES: usize = 120;

/// All cards, and what is not among them.
pub(super) fn cards(out: &mut Markup, document: &Document) {
    let report = &document.report;
    // Without ages there is no test, and so no q-value, age or generation.
    let tested = report.maturity_s > 0.0;
    if !tested && !document.cards.is_empty() {
        out.raw(
            "<p class=\"soft\">No ages: these captures do not say when what is in use was allocated.</p>\n",
        );
    }
    for card in &document.cards {
        one(out, card, tested);
    }
    let more = report.suspects.len().saturating_sub(document.cards.len());
    if more > 0 {
        out.raw("<p class=\"soft\">").text(&format!("{more} more suspects have no card.")).raw("</p>\n");
    }
    if report.unexplained_bytes != 0 {
        out.raw("<p class=\"soft\">").text(&format!(
            "Change of everything else in the time that was judged: {}.",
            units::signed(report.unexplained_bytes, "bytes")
        ));
        out.raw("</p>\n");
    }
}

fn one(out: &mut Markup, card: &Card, tested: bool) {
    let s = &card.suspect;
    out.raw("<article").attr(
        "class",
        match s.verdict {
            SuspectVerdict::Leak => "card leak",
            SuspectVerdict::UnboundedSoFar => "card open",
            SuspectVerdict::Saturating => "card fine",
        },
    );
    out.raw("><h3>").text(&format!("{}. ", s.rank)).element(
        "<span class=\"word\">",
        &s.verdict.to_string(),
        "</span> ",
    );
    let site = if s.site.is_empty() { "(no name)" } else { &s.site };
    out.element("<code>", site, "</code></h3>\n").element("<p>", &sentence(&s.evidence), ".</p>\n");
    numbers(out, s, tested);
    out.raw("<div class=\"charts\">\n");
    course(out, card);
    ages(out, card);
    out.raw("</div>\n");
    stack(out, s);
    out.raw("</article>\n");
}

/// With a capital letter.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn numbers(out: &mut Markup, s: &Suspect, tested: bool) {
    out.raw("<dl class=\"numbers\">");
    let mut add = |name: &'static str, value: String| {
        out.element("<div><dt>", name, "</dt>").element("<dd>", &value, "</dd></div>\n");
    };
    add("Growth", units::per_hour(s.bytes_per_hour, "bytes"));
    // Of doublings no interval is known, and no test is made.
    add(
        if s.doublings.is_some() { "At least" } else { "At least (95 %)" },
        units::per_hour(s.bytes_per_hour_low, "bytes"),
    );
    add("In use", units::bytes(s.live_bytes));
    add("Objects", units::count(s.live_objects));
    if tested {
        add("Half is older than", units::nanoseconds((s.age_p50_s * 1e9) as i64));
        add("Generations alive", format!("{} of 16", s.generations));
        add(
            "Expected false alarms",
            match s.q_value {
                _ if s.doublings.is_some() => "not known".to_owned(),
                q if q < 0.0001 => "under 0.01 %".to_owned(),
                q => format!("{:.2} %", q * 100.0),
            },
        );
    }
    if let Some(each) = s.bytes_per_work_unit {
        add("A unit of work", units::signed(each.round() as i64, "bytes"));
    }
    if let Some(left) = s.seconds_to_limit.filter(|left| left.is_finite()) {
        add("Memory limit reached in", units::nanoseconds((left * 1e9) as i64));
    }
    if s.stacks > 1 {
        add("Stacks", units::count(i64::try_from(s.stacks).unwrap_or(i64::MAX)));
    }
    out.raw("</dl>\n");
    if !s.labels.is_empty() {
        out.raw("<p><span class=\"soft\">Mostly under</span>");
        for (key, value) in &s.labels {
            out.element(" <code class=\"label\">", &format!("{key}={value}"), "</code>");
        }
        out.raw("</p>\n");
    }
}

fn course(out: &mut Markup, card: &Card) {
    if card.course.live.is_empty() {
        out.raw("<p class=\"soft\">The captures do not say when they were taken: no chart over time.</p>\n");
        return;
    }
    let series = [Series { name: "in use", class: "s0", points: card.course.live.clone() }];
    let id = format!("s{}-live", card.suspect.rank);
    let title = format!("Live bytes of {} over time", card.suspect.site);
    let chart = LineChart { id: &id, title: &title, series: &series, width: WIDTH, height: HEIGHT };
    out.raw("<figure>").push(&chart.svg()).raw("<figcaption>Live bytes over time: ");
    let [only] = &series;
    out.text(&only.first_and_last());
    let last = card.course.live.last().and_then(|p| p.1).unwrap_or(0);
    // The verdict may accuse some callers of a site only.
    if last.abs_diff(card.suspect.live_bytes) > last.unsigned_abs() / 50 {
        out.text(&format!(
            ". All callers of this function; {} of it belong to those that grow",
            units::bytes(card.suspect.live_bytes)
        ));
    }
    out.raw(if chart.from() > 0 {
        ". The axis does not begin at zero.</figcaption>"
    } else {
        ".</figcaption>"
    });
    out.push(&chart.table()).raw("</figure>\n");
}

fn ages(out: &mut Markup, card: &Card) {
    let (bars, axis, caption) = match (&card.course.births, &card.course.ages) {
        (births, _) if !births.is_empty() => (
            births,
            "UTC, time of birth",
            "When the memory that is in use at the end was allocated. Even bars: \
             each time left some behind. Bars at the right only: short-lived.",
        ),
        (_, ages) if !ages.is_empty() => (ages, "age", "The memory that is in use at the end, by its age."),
        _ => return,
    };
    let id = format!("s{}-age", card.suspect.rank);
    let title = format!("Live bytes of {} by age", card.suspect.site);
    let chart = BarChart { id: &id, title: &title, axis, bars, width: WIDTH, height: HEIGHT };
    out.raw("<figure>").push(&chart.svg()).element("<figcaption>", caption, "</figcaption>");
    if !card.course.ages.is_empty() {
        out.raw("<details><summary>By age</summary><table><thead><tr><th>age</th><th class=\"n\">in use</th></tr></thead><tbody>");
        for bar in &card.course.ages {
            out.element("<tr><td>", &bar.name, "</td>").element(
                "<td class=\"n\">",
                &units::bytes(bar.value),
                "</td></tr>",
            );
        }
        out.raw("</tbody></table></details>");
    }
    out.raw("</figure>\n");
}

fn stack(out: &mut Markup, s: &Suspect) {
    if s.frames.is_empty() {
        return;
    }
    out.raw("<details class=\"stack\"><summary>").text(&format!("Stack, {} frames", s.frames.len()));
    out.raw("</summary><div class=\"scroll\"><ol>");
    for frame in s.frames.iter().take(MOST_FRAMES) {
        self::frame(out, frame);
    }
    out.raw("</ol></div>");
    let more = s.frames.len().saturating_sub(MOST_FRAMES);
    if more > 0 {
        out.raw("<p class=\"soft\">").text(&format!("{more} more frames outwards.")).raw("</p>");
    }
    out.raw("</details>\n");
}

fn frame(out: &mut Markup, frame: &ShownFrame) {
    let own = classify_in(&frame.function, &frame.file) == FrameClass::User;
    out.raw(if own { "<li class=\"own\">" } else { "<li>" });
    let name = if frame.function.is_empty() { "(no name)" } else { &frame.function };
    out.element("<code>", name, "</code>");
    if !frame.file.is_empty() {
        let parts: Vec<&str> = frame.file.rsplit('/').take(4).collect();
        let file = parts.into_iter().rev().collect::<Vec<_>>().join("/");
        let place = if frame.line > 0 { format!("{file}:{}", frame.line) } else { file };
        out.element(" <span class=\"soft\">", &place, "</span>");
    }
    out.raw("</li>");
}
