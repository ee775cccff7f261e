//! Rows with numbers in front and a name behind, of which a page is shown.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::{Theme, within};

/// A row.
pub(super) struct Row {
    /// As many as there are columns.
    pub(super) cells: Vec<String>,
    /// What it is about.
    pub(super) name: String,
    /// Where that stands.
    pub(super) place: String,
    /// How it is painted.
    pub(super) style: Style,
}

/// Draws header and rows; `make` makes the rows of a page, which are asked for only. `cursor` marks a row.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    (columns, last): (&[(&str, usize)], &str),
    (rows, cursor): (usize, Option<usize>),
    theme: Theme,
    make: impl Fn(usize) -> Option<Row>,
) {
    let before: usize = columns.iter().map(|(_, width)| width + 2).sum();
    let room = usize::from(area.width).saturating_sub(before);
    let line = |cells: &mut dyn Iterator<Item = &str>, last: &str| {
        let mut text = String::new();
        for (cell, (_, width)) in cells.zip(columns) {
            text.push_str(&format!("{cell:>width$}  "));
        }
        text + last
    };
    let mut area = area;
    let shown = page(cursor.unwrap_or(0), rows, usize::from(area.height).saturating_sub(1).max(1));
    if area.height > 1 {
        let mut header = line(&mut columns.iter().map(|(name, _)| *name), last);
        if shown.len() < rows {
            header.push_str(&format!("  {} to {} of {rows}", shown.start + 1, shown.end));
        }
        frame.render_widget(Line::styled(header, theme.faint()), Rect { height: 1, ..area });
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    for (at, place) in shown.zip(area.rows()) {
        let Some(row) = make(at) else { break };
        let name = within(&row.name, &row.place, room);
        let text = line(&mut row.cells.iter().map(String::as_str), &name);
        let style = if cursor == Some(at) { row.style.patch(theme.selected()) } else { row.style };
        frame.render_widget(Line::styled(text, style), place);
    }
}

/// The rows of the page that the cursor is on.
pub(super) fn page(cursor: usize, rows: usize, height: usize) -> Range<usize> {
    let cursor = cursor.min(rows.saturating_sub(1));
    let from = cursor.checked_div(height).map_or(0, |page| page * height);
    from..rows.min(from + height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_the_cursor() {
        assert_eq!(page(0, 100, 10), 0..10);
        assert_eq!(page(25, 100, 10), 20..30);
        assert_eq!(page(99, 95, 10), 90..95);
        assert_eq!(page(5, 0, 10), 0..0);
        assert_eq!(page(5, 10, 0), 0..0);
    }
}
