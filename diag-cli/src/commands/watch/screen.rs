//! The terminal: raw mode and the other screen, and the way back from them on every exit: a return, an error, a panic of any thread,
//! SIGINT, SIGTERM and SIGHUP.

use std::io::{self, Stdout, Write};
use std::sync::Once;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{Command, execute, queue};

use super::ask::{Asker, Service};
use super::draw::{self, Theme};
use super::keys::Key;
use super::state::{At, Event, State};
use crate::clock;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

/// How long a key is waited for before the clock is looked at.
const STEP: Duration = Duration::from_millis(100);

/// Runs the view until it is closed.
///
/// # Errors
/// The terminal fails.
pub(super) fn run(
    state: &mut State,
    service: &Service,
    theme: Theme,
    interrupt: &Interrupt,
    began: Instant,
) -> Result<()> {
    let (asker, heard) = Asker::start(service);
    let mut screen = Screen::open()?;
    loop {
        screen.draw(state, now_since(began), theme)?;
        if interrupt.is_asked() {
            return Ok(());
        }
        let mut events = vec![Event::Tick];
        // All that is there, so that a held key does not lag behind.
        let mut wait = STEP;
        while event::poll(wait).map_err(|e| failed(&e))? {
            wait = Duration::ZERO;
            if let event::Event::Key(key) = event::read().map_err(|e| failed(&e))? {
                events.extend(key_of(key).map(Event::Key));
            }
        }
        events.extend(heard.try_iter());
        for event in events {
            if !asker.obey(state.update(event, now_since(began))) {
                return Ok(());
            }
        }
    }
}

/// Now, on both clocks.
pub(super) fn now_since(began: Instant) -> At {
    At {
        mono_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        unix_ms: clock::now_unix_ns() / 1_000_000,
    }
}

struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> Result<Self> {
        restore_on_panic();
        enable_raw_mode().map_err(|e| failed(&e))?;
        // From here on a drop restores.
        let opened = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self(terminal)),
            Err(e) => {
                restore();
                Err(failed(&e))
            }
        }
    }

    fn draw(&mut self, state: &State, at: At, theme: Theme) -> Result<()> {
        self.0.draw(|frame| draw::draw(frame, state, at, theme)).map(|_| ()).map_err(|e| failed(&e))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// A panic of any thread is told on a terminal that shows it.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

fn restore() {
    // Nothing more can be done for a terminal that refuses.
    let mut out = io::stdout();
    let _ = queue_all(&mut out);
    let _ = out.flush();
    let _ = disable_raw_mode();
}

fn queue_all(out: &mut Stdout) -> io::Result<()> {
    fn one(out: &mut Stdout, command: impl Command) -> io::Result<()> {
        queue!(out, command)
    }
    one(out, LeaveAlternateScreen)?;
    one(out, Show)
}

fn failed(e: &io::Error) -> Error {
    Error::failed(format!("the terminal: {e}"), "`diag-cli watch TARGET --once` needs none")
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if control => Key::Interrupt,
        KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
