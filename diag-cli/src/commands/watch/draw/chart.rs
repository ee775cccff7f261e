//! Lines over time, with a scale and its unit.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};

use super::{Theme, clock, span};

/// Lower than this there is no room for a line and its axis.
const LEAST_LINES: u16 = 4;
const LEAST_COLUMNS: u16 = 24;
/// Less than a minute is not stretched over the whole width.
const LEAST_SPAN_MS: i64 = 60_000;

/// A line.
pub(super) struct Series {
    /// Its sign, for screens without colour.
    pub(super) marker: Marker,
    /// Its colour.
    pub(super) style: Style,
    /// Unix milliseconds and value.
    pub(super) points: Vec<(i64, f64)>,
}

/// Draws the lines; their values from 0 to `most`, told by `label`. False when there is no room.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    series: &[Series],
    (most, label): (f64, &dyn Fn(f64) -> String),
    theme: Theme,
) -> bool {
    let times = || series.iter().flat_map(|s| s.points.iter().map(|(at, _)| *at));
    let (Some(from), Some(to)) = (times().min(), times().max()) else { return false };
    if area.height < LEAST_LINES || area.width < LEAST_COLUMNS {
        return false;
    }
    let from = from.min(to.saturating_sub(LEAST_SPAN_MS));
    let span_s = to.saturating_sub(from) as f64 / 1e3;
    let lines: Vec<Vec<(f64, f64)>> = series
        .iter()
        .map(|s| s.points.iter().map(|(at, v)| ((at.saturating_sub(to)) as f64 / 1e3, *v)).collect())
        .collect();
    let datasets = series.iter().zip(&lines).map(|(s, points)| {
        Dataset::default().marker(s.marker).graph_type(GraphType::Line).style(s.style).data(points)
    });
    let x = Axis::default()
        .style(theme.faint())
        .bounds([-span_s, 0.0])
        .labels([Line::raw(format!("-{}", span(span_s))), Line::raw(clock(to))]);
    let y = Axis::default()
        .style(theme.faint())
        .bounds([0.0, most])
        .labels([label(0.0), label(most / 2.0), label(most)].map(Line::raw));
    let chart = Chart::new(datasets.collect()).x_axis(x).y_axis(y).legend_position(None);
    frame.render_widget(chart, area);
    true
}

/// The end of a scale for values up to `most`: a quarter of a power of two, so that halves are round in binary units.
pub(super) fn round_up(most: f64) -> f64 {
    if !most.is_finite() || most <= 0.0 {
        return 1.0;
    }
    let step = (most.log2().floor() - 2.0).exp2();
    (most / step).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        for (most, end) in [(1024.0, 1024.0), (1025.0, 1280.0), (100.0, 112.0), (0.0, 1.0), (f64::NAN, 1.0)] {
            assert_eq!(round_up(most), end);
        }
    }
}
