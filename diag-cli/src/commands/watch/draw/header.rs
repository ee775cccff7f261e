//! The lines above and below the panels: who it is, whether it answers, the verdict; what is asked, what was done, the keys.

use diag::leak::Verdict;
use diag::profile::units;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::data::VerdictLook;
use super::super::look::Panel;
use super::super::plan::Ask;
use super::super::state::{At, State};
use super::{Theme, clock, span};

/// An answer that is so much later than planned is missed.
const LATE: f64 = 3.0;

/// The first lines.
pub(super) fn head(frame: &mut Frame<'_>, area: Rect, state: &State, at: At, theme: Theme) {
    let [first, second] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let (how, style) = liveness(state, at, theme);
    let right = Line::styled(how, style);
    let width = u16::try_from(right.width()).unwrap_or(u16::MAX).min(first.width);
    let [left, gap, right_area] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(2), Constraint::Length(width)])
            .areas(first);
    frame.render_widget(Line::from(identity(state, theme)), left);
    frame.render_widget("", gap);
    frame.render_widget(right, right_area);
    if second.is_empty() {
        return;
    }
    let line = match &state.link.down {
        Some(why) => {
            let wait_s = state.link.retry_at_ms.saturating_sub(at.mono_ms).div_ceil(1000);
            let since = state.link.last_answer_unix_ms.map(|ms| format!("last answer {}", clock(ms)));
            let since = since.unwrap_or_else(|| "no answer yet".into());
            Line::styled(format!("{since}; next try in {wait_s} s; {why}"), theme.bad())
        }
        None => verdict(state.shown().verdict.as_ref(), state, theme),
    };
    frame.render_widget(line, second);
}

fn identity(state: &State, theme: Theme) -> Vec<Span<'static>> {
    let identity = &state.shown().identity;
    let mut spans = Vec::new();
    if !identity.service.is_empty() {
        spans.push(Span::styled(format!("{}  ", identity.service), theme.strong()));
    }
    spans.push(Span::raw(state.target.clone()));
    if let Some(process) = state.link.process {
        spans.push(Span::raw(format!("  pid {}", process.pid)));
    }
    if identity.uptime_s > 0.0 {
        spans.push(Span::raw(format!("  up {}", span(identity.uptime_s))));
    }
    if let Some((when, before)) = state.link.restarted {
        spans
            .push(Span::styled(format!("  RESTARTED {} (was pid {})", clock(when), before.pid), theme.bad()));
    }
    if identity.problems > 0 {
        let text = format!("  {} problems: diag-cli doctor", identity.problems);
        spans.push(Span::styled(text, theme.bad()));
    }
    spans
}

fn liveness(state: &State, at: At, theme: Theme) -> (String, Style) {
    let silent_s = state.link.last_answer_unix_ms.map(|ms| at.unix_ms.saturating_sub(ms) as f64 / 1e3);
    match (state.frozen_at(), silent_s) {
        (_, Some(s)) if state.link.down.is_some() || s > LATE * state.plan.every_s() + 2.0 => {
            (format!("NO ANSWER for {}", span(s)), theme.bad())
        }
        (Some(since), _) => (format!("FROZEN at {}", clock(since.unix_ms)), theme.strong()),
        (None, None) => ("asking …".into(), theme.faint()),
        (None, Some(_)) => (clock(at.unix_ms), theme.good()),
    }
}

fn verdict(look: Option<&VerdictLook>, state: &State, theme: Theme) -> Line<'static> {
    let Some(look) = look else {
        return match state.misses.get(&Ask::Verdict) {
            Some(miss) if miss.is_absent => Line::styled("leaks: not in this build", theme.faint()),
            Some(miss) => Line::styled(format!("leaks: {}", miss.why), theme.bad()),
            None => Line::styled("leaks: no verdict yet", theme.faint()),
        };
    };
    let watched = format!("{} to {}", span(look.watched_s), clock(look.heard_unix_ms));
    match (look.verdict, look.suspects.first()) {
        (Verdict::Leak, Some((site, rate))) => {
            let more = match look.suspects.len() {
                1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            let rate = units::per_hour(*rate, "bytes");
            Line::styled(format!("LEAK  {site}  grows {rate}{more} (watched {watched})"), theme.bad())
        }
        (Verdict::Leak, None) => Line::styled(format!("LEAK (watched {watched})"), theme.bad()),
        (Verdict::NoLeak, suspects) => {
            let more = suspects.map(|(site, _)| format!("; what grew most: {site}")).unwrap_or_default();
            Line::styled(format!("no leak in {watched}{more}"), theme.good())
        }
        (Verdict::NotEnoughEvidence, _) => {
            let why = if look.reason.is_empty() { String::new() } else { format!(": {}", look.reason) };
            Line::styled(format!("leaks: not enough evidence in {watched}{why}"), theme.faint())
        }
    }
}

/// The last lines; the keys are the last to go.
pub(super) fn foot(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let lines = match area.height {
        0 => return,
        1 if state.look.typing => vec![message(state, theme)],
        1 => vec![keys(state, theme)],
        2 => vec![message(state, theme), keys(state, theme)],
        _ => vec![asking(state, theme), message(state, theme), keys(state, theme)],
    };
    for (line, row) in lines.into_iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

/// What the view costs the service.
fn asking(state: &State, theme: Theme) -> Line<'static> {
    let data = state.shown();
    let asked = |ask, took_ms: Option<u64>| {
        let each = span(state.plan.spacing_ms(ask, took_ms.unwrap_or(0)) as f64 / 1e3);
        let took = took_ms.map(|ms| format!(" ({ms} ms)")).unwrap_or_default();
        format!("{ask} each {each}{took}")
    };
    Line::styled(
        format!(
            "asks: waterline, tasks each {}; one at a time: {}, {}",
            span(state.plan.every_s()),
            asked(Ask::Heap, data.heap.as_ref().map(|h| h.took_ms)),
            asked(Ask::Verdict, data.verdict.as_ref().map(|v| v.took_ms)),
        ),
        theme.faint(),
    )
}

fn message(state: &State, theme: Theme) -> Line<'static> {
    if state.look.typing {
        let filter = &state.look.list(state.look.panel).filter;
        return Line::styled(format!("/{filter}_   Enter keeps the filter, Esc drops it"), theme.strong());
    }
    Line::raw(state.message.clone())
}

fn keys(state: &State, theme: Theme) -> Line<'static> {
    let order = if state.look.panel == Panel::Waterline { "span" } else { "sort" };
    let freeze = if state.frozen_at().is_some() { "go on" } else { "freeze" };
    let keys = [
        ("q", "quit"),
        ("?", "help"),
        ("Tab", "panel"),
        ("Enter", "zoom"),
        ("s", order),
        ("/", "filter"),
        ("f", freeze),
        ("b", "baseline"),
        ("c", "CPU"),
        ("w", "write"),
    ];
    let spans = keys
        .into_iter()
        .flat_map(|(key, does)| [Span::styled(key, theme.strong()), Span::raw(format!(" {does}  "))]);
    Line::from(spans.collect::<Vec<_>>())
}
