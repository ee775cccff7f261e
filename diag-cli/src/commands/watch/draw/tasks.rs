//! Live tasks by the code that spawned them.

use diag::profile::units;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Paragraph, Wrap};

use super::super::data::{TaskSite, TasksLook};
use super::super::look::{self, Panel, TaskOrder};
use super::super::plan::Ask;
use super::super::state::State;
use super::list::{self, Row};
use super::{Theme, frame_around, span};

/// From this width on there is room for where the tasks are.
const WIDE: u16 = 110;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let data = state.shown();
    let order = match state.look.tasks {
        TaskOrder::Verdict => "verdict",
        TaskOrder::Live => "number",
        TaskOrder::Age => "age",
        TaskOrder::Poll => "longest poll",
    };
    let title = match &data.tasks {
        Some(look) => format!("tasks by {order}, {}", totals(look)),
        None => "tasks".to_owned(),
    };
    let inner = frame_around(frame, area, (Panel::Tasks, title), (state, Ask::Tasks), theme);
    let Some(look) = &data.tasks else {
        let text = match state.misses.get(&Ask::Tasks) {
            Some(miss) if miss.is_absent => "tasks: not in this build",
            Some(miss) => miss.why.as_str(),
            None => "no tasks heard of yet",
        };
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inner);
        return;
    };
    let rows = look::tasks(&state.look, &look.sites);
    let cursor = (state.look.panel == Panel::Tasks).then(|| state.look.list(Panel::Tasks).cursor);
    let cursor = cursor.map(|c| c.min(rows.len().saturating_sub(1)));
    // The reason of the marked row, where there is a line to spare.
    let mut list_area = inner;
    let reason = cursor.and_then(|at| rows.get(at)).filter(|site| !site.reason.is_empty());
    if let Some(site) = reason.filter(|_| inner.height > 4) {
        list_area.height -= 1;
        let line = Rect { y: inner.bottom() - 1, height: 1, ..inner };
        let text = format!("{}: {}", site.verdict, site.reason);
        frame.render_widget(ratatui::text::Line::styled(text, theme.strong()), line);
    }
    let wide = inner.width >= WIDE;
    let mut columns = vec![("verdict", 14), ("live", 7), ("growth", 7), ("oldest", 8), ("longest poll", 12)];
    if wide {
        columns.extend([("run/woken/idle", 14), ("longest wait", 12), ("busy", 8)]);
    }
    list::draw(frame, list_area, (&columns, "future"), (rows.len(), cursor), theme, |at| {
        let site = rows.get(at)?;
        let before = data.tasks_baseline.get(&site.key()).copied().unwrap_or(0);
        Some(row(site, before, wide, theme))
    });
}

fn row(site: &TaskSite, before: u64, wide: bool, theme: Theme) -> Row {
    let count = |n: u64| units::count(i64::try_from(n).unwrap_or(i64::MAX));
    let grown = i64::try_from(site.live).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX);
    let verdict = if site.verdict.is_empty() { "-" } else { site.verdict.as_str() };
    let mut cells = vec![
        verdict.chars().take(14).collect(),
        count(site.live),
        units::signed(grown, "count"),
        span(site.oldest_s),
        span(site.longest_poll_s),
    ];
    if wide {
        cells.push(format!("{}/{}/{}", site.running, site.scheduled, site.idle));
        cells.extend([span(site.idle_s), span(site.busy_s)]);
    }
    let name = match (site.name.as_str(), site.future.as_str()) {
        ("", "") => site.site.clone(),
        ("", future) => future.to_owned(),
        (name, "") => name.to_owned(),
        (name, future) => format!("{name}: {future}"),
    };
    let style = if site.is_suspect() { theme.bad() } else { Style::new() };
    Row { cells, name, place: site.site.clone(), style }
}

fn totals(look: &TasksLook) -> String {
    let count = |n: u64| units::count(i64::try_from(n).unwrap_or(i64::MAX));
    let mut text = format!("{} live", count(look.live));
    if look.spawned > 0 {
        text.push_str(&format!(" of {} spawned", count(look.spawned)));
    }
    if let Some(share) = look.coverage {
        text.push_str(&format!(", {:.0} % of the runtime's are seen", share * 100.0));
    }
    if look.more > 0 {
        text.push_str(&format!(", {} sites are not listed", count(look.more)));
    }
    if !look.losses.is_empty() {
        text.push_str(&format!(", lost: {}", look.losses));
    }
    text
}
