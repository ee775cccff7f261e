//! What the terminal can do: width, colour, progress lines.
//!
//! Progress goes to stderr. On a terminal it is one line that rewrites itself; elsewhere only [`Progress::note`]
//! prints, a plain line each. Colour follows NO_COLOR (no-color.org), `--color` and whether stdout is a terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// When stdout is a terminal and NO_COLOR is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours for added and removed. Orange against blue: readable for the colour-blind, and the sign is always there.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    enabled: bool,
}

impl Style {
    /// The style for stdout.
    pub fn for_stdout(choice: ColorChoice) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let enabled = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => std::io::stdout().is_terminal() && !no_color && !dumb,
        };
        Self { enabled }
    }

    /// Whether there is any colour.
    pub fn is_enabled(self) -> bool {
        self.enabled
    }

    /// No colour at all.
    pub fn plain() -> Self {
        Self { enabled: false }
    }

    /// More of something.
    pub fn grown(self, text: &str) -> String {
        self.paint("38;5;208", text)
    }

    /// Less of something.
    pub fn shrunk(self, text: &str) -> String {
        self.paint("38;5;39", text)
    }

    /// The important part.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// The unimportant part.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.enabled { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Columns of stdout, when it is a terminal: longer lines are cut there, and nowhere else.
pub fn stdout_columns() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)).filter(|w| *w >= 40)
}

/// Tells a person what is going on.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    terminal: bool,
    line_open: bool,
}

impl Progress {
    /// Progress on stderr; silent with `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), line_open: false }
    }

    /// A passing state: shown on a terminal only, replaced by the next one.
    pub fn step(&mut self, text: &str) {
        if self.quiet || !self.terminal {
            return;
        }
        let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(w, _)| usize::from(w.0));
        let shown: String = crate::error::one_line(text).chars().take(width.saturating_sub(1)).collect();
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{shown}");
        self.line_open = true;
    }

    /// Something worth keeping: a line of its own.
    pub fn note(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        self.clear();
        let _ = writeln!(std::io::stderr(), "{}", crate::error::one_line(text));
    }

    /// A line that `--quiet` does not hide: losses, gaps, doubts.
    pub fn warn(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "diag-cli: warning: {}", crate::error::one_line(text));
    }

    /// Does something that takes `length` by design, and counts the time meanwhile: `doing … 3 of 10 s`.
    pub fn during<R>(&mut self, doing: &str, length: Duration, work: impl FnOnce() -> R) -> R {
        if length.is_zero() {
            self.step(&format!("{doing} …"));
            return work();
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let ticker = scope.spawn(|| {
                let start = Instant::now();
                while !done.load(Ordering::Relaxed) {
                    self.step(&counted(doing, start.elapsed(), length));
                    std::thread::park_timeout(Duration::from_millis(500));
                }
            });
            let result = work();
            done.store(true, Ordering::Relaxed);
            ticker.thread().unpark();
            result
        })
    }

    /// Removes the passing state.
    pub fn clear(&mut self) {
        if self.line_open {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
            self.line_open = false;
        }
    }
}

/// `watching … 3 of 10 s`.
pub fn counted(doing: &str, passed: Duration, length: Duration) -> String {
    format!("{doing} … {} of {} s", passed.as_secs().min(length.as_secs()), length.as_secs())
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
