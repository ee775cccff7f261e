//! Lines over time as SVG, and the same as a table for those who do not see them.
//!
//! Bytes over UTC times, from zero upwards; a line alone far above it may begin higher. A missing value is a gap in its line, never a zero; a value alone between
//! gaps is a dot. Lines differ in colour and in dashes. Pure: no clock, no ids but those that are given.

use diag::profile::units;

use super::axis::{Scale, byte_ticks, days, lowest_shown, time_label, time_ticks};
use super::markup::Markup;
use crate::clock;

/// Room for the marks of the values, left of the picture.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 36.0;
/// With more points than this no dots are drawn on the line.
const MOST_DOTS: usize = 40;
/// Pixels a time mark takes.
const TICK_PX: f64 = 78.0;
/// Rows of the table.
const MOST_ROWS: usize = 24;

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// What the legend says.
    pub(super) name: &'static str,
    /// Colour and dashes: `s0` to `s5` of the style.
    pub(super) class: &'static str,
    /// Nanoseconds since the Unix epoch, in order, and bytes; `None` where it is not known.
    pub(super) points: Vec<(i64, Option<i64>)>,
}

/// Lines with one pair of axes.
#[derive(Clone, Debug)]
pub(super) struct LineChart<'a> {
    /// For `aria-labelledby`: unlike all others in the page.
    pub(super) id: &'a str,
    /// What is shown.
    pub(super) title: &'a str,
    /// The lines.
    pub(super) series: &'a [Series],
    /// Units of the view box; text is 11 of them high.
    pub(super) width: f64,
    /// See `width`.
    pub(super) height: f64,
}

impl Series {
    fn known(&self) -> impl DoubleEndedIterator<Item = (i64, i64)> + '_ {
        self.points.iter().filter_map(|(at, value)| value.map(|v| (*at, v)))
    }

    /// `1.2 MiB at 13:05:22 → 30 MiB at 13:06:32`, and how much is missing.
    pub(super) fn first_and_last(&self) -> String {
        let (Some(first), Some(last)) = (self.known().next(), self.known().next_back()) else {
            return "no value known".to_owned();
        };
        let day = |(at, _): (i64, i64)| at.div_euclid(86_400_000_000_000);
        let at = |(at, value): (i64, i64)| match clock::readable(at).get(5..16) {
            Some(time) if day(first) != day(last) => format!("{} at {time}", units::bytes(value)),
            _ => format!("{} at {}", units::bytes(value), time_label(at, 0)),
        };
        let missing = self.points.iter().filter(|(_, value)| value.is_none()).count();
        let gaps = if missing > 0 {
            format!(" ({missing} of {} missing)", self.points.len())
        } else {
            String::new()
        };
        if first == last {
            format!("{}{gaps}", at(first))
        } else {
            format!("{} → {}{gaps}", at(first), at(last))
        }
    }
}

