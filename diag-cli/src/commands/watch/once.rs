//! One frame as plain text, for scripts and for who has no terminal.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::text::Span;

use super::ask::Asker;
use super::draw::{self, Theme};
use super::plan::Ask;
use super::screen::now_since;
use super::state::{At, Event, State};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

/// Between looks at the clock.
const STEP: Duration = Duration::from_millis(50);

/// Runs until everything was heard once, and for `after` longer; then once more.
///
/// # Errors
/// The service went away, or the user asked to stop.
pub(super) fn watch(
    state: &mut State,
    service: &super::ask::Service,
    after: Duration,
    interrupt: &Interrupt,
    began: Instant,
) -> Result<At> {
    let (asker, heard) = Asker::start(service);
    let (mut ends_at, mut heaps) = (None, None);
    loop {
        if interrupt.is_asked() {
            return Err(Error::Interrupted);
        }
        let event = match heard.recv_timeout(STEP) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Tick,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::failed("the threads that ask have ended", "this is a bug: report it"));
            }
        };
        let at = now_since(began);
        asker.obey(state.update(event, at));
        if let Some(why) = &state.link.down {
            return Err(Error::failed(why, "the service went away while it was watched: try again"));
        }
        if !state.plan.has_heard_all() {
            continue;
        }
        let end = *ends_at.get_or_insert_with(|| Instant::now() + after);
        if after.is_zero() {
            return Ok(at);
        }
        if Instant::now() >= end {
            let before = *heaps.get_or_insert_with(|| {
                state.plan.ask_now(Ask::Heap, at.mono_ms);
                state.plan.ask_now(Ask::History, at.mono_ms);
                state.plan.answers(Ask::Heap)
            });
            if state.plan.answers(Ask::Heap) > before {
                return Ok(at);
            }
        }
    }
}

/// The frame as lines of text.
///
/// # Errors
/// None that is known of: it is drawn into memory.
pub(super) fn text(state: &State, at: At, width: u16, height: u16) -> Result<String> {
    let failed =
        |e: &dyn std::fmt::Display| Error::failed(format!("cannot draw: {e}"), "this is a bug: report it");
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(|e| failed(&e))?;
    terminal.draw(|frame| draw::draw(frame, state, at, Theme::plain())).map_err(|e| failed(&e))?;
    Ok(lines_of(terminal.backend().buffer()))
}

/// Line by line, without blanks at the ends.
fn lines_of(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let (mut line, mut covered) = (String::new(), 0);
        for x in buffer.area.left()..buffer.area.right() {
            let symbol = buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
            if covered == 0 {
                line.push_str(symbol);
                covered = Span::raw(symbol).width().saturating_sub(1);
            } else {
                covered -= 1;
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
