//! The command line: one definition feeds the parser, the help, the man page and the completions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::http::HttpArgs;
use crate::terminal::ColorChoice;

/// Finds what retains memory in a Rust service: captures heap profiles, compares and draws them.
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
    /// Write a profile in the format of another viewer
    Convert(commands::convert::ConvertArgs),
    /// Why does memory grow, or exceed the heap: RSS or cgroup against the allocator's books
    Triage(commands::triage::TriageArgs),
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