impl LineChart<'_> {
    fn times(&self) -> (i64, i64) {
        let times = || self.series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
        (times().min().unwrap_or(0), times().max().unwrap_or(0))
    }

    /// The picture.
    pub(super) fn svg(&self) -> Markup {
        let (from, to) = self.times();
        let values = || self.series.iter().flat_map(Series::known).map(|(_, value)| value);
        let most = values().max().unwrap_or(0);
        let ticks = byte_ticks(self.from(), most, 5);
        let (bottom, top) = (ticks.first().copied().unwrap_or(0), ticks.last().copied().unwrap_or(1));
        let x = Scale { from: from as f64, to: to as f64, start_px: LEFT, end_px: self.width - RIGHT };
        let y = Scale { from: bottom as f64, to: top as f64, start_px: self.height - BOTTOM, end_px: TOP };
        let mut out = open(self.id, self.title, &self.description(), self.width, self.height);
        grid(&mut out, &ticks, &x, &y);
        let room = ((x.end_px - x.start_px) / TICK_PX) as usize;
        let (marks, step) = time_ticks(from, to, room.max(2));
        for mark in marks {
            let px = x.px(mark as f64);
            out.raw("<line class=\"tick\"").at("x1", px).at("x2", px);
            out.at("y1", y.start_px).at("y2", y.start_px + 4.0).raw("/>");
            label(&mut out, px, y.start_px + 16.0, anchor(px, &x), &time_label(mark, step));
        }
        label(&mut out, (x.start_px + x.end_px) / 2.0, self.height - 4.0, "middle", &days(from, to));
        for series in self.series {
            line(&mut out, series, &x, &y);
        }
        if let [only] = self.series {
            ends(&mut out, only, &x, &y);
        }
        out.raw("</svg>");
        out
    }

    /// Where the values begin, about; 0 with several lines, which are compared.
    pub(super) fn from(&self) -> i64 {
        let [only] = self.series else { return 0 };
        let values = || only.known().map(|(_, value)| value);
        lowest_shown(values().min().unwrap_or(0), values().max().unwrap_or(0))
    }

    fn description(&self) -> String {
        let each: Vec<String> =
            self.series.iter().map(|s| format!("{}: {}", s.name, s.first_and_last())).collect();
        each.join("; ")
    }

    /// What line is what, with the first and the last value.
    pub(super) fn legend(&self) -> Markup {
        let mut out = Markup::new();
        out.raw("<ul class=\"legend\">");
        for series in self.series {
            out.raw("<li><svg class=\"key\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><line x1=\"1\" x2=\"27\" y1=\"5\" y2=\"5\"");
            out.attr("class", &format!("line {}", series.class)).raw("/></svg>");
            out.element("<b>", series.name, "</b> ").text(&series.first_and_last()).raw("</li>");
        }
        out.raw("</ul>");
        out
    }

    /// The values as a table, folded away.
    pub(super) fn table(&self) -> Markup {
        let mut times: Vec<i64> = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.0)).collect();
        times.sort_unstable();
        times.dedup();
        let mut out = Markup::new();
        out.raw("<details><summary>Values</summary><div class=\"scroll\"><table><thead><tr><th>time</th>");
        for series in self.series {
            out.element("<th class=\"n\">", series.name, "</th>");
        }
        out.raw("</tr></thead><tbody>");
        // Evenly, with both ends.
        let kept = times.len().min(MOST_ROWS);
        let pick = |n: usize| times.get(n * times.len().saturating_sub(1) / kept.saturating_sub(1).max(1));
        for at in (0..kept).filter_map(pick) {
            out.element("<tr><td>", &clock::readable(*at), "</td>");
            for series in self.series {
                let value = series.points.iter().find(|p| p.0 == *at).and_then(|p| p.1);
                let text = value.map_or_else(|| "missing".to_owned(), units::bytes);
                out.element("<td class=\"n\">", &text, "</td>");
            }
            out.raw("</tr>");
        }
        out.raw("</tbody></table></div></details>");
        out
    }
}

/// The start of a picture that says what it is to those who do not see it.
pub(super) fn open(id: &str, title: &str, description: &str, width: f64, height: f64) -> Markup {
    let mut out = Markup::new();
    out.raw("<svg class=\"chart\" role=\"img\"").attr("viewBox", &format!("0 0 {width} {height}"));
    out.attr("aria-labelledby", &format!("{id}-t {id}-d")).raw(">");
    out.raw("<title").attr("id", &format!("{id}-t")).element(">", title, "</title>");
    out.raw("<desc").attr("id", &format!("{id}-d")).element(">", description, "</desc>");
    out
}

/// A horizontal line and its value for each tick.
pub(super) fn grid(out: &mut Markup, ticks: &[i64], x: &Scale, y: &Scale) {
    for tick in ticks {
        let px = y.px(*tick as f64);
        out.raw("<line class=\"grid\"")
            .at("x1", x.start_px)
            .at("x2", x.end_px)
            .at("y1", px)
            .at("y2", px)
            .raw("/>");
        label(out, x.start_px - 6.0, px + 4.0, "end", &units::bytes(*tick));
    }
}

/// A text at a place.
pub(super) fn label(out: &mut Markup, x: f64, y: f64, anchor: &'static str, text: &str) {
    out.raw("<text").at("x", x).at("y", y).attr("text-anchor", anchor).element(">", text, "</text>");
}

/// Texts at the ends of an axis stay inside the picture.
pub(super) fn anchor(px: f64, x: &Scale) -> &'static str {
    if x.end_px - px < 24.0 { "end" } else { "middle" }
}

