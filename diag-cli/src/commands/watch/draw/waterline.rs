//! Memory over time: in use by the allocator, resident by the kernel, the limit.

use diag::profile::units;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::super::data::Reading;
use super::super::look::Panel;
use super::super::plan::Ask;
use super::super::state::State;
use super::chart::{self, Series, round_up};
use super::{Theme, frame_around};

/// A limit further up than this would press the lines to the ground.
const LIMIT_IN_SIGHT: f64 = 2.5;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let history = &state.shown().history;
    let readings = history.within(state.look.span_min() * 60_000);
    let last = history.last().copied().unwrap_or_default();
    let title = format!("waterline, {} min", state.look.span_min());
    let inner = frame_around(frame, area, (Panel::Waterline, title), (state, Ask::History), theme);
    if readings.is_empty() {
        let text = match state.misses.get(&Ask::History) {
            Some(miss) if miss.is_absent => "waterline: not in this build",
            _ => "no reading yet; the service takes one each 5 s",
        };
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inner);
        return;
    }
    let line = |marker, style, value: fn(&Reading) -> Option<u64>| Series {
        marker,
        style,
        points: readings.iter().filter_map(|r| Some((r.at_unix_ms, value(r)? as f64))).collect(),
    };
    let mut lines = vec![
        line(Marker::Dot, theme.second(), |r| r.rss_bytes),
        line(Marker::Braille, theme.first(), |r| r.allocated_bytes),
    ];
    let highest = lines.iter().flat_map(|s| s.points.iter().map(|(_, v)| *v)).fold(0.0, f64::max);
    let limit = line(Marker::Bar, theme.third(), |r| r.limit_bytes);
    let in_sight = last.limit_bytes.is_some_and(|limit| limit as f64 <= highest * LIMIT_IN_SIGHT);
    let most = match last.limit_bytes.filter(|_| in_sight) {
        Some(limit) => round_up(highest.max(limit as f64)),
        None => round_up(highest),
    };
    if in_sight {
        lines.insert(0, limit);
    }
    let legend = legend(&last, in_sight);
    let [legend_area, chart_area] = ratatui::layout::Layout::vertical([
        ratatui::layout::Constraint::Length(1),
        ratatui::layout::Constraint::Min(0),
    ])
    .areas(inner);
    frame.render_widget(Line::styled(legend, theme.strong()), legend_area);
    let label = |bytes: f64| units::bytes(bytes as i64);
    chart::draw(frame, chart_area, &lines, (most, &label), theme);
}

/// The lines' signs, with the last values.
fn legend(last: &Reading, in_sight: bool) -> String {
    let bytes = |value: Option<u64>| {
        value.map_or("unknown".to_owned(), |b| units::bytes(i64::try_from(b).unwrap_or(i64::MAX)))
    };
    let limit = match (last.limit_bytes, in_sight) {
        (None, _) => "no limit".to_owned(),
        (Some(_), true) => format!("▄ limit {}", bytes(last.limit_bytes)),
        (Some(_), false) => format!("limit {}, far above", bytes(last.limit_bytes)),
    };
    format!("⣀ allocated {}  • resident {}  {limit}", bytes(last.allocated_bytes), bytes(last.rss_bytes))
}
