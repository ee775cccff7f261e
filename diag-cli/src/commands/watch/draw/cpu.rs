//! CPU time over time, and the functions of the last profile.

use diag::profile::units;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::Line;

use super::super::data::CpuLook;
use super::super::look::{self, CpuOrder, Panel};
use super::super::plan::{Ask, CPU_SECONDS};
use super::super::state::{At, State};
use super::chart::{self, Series, round_up};
use super::list::{self, Row};
use super::{Theme, clock, frame_around};

/// The last ones are left out where they would leave no room for names.
const COLUMNS: [(&str, usize); 3] = [("own %", 7), ("total %", 7), ("own", 9)];
const NARROW: u16 = 60;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, at: At, theme: Theme) {
    let data = state.shown();
    let span_ms = state.look.span_min() * 60_000;
    let percents = data.history.cpu_percent(span_ms);
    let inner = frame_around(frame, area, (Panel::Cpu, title(state, &percents)), (state, Ask::Cpu), theme);
    let (chart_area, rest) = match &data.cpu {
        // The profile is what was asked for: it has more of the room.
        Some(_) => {
            let rows = [Constraint::Percentage(35), Constraint::Min(0)];
            let [chart, rest] = Layout::vertical(rows).areas(inner);
            (
                if chart.height < 5 { Rect { height: 0, ..chart } } else { chart },
                if chart.height < 5 { inner } else { rest },
            )
        }
        None => {
            let [chart, rest] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(inner);
            (chart, rest)
        }
    };
    let most = percents.iter().map(|(_, percent)| *percent).fold(0.0, f64::max);
    // Whole processors where there is more than one in use.
    let most = if most <= 100.0 { 100.0 } else { round_up(most / 100.0) * 100.0 };
    let line = Series { marker: Marker::Braille, style: theme.first(), points: percents };
    chart::draw(frame, chart_area, &[line], (most, &|percent| format!("{percent:.0} %")), theme);
    match (&data.cpu, state.recording_since) {
        (_, Some(since)) => {
            let passed_s = at.mono_ms.saturating_sub(since.mono_ms) / 1000;
            let text = format!("recording CPU time … {} of {CPU_SECONDS} s", passed_s.min(CPU_SECONDS));
            frame.render_widget(
                Line::styled(text, theme.strong()),
                Rect { height: rest.height.min(1), ..rest },
            );
        }
        (Some(look), None) => profile(frame, rest, look, state, theme),
        (None, None) => {
            let text = format!("c records {CPU_SECONDS} s and shows where they went");
            frame.render_widget(Line::styled(text, theme.faint()), rest);
        }
    }
}

fn title(state: &State, percents: &[(i64, f64)]) -> String {
    let history = &state.shown().history;
    let now = percents.last().map_or("CPU".to_owned(), |(_, percent)| format!("CPU {percent:.0} %"));
    let threads = history.last().and_then(|r| r.threads);
    let threads = threads.map(|n| format!(", {n} threads")).unwrap_or_default();
    let own = history.diag_cpu_percent(state.look.span_min() * 60_000);
    let own = own.map(|percent| format!(", diag {percent:.1} %")).unwrap_or_default();
    format!("{now}{threads}{own}")
}

fn profile(frame: &mut Frame<'_>, area: Rect, look: &CpuLook, state: &State, theme: Theme) {
    let order = match state.look.cpu {
        CpuOrder::Own => "own time",
        CpuOrder::Total => "total time",
    };
    let head = format!(
        "{} in {:.0} s, {}, by {order}",
        units::nanoseconds(look.total_ns),
        look.seconds,
        clock(look.taken_unix_ms)
    );
    let [line, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(head, theme.strong()), line);
    let rows = look::cpu(&state.look, &look.sites);
    let cursor = (state.look.panel == Panel::Cpu).then(|| state.look.list(Panel::Cpu).cursor);
    let cursor = cursor.map(|c| c.min(rows.len().saturating_sub(1)));
    let columns = if rest.width < NARROW { &COLUMNS[..1] } else { &COLUMNS };
    list::draw(frame, rest, (columns, "function"), (rows.len(), cursor), theme, |at| {
        let site = rows.get(at)?;
        Some(Row {
            cells: vec![
                units::percent(site.value, look.total_ns),
                units::percent(site.cumulated, look.total_ns),
                units::nanoseconds(site.value),
            ],
            name: site.function.clone(),
            place: site.place.clone(),
            style: Style::new(),
        })
    });
}
