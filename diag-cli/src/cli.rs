//! The command line: one definition feeds the parser, the help, the man page and the completions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::http::HttpArgs;
use crate::terminal::ColorChoice;

/// Finds what retains memory in a Rust service, and where its CPU time goes: captures profiles, compares and draws them.
///
/// TARGET is host:port or a URL of a live process, a profile file (pprof of any tool, jemalloc heap dump, folded
/// stacks), a directory of captures, or - for stdin.
#[derive(Debug, Parser)]
#[command(name = "diag-cli", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 fine, 1 leak or regression found, 2 wrong command line, 3 capture or input failed.
Progress goes to stderr, results to stdout.";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// How to reach live targets.
    #[command(flatten)]
    pub http: HttpArgs,
    /// No progress on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Colour on stdout (NO_COLOR is obeyed)
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    pub color: ColorChoice,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pull snapshots of a live process into a directory
    Capture(commands::capture::CaptureArgs),
    /// What a process left behind: captures by time and by rules, with their reasons
    Captures(commands::captures::CapturesArgs),
    /// What grew and what vanished between captures, by the code that holds it
    Diff(commands::diff::DiffArgs),
    /// The verdict: which code leaks, how sure that is, and what could not be told
    Leaks(commands::leaks::LeaksArgs),
    /// The functions that hold or do the most
    Top(commands::top::TopArgs),
    /// The call tree, from the roots
    Tree(commands::tree::TreeArgs),
    /// Callers and callees of the functions that match
    Peek(commands::peek::PeekArgs),
    /// Draw a flame graph, or with --base a differential one
    Flamegraph(commands::flamegraph::FlamegraphArgs),
    /// One offline HTML file about captures, to send to a colleague
    Report(commands::report::ReportArgs),
    /// What happened in the last seconds, or happens from now on: spans, events and polls, from the flight recorder
    Trace(commands::trace::TraceArgs),
    /// Write a profile in the format of another viewer
    Convert(commands::convert::ConvertArgs),
    /// Why does memory grow, or exceed the heap: RSS or cgroup against the allocator's books
    Triage(commands::triage::TriageArgs),
    /// The async tasks: what spawned them, what they do, which never end
    Tasks(commands::tasks::TasksArgs),
    /// Live view of a service on the terminal: waterline, top growers, leak verdict, tasks, CPU
    Watch(commands::watch::WatchArgs),
    /// Gate for CI: fails when a profile grew by more than a limit
    Check(commands::check::CheckArgs),
    /// Why is it empty, what is misconfigured
    Doctor(commands::doctor::DoctorArgs),
    /// The whole story on a bundled leaky service
    #[cfg(feature = "demo")]
    Demo(commands::demo::DemoArgs),
    /// Print a completion script for a shell
    Completions(commands::manual::CompletionsArgs),
    /// Print the manual page (roff), or write one a command into a directory
    Man(commands::manual::ManArgs),
}

/// `--format` where a person or a script reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TextOrJson {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// A `--format text|json` option.
#[derive(Clone, Copy, Debug, Args)]
pub struct FormatArgs {
    /// text for people, json for scripts
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: TextOrJson,
}

/// Where names of addresses are looked for.
#[derive(Clone, Debug, Default, Args)]
pub struct SymbolArgs {
    /// The program that was profiled, when it is not where the profile says (used if its build id matches)
    #[arg(long, value_name = "FILE", help_heading = "Symbols")]
    pub binary: Option<PathBuf>,
    /// Directories with binaries or debug files
    #[arg(
        long,
        env = "DIAG_SYMBOL_PATH",
        value_delimiter = ':',
        value_name = "DIR",
        help_heading = "Symbols"
    )]
    pub symbol_path: Vec<PathBuf>,
}

impl SymbolArgs {
    /// Whether the command line says where names are.
    pub fn says_where(&self) -> bool {
        self.binary.is_some() || !self.symbol_path.is_empty()
    }
}

/// Parses `10MiB`, `512k`, `1GB`; powers of 1024 unless the unit ends in B without an i; a bare number is bytes.
///
/// # Errors
/// A sentence for the user.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size: write 4096, 512KiB, 10MiB or 1GiB");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(wrong()),
    };
    Ok((number.parse::<f64>().map_err(|_| wrong())? * scale).round() as u64)
}

/// Parses `5%` as 0.05.
///
/// # Errors
/// A sentence for the user.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').map(str::trim).and_then(|n| n.parse::<f64>().ok());
    number
        .filter(|p| p.is_finite() && *p >= 0.0)
        .map(|p| p / 100.0)
        .ok_or_else(|| format!("'{text}' is not a share: write 5% or 0.5%"))
}

/// Parses `500ms`, `10s`, `5m`, `1h`, `1d`, `1m30s`; a bare number is seconds.
///
/// # Errors
/// A sentence for the user.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time: write 500ms, 10s, 5m or 1h30m");
    let mut rest = text.trim();
    let mut total = 0f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit_s = match unit {
            "ms" => 1e-3,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "" if tail.is_empty() && number.len() == text.trim().len() => 1.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * unit_s;
        rest = tail;
    }
    if total <= 0.0 {
        return Err(format!("'{text}' must be more than nothing"));
    }
    // 100 years: beyond that a Duration added to a clock overflows.
    if total > 100.0 * 365.0 * 86_400.0 {
        return Err(format!("'{text}' is longer than a century"));
    }
    Ok(Duration::from_secs_f64(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_shares() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512KiB", 512 << 10),
            ("10M", 10 << 20),
            ("1.5 GiB", 3 << 29),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1x", "1..5k"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_percent("5%"), Ok(0.05));
        assert_eq!(parse_percent("0 %"), Ok(0.0));
        for bad in ["5", "-1%", "x%", "inf%", "%"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2", 2_000),
            ("0.5", 500),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in
            ["", "s", "10x", "-1s", "0", "0s", "1 s", "1s2", "1..2s", "nan", "inf", "1e99s", "99999999999h"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
