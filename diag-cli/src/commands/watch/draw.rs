//! A frame of the state. Pure: state and time in, cells out. Works at every size, down to one cell; what does not fit is left out, the
//! least important first.

mod chart;
mod cpu;
mod growers;
mod header;
mod help;
mod list;
mod tasks;
mod theme;
mod waterline;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType};

pub(super) use theme::Theme;

use super::look::Panel;
use super::plan::Ask;
use super::state::{At, State};

/// Below this, the current panel has the screen for itself.
const DASHBOARD_COLUMNS: u16 = 70;
const DASHBOARD_LINES: u16 = 24;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, at: At, theme: Theme) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    let head = if area.height >= 5 { 2 } else { 1 };
    let foot = match area.height {
        0..4 => 0,
        4..6 => 1,
        6..30 => 2,
        _ => 3,
    };
    let rows = [Constraint::Length(head), Constraint::Min(0), Constraint::Length(foot)];
    let [head, body, foot] = Layout::vertical(rows).areas(area);
    header::head(frame, head, state, at, theme);
    header::foot(frame, foot, state, theme);
    if state.look.help {
        help::draw(frame, body, theme);
    } else if state.look.zoomed || area.width < DASHBOARD_COLUMNS || area.height < DASHBOARD_LINES {
        panel(frame, body, state.look.panel, state, at, theme);
    } else {
        let top = (body.height * 2 / 5).max(8);
        let rows = [Constraint::Length(top), Constraint::Fill(3), Constraint::Fill(2)];
        let [top, growers, tasks] = Layout::vertical(rows).areas(body);
        let [waterline, cpu] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(top);
        for (area, which) in [
            (waterline, Panel::Waterline),
            (cpu, Panel::Cpu),
            (growers, Panel::Growers),
            (tasks, Panel::Tasks),
        ] {
            panel(frame, area, which, state, at, theme);
        }
    }
}

fn panel(frame: &mut Frame<'_>, area: Rect, which: Panel, state: &State, at: At, theme: Theme) {
    match which {
        Panel::Waterline => waterline::draw(frame, area, state, theme),
        Panel::Growers => growers::draw(frame, area, state, theme),
        Panel::Tasks => tasks::draw(frame, area, state, theme),
        Panel::Cpu => cpu::draw(frame, area, state, at, theme),
    }
}

/// A frame around a panel, thick where keys go, with what is wrong with its data at the bottom; and the room inside. No frame where
/// there is no room for one.
fn frame_around(
    frame: &mut Frame<'_>,
    area: Rect,
    (which, title): (Panel, String),
    (state, ask): (&State, Ask),
    theme: Theme,
) -> Rect {
    if area.height < 3 || area.width < 4 {
        return area;
    }
    let is_current = state.look.panel == which;
    let mut block = Block::bordered()
        .border_type(if is_current { BorderType::Thick } else { BorderType::Plain })
        .border_style(if is_current { theme.current() } else { theme.faint() })
        .title(Line::styled(format!(" {} {title} ", which as usize + 1), theme.title(is_current)));
    let list = state.look.list(which);
    if !list.filter.is_empty() {
        block = block.title(Line::styled(format!(" only /{} ", list.filter), theme.strong()));
    }
    // A part that the service does not have is said inside, and above when nothing answers.
    if let Some(miss) = state.misses.get(&ask).filter(|miss| !miss.is_absent && state.link.down.is_none()) {
        block = block.title_bottom(Line::styled(format!(" {ask}: {} ", miss.why), theme.bad()));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

/// `name  place` within so many columns: the place goes first, then the beginning of the name, since its end says most.
fn within(name: &str, place: &str, columns: usize) -> String {
    let width = |text: &str| ratatui::text::Span::raw(text).width();
    if !place.is_empty() && width(name) + 2 + width(place) <= columns {
        return format!("{name}  {place}");
    }
    if width(name) <= columns {
        return name.to_owned();
    }
    let mut tail = std::collections::VecDeque::new();
    let mut used = 1;
    for c in name.chars().rev() {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > columns {
            break;
        }
        tail.push_front(c);
    }
    std::iter::once('…').chain(tail).take(columns).collect()
}

/// `20:31:04 UTC`.
fn clock(unix_ms: i64) -> String {
    let text = crate::clock::readable(unix_ms.saturating_mul(1_000_000));
    text.get(11..).unwrap_or(&text).to_owned()
}

/// `12 s`, `3.5 min`.
fn span(seconds: f64) -> String {
    if (1.0..60.0).contains(&seconds) {
        return format!("{seconds:.0} s");
    }
    diag::profile::units::nanoseconds((seconds * 1e9) as i64)
}

#[cfg(test)]
mod tests;
