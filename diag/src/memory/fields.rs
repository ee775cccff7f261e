//! Parsers of the kernel's small text files. Pure; no input panics, and nothing unreadable becomes a number.

use super::model::{Pressure, Stall};
use super::reading::{Limit, Reading};

/// v1 writes "no limit" as the largest multiple of the page size, 2^63 - 4096; with 64 KiB pages 2^63 - 65536.
pub(super) const V1_UNLIMITED_FROM: u64 = (1 << 63) - (1 << 16);

/// A text of `key value` lines (`memory.stat`) or `Key:   value kB` lines (`status`, `smaps_rollup`, `meminfo`),
/// or why it could not be read.
pub(super) struct Fields<'a> {
    pub(super) name: &'a str,
    pub(super) text: Result<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(name: &'a str, text: &'a Result<String, String>) -> Self {
        Self { name, text: text.as_deref().map_err(String::as_str) }
    }

    /// The plain number of `key`.
    pub(super) fn number(&self, key: &str) -> Reading<u64> {
        self.words(key).and_then(|mut words| self.parse(key, words.next())).into()
    }

    /// The bytes of `key`, given as `value kB`.
    pub(super) fn kib(&self, key: &str) -> Reading<u64> {
        self.words(key)
            .and_then(|mut words| {
                let kib = self.parse(key, words.next())?;
                match words.next() {
                    Some("kB") => Ok(kib.saturating_mul(1024)),
                    // A line that was cut off may have lost digits too.
                    _ => Err(format!("{}: the line {key} has no unit", self.name)),
                }
            })
            .into()
    }

    fn words(&self, key: &str) -> Result<std::str::SplitAsciiWhitespace<'a>, String> {
        let text = self.text.map_err(str::to_owned)?;
        text.lines()
            .find_map(|line| {
                let rest = line.strip_prefix(key)?;
                let rest = rest.strip_prefix(':').unwrap_or(rest);
                (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| rest.split_ascii_whitespace())
            })
            .ok_or_else(|| format!("{} has no line {key}", self.name))
    }

    fn parse(&self, key: &str, word: Option<&str>) -> Result<u64, String> {
        word.and_then(|w| w.parse().ok())
            .ok_or_else(|| format!("{}: the line {key} has no number", self.name))
    }
}

/// A file with one number.
pub(super) fn number(name: &str, text: Result<String, String>) -> Reading<u64> {
    text.and_then(|t| t.trim().parse().map_err(|_| format!("{name} is not a number: {}", excerpt(&t)))).into()
}

/// A file with one number that may be negative in v1 (-1) or `max` in v2, both of which mean no limit.
pub(super) fn limit(name: &str, text: Result<String, String>) -> Reading<Limit> {
    text.and_then(|t| match t.trim() {
        "max" | "-1" => Ok(Limit::Unlimited),
        other => match other.parse::<u64>() {
            Ok(bytes) if bytes >= V1_UNLIMITED_FROM => Ok(Limit::Unlimited),
            Ok(bytes) => Ok(Limit::Bytes(bytes)),
            Err(_) => Err(format!("{name} is not a limit: {}", excerpt(&t))),
        },
    })
    .into()
}

/// A PSI file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same with `full`.
pub(super) fn pressure(file: &str, text: &str) -> Pressure {
    let line = |kind: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))
            .and_then(stall)
            .ok_or_else(|| format!("{file} has no whole line {kind}"))
            .into()
    };
    Pressure { file: file.to_owned(), some: line("some"), full: line("full") }
}

fn stall(line: &str) -> Option<Stall> {
    let field =
        |key: &str| line.split_ascii_whitespace().find_map(|w| w.strip_prefix(key)?.strip_prefix('='));
    let percent = |key: &str| field(key)?.parse().ok().filter(|p: &f64| p.is_finite());
    Some(Stall {
        avg10_percent: percent("avg10")?,
        avg60_percent: percent("avg60")?,
        total_us: field("total")?.parse().ok()?,
    })
}

/// The selected word of `always [madvise] never`.
pub(super) fn selected(name: &str, text: Result<String, String>) -> Reading<String> {
    text.and_then(|t| {
        t.split_ascii_whitespace()
            .find_map(|w| w.strip_prefix('[')?.strip_suffix(']'))
            .map(str::to_owned)
            .ok_or_else(|| format!("{name} selects nothing: {}", excerpt(&t)))
    })
    .into()
}

fn excerpt(text: &str) -> String {
    let mut short: String =
        text.trim().chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.is_empty() {
        short.push_str("(empty)");
    }
    short
}
