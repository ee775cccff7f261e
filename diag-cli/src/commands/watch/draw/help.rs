//! The keys, and what the figures mean.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph, Wrap};

use super::super::keys::MEANINGS;
use super::Theme;

/// What is not about keys.
const NOTES: &str = "\
Growth is of the live heap since the baseline (the first profile, or b), by the first function of the service's own code. The \
heap is sampled: one sample stands for the bytes in the panel's title, and a growth of a few of them may be chance; the verdict \
in the second line knows what is. CPU is of one processor: 200 % are two. Times are UTC. The service is asked one heavy question \
at a time, and for at most a fiftieth of its time.";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let keys = MEANINGS.into_iter().map(|(key, meaning)| {
        Line::from(vec![Span::styled(format!("{key:>16}  "), theme.strong()), Span::raw(meaning)])
    });
    let block = Block::bordered().border_type(BorderType::Thick).title(" keys ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = [Constraint::Length(MEANINGS.len() as u16 + 1), Constraint::Min(0)];
    let [above, below] = Layout::vertical(rows).areas(inner);
    frame.render_widget(Paragraph::new(keys.collect::<Vec<_>>()), above);
    frame.render_widget(Paragraph::new(NOTES).wrap(Wrap { trim: true }), below);
}
