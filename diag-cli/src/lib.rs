//! The command `diag-cli`, as a library: [`main`] is all that the binary calls.
//!
//! `cli` defines the command line, `commands` holds one file a verb. A verb turns its arguments into
//! [`Target`](target::Target)s, `load` makes profiles of them, `diag::profile` does the arithmetic, and `output` puts the
//! result where it belongs. Nothing here computes on profiles, and nothing in `diag::profile` reads files.

pub mod captures;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod commands;
pub mod error;
pub mod http;
pub mod interrupt;
pub mod load;
pub mod output;
pub mod remote;
pub mod symbols;
pub mod table;
pub mod target;
pub mod terminal;
pub mod view;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use error::{Error, Result, one_line};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return parse_failure(&e),
    };
    match run(&cli) {
        Ok(code) => code,
        Err(e) => {
            if !matches!(e, Error::BrokenPipe) {
                eprintln_quietly(&format!("diag-cli: error: {}", e.line()));
            }
            ExitCode::from(e.exit_code())
        }
    }
}

/// Runs a parsed command line.
///
/// # Errors
/// What [`main`] prints.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    let global = &cli.global;
    match &cli.command {
        Command::Capture(args) => commands::capture::run(global, args),
        Command::Captures(args) => commands::captures::run(args),
        Command::Diff(args) => commands::diff::run(global, args),
        Command::Leaks(args) => commands::leaks::run(global, args),
        Command::Top(args) => commands::top::run(global, args),
        Command::Tree(args) => commands::tree::run(global, args),
        Command::Peek(args) => commands::peek::run(global, args),
        Command::Flamegraph(args) => commands::flamegraph::run(global, args),
        Command::Report(args) => commands::report::run(global, args),
        Command::Convert(args) => commands::convert::run(global, args),
        Command::Trace(args) => commands::trace::run(global, args),
        Command::Triage(args) => commands::triage::run(global, args),
        Command::Tasks(args) => commands::tasks::run(global, args),
        Command::Watch(args) => commands::watch::run(global, args),
        Command::Check(args) => commands::check::run(global, args),
        Command::Doctor(args) => commands::doctor::run(global, args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => commands::demo::run(global, args),
        Command::Completions(args) => commands::manual::completions(args).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => commands::manual::man(args).map(|()| ExitCode::SUCCESS),
    }
}

/// Help and version go to stdout; anything else is one line on stderr.
fn parse_failure(e: &clap::Error) -> ExitCode {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = e.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            ExitCode::from(2)
        }
        _ => {
            let text = e.render().to_string();
            // clap's message, tips included, up to its usage block.
            let message = text.split("\n\nUsage:").next().unwrap_or(&text);
            let message = message.split("\n\nFor more information").next().unwrap_or(message);
            let message = one_line(message).replace("error: ", "");
            eprintln_quietly(&format!("diag-cli: error: {message}; `diag-cli help` lists what there is"));
            ExitCode::from(2)
        }
    }
}

/// `eprintln!` panics when stderr is gone.
fn eprintln_quietly(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
