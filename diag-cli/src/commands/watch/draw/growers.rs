//! Live heap by site, and how it grew since the baseline.

use diag::profile::units;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Paragraph, Wrap};

use super::super::look::{self, GrowerOrder, Panel};
use super::super::plan::Ask;
use super::super::state::State;
use super::list::{self, Row};
use super::{Theme, clock, frame_around, span};

/// The last ones are left out where they would leave no room for names.
const COLUMNS: [(&str, usize); 3] = [("growth", 10), ("live", 9), ("a minute", 11)];
const NARROW: u16 = 64;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let data = state.shown();
    let inner = frame_around(frame, area, (Panel::Growers, title(state)), (state, Ask::Heap), theme);
    let Some(_) = &data.heap else {
        let text = match state.misses.get(&Ask::Heap) {
            Some(miss) => miss.why.as_str(),
            None => "no heap profile yet",
        };
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inner);
        return;
    };
    let rows = look::growers(&state.look, &data.growers);
    let cursor = (state.look.panel == Panel::Growers).then(|| state.look.list(Panel::Growers).cursor);
    let cursor = cursor.map(|c| c.min(rows.len().saturating_sub(1)));
    let columns = if inner.width < NARROW { &COLUMNS[..2] } else { &COLUMNS };
    list::draw(frame, inner, (columns, "function"), (rows.len(), cursor), theme, |at| {
        let row = rows.get(at)?;
        let bytes = |value: i64| units::signed(value, "bytes");
        let style = match row.grown_bytes {
            Some(grown) if grown > 0 => theme.grown(),
            Some(grown) if grown < 0 => theme.shrunk(),
            _ => Style::new(),
        };
        Some(Row {
            cells: vec![
                row.grown_bytes.map_or("-".into(), bytes),
                units::bytes(row.live_bytes),
                row.bytes_a_minute.map_or("-".into(), |rate| bytes(rate as i64)),
            ],
            name: row.function.clone(),
            place: row.place.clone(),
            style,
        })
    });
}

fn title(state: &State) -> String {
    let data = state.shown();
    let order = match state.look.growers {
        GrowerOrder::Growth => "growth",
        GrowerOrder::Live => "live bytes",
        GrowerOrder::Name => "name",
    };
    let (Some(heap), Some(base)) = (&data.heap, &data.baseline) else { return format!("growers by {order}") };
    let seconds = heap.taken_unix_ms.saturating_sub(base.taken_unix_ms) as f64 / 1e3;
    let since = if seconds > 0.0 {
        format!("since {} ({})", clock(base.taken_unix_ms), span(seconds))
    } else {
        "no growth before the next profile".to_owned()
    };
    let period = heap.period_bytes.map(|b| format!(", a sample is {}", units::bytes(b))).unwrap_or_default();
    format!("growers by {order}, {since}, live {}{period}", units::bytes(heap.total_bytes))
}