fn line(out: &mut Markup, series: &Series, x: &Scale, y: &Scale) {
    let place = |at: i64, value: i64| (x.px(at as f64), y.px(value as f64));
    let runs = series.points.split(|p| p.1.is_none());
    for run in runs {
        let points: Vec<(f64, f64)> = run.iter().filter_map(|(at, v)| v.map(|v| place(*at, v))).collect();
        if points.len() > 1 {
            out.raw("<polyline").attr("class", &format!("line {}", series.class)).points(&points).raw("/>");
        }
        if points.len() == 1 || series.points.len() <= MOST_DOTS {
            for (x, y) in points {
                out.raw("<circle").attr("class", &format!("dot {}", series.class));
                out.at("cx", x).at("cy", y).raw(" r=\"2.2\"/>");
            }
        }
    }
}

/// The first and the last value beside their points.
fn ends(out: &mut Markup, series: &Series, x: &Scale, y: &Scale) {
    let (Some(first), Some(last)) = (series.known().next(), series.known().next_back()) else { return };
    let above = |value: i64| (y.px(value as f64) - 7.0).max(TOP - 6.0);
    let anchor = if first.0 == last.0 { "middle" } else { "end" };
    out.raw("<g class=\"value\">");
    if first.0 != last.0 {
        label(out, x.px(first.0 as f64) + 3.0, above(first.1), "start", &units::bytes(first.1));
    }
    label(out, x.px(last.0 as f64), above(last.1), anchor, &units::bytes(last.1));
    out.raw("</g>");
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_266_322_000_000_000;

    fn svg(series: &[Series]) -> String {
        let chart = LineChart { id: "c", title: "Live <bytes>", series, width: 400.0, height: 200.0 };
        chart.svg().into_string()
    }

    fn series(values: &[Option<i64>]) -> Series {
        let at = |n: usize| T + n as i64 * 10_000_000_000;
        Series {
            name: "live",
            class: "s0",
            points: values.iter().enumerate().map(|(n, v)| (at(n), *v)).collect(),
        }
    }

    #[test]
    fn a_line_goes_from_the_first_to_the_last_value() {
        let drawn = svg(&[series(&[Some(0), Some(1 << 20), Some(2 << 20)])]);
        assert!(drawn.contains("points=\"62.0,164.0 224.0,91.0 386.0,18.0\""), "{drawn}");
        assert!(drawn.contains("<title id=\"c-t\">Live &lt;bytes&gt;</title>"), "{drawn}");
        assert!(drawn.contains("live: 0 B at 13:05:22 → 2.0 MiB at 13:05:42"), "{drawn}");
        assert!(drawn.contains(">UTC, 2026-11-21</text>"), "{drawn}");
    }

    #[test]
    fn missing_values_are_gaps() {
        let gap = series(&[Some(5), Some(6), None, Some(7), None, Some(8), Some(9)]);
        let drawn = svg(std::slice::from_ref(&gap));
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert_eq!(drawn.matches("<circle").count(), 5, "the lonely one is a dot");
        assert!(gap.first_and_last().ends_with("(2 of 7 missing)"), "{}", gap.first_and_last());
        let chart = LineChart { id: "c", title: "", series: &[gap], width: 400.0, height: 200.0 };
        assert_eq!(chart.table().into_string().matches(">missing<").count(), 2);
    }

    #[test]
    fn one_point_equal_values_and_none() {
        let one = svg(&[series(&[Some(1 << 20)])]);
        assert!(one.contains("cx=\"224.0\" cy=\"18.0\"") && !one.contains("<polyline"), "{one}");
        let equal = svg(&[series(&[Some(3 << 20); 3])]);
        assert!(equal.contains("points=\"62.0,18.0 224.0,18.0 386.0,18.0\""), "{equal}");
        let high = svg(&[series(&[Some(90 << 20), Some(96 << 20)])]);
        assert!(high.contains(">72.0 MiB</text>") && !high.contains(">0 B</text>"), "{high}");
        let zero = svg(&[series(&[Some(0); 2])]);
        assert!(zero.contains("points=\"62.0,164.0 386.0,164.0\""), "{zero}");
        for nothing in [svg(&[]), svg(&[series(&[])]), svg(&[series(&[None, None])])] {
            assert!(!nothing.contains("<polyline") && !nothing.contains("<circle"), "{nothing}");
        }
        assert!(!svg(&[series(&[Some(i64::MAX), Some(i64::MIN)])]).contains("NaN"));
    }

    #[test]
    fn many_points_have_no_dots() {
        let drawn = svg(&[series(&[Some(1); 500])]);
        assert_eq!((drawn.matches("<circle").count(), drawn.matches("<polyline").count()), (0, 1));
    }
}
