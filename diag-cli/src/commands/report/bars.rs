//! Bars as SVG: live bytes by birth, or by age.

use diag::profile::units;

use super::axis::{Scale, byte_ticks};
use super::chart::{grid, label, open};
use super::markup::Markup;

const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;
/// With more bars than this only the first, the middle and the last one have their names below them.
const MOST_NAMES: usize = 7;

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    /// What it stands for: `13:05:22`, `10-60s`.
    pub(super) name: String,
    /// Bytes.
    pub(super) value: i64,
}

/// Bars beside each other.
#[derive(Clone, Debug)]
pub(super) struct BarChart<'a> {
    /// Unlike all others in the page.
    pub(super) id: &'a str,
    /// What is shown.
    pub(super) title: &'a str,
    /// What stands below: what the names are.
    pub(super) axis: &'a str,
    /// From left to right.
    pub(super) bars: &'a [Bar],
    /// Units of the view box.
    pub(super) width: f64,
    /// See `width`.
    pub(super) height: f64,
}

impl BarChart<'_> {
    /// The picture.
    pub(super) fn svg(&self) -> Markup {
        let count = self.bars.len().max(1);
        let most = self.bars.iter().map(|b| b.value).max().unwrap_or(0);
        let ticks = byte_ticks(0, most, 4);
        let top = ticks.last().copied().unwrap_or(1);
        let x = Scale { from: 0.0, to: count as f64, start_px: LEFT, end_px: self.width - RIGHT };
        let y = Scale { from: 0.0, to: top as f64, start_px: self.height - BOTTOM, end_px: TOP };
        let each: Vec<String> = self
            .bars
            .iter()
            .filter(|b| b.value > 0)
            .map(|b| format!("{}: {}", b.name, units::bytes(b.value)))
            .collect();
        let mut out = open(self.id, self.title, &each.join("; "), self.width, self.height);
        grid(&mut out, &ticks, &x, &y);
        let width = (x.end_px - x.start_px) / count as f64;
        for (n, bar) in self.bars.iter().enumerate() {
            let left = x.px(n as f64);
            if bar.value > 0 {
                // What is there can be seen, however little.
                let height = (y.start_px - y.px(bar.value as f64)).max(1.5);
                out.raw("<rect class=\"bar\"").at("x", left + 0.08 * width).at("width", 0.84 * width);
                out.at("y", y.start_px - height).at("height", height).raw("><title>");
                out.text(&format!("{}: {}", bar.name, units::bytes(bar.value))).raw("</title></rect>");
            }
            if let Some(anchor) = named(n, count) {
                let at = match anchor {
                    "start" => left,
                    "end" => left + width,
                    _ => left + width / 2.0,
                };
                label(&mut out, at, y.start_px + 15.0, anchor, &bar.name);
            }
        }
        label(&mut out, (x.start_px + x.end_px) / 2.0, self.height - 4.0, "middle", self.axis);
        out.raw("</svg>");
        out
    }
}

/// Where the name of a bar stands, when it has one.
fn named(n: usize, count: usize) -> Option<&'static str> {
    match n {
        _ if count <= MOST_NAMES => Some("middle"),
        0 => Some("start"),
        n if n + 1 == count => Some("end"),
        n if n == count / 2 => Some("middle"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(values: &[i64]) -> String {
        let bars: Vec<Bar> =
            values.iter().enumerate().map(|(n, v)| Bar { name: format!("<{n}>"), value: *v }).collect();
        let chart =
            BarChart { id: "b", title: "Ages", axis: "age", bars: &bars, width: 400.0, height: 160.0 };
        chart.svg().into_string()
    }

    #[test]
    fn bars_are_as_high_as_their_values() {
        let drawn = svg(&[4096, 0, 2048, 1]);
        assert_eq!(drawn.matches("<rect").count(), 3, "nothing is no bar");
        for height in ["height=\"114.0\"", "height=\"57.0\"", "height=\"1.5\""] {
            assert!(drawn.contains(height), "{height}: {drawn}");
        }
        assert!(drawn.contains("&lt;0&gt;: 4.0 KiB") && !drawn.contains("<0>"), "{drawn}");
    }

    #[test]
    fn many_bars_have_few_names() {
        assert_eq!(svg(&[1; 24]).matches("text-anchor=\"middle\">&lt;").count(), 1);
        assert_eq!(svg(&[1; 5]).matches("text-anchor=\"middle\">&lt;").count(), 5);
        assert!(!svg(&[]).contains("<rect"));
    }
}
