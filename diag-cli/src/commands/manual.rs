//! `completions` and `man`: made from the same definition as the parser.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::output::{Sink, print, reason};

/// `completions SHELL`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell: source the output, or put it where the shell looks for completions
    pub shell: clap_complete::Shell,
}

/// `man [--out DIR]`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Write diag-cli.1 and a page a command into this directory
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints a completion script.
///
/// # Errors
/// Stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "diag-cli", &mut script);
    Sink::Stdout.write(&script)
}

/// Prints the manual page, or writes all pages.
///
/// # Errors
/// Stdout or the directory cannot be written.
pub fn man(args: &ManArgs) -> Result<()> {
    let Some(dir) = &args.out else {
        return Sink::Stdout.write(&page(Cli::command())?);
    };
    std::fs::create_dir_all(dir).map_err(|e| crate::output::write_error(dir, &e))?;
    let mut root = Cli::command();
    root.build();
    let mut written = String::new();
    let pages = std::iter::once(root.clone()).chain(root.get_subcommands().cloned());
    for command in pages.filter(|c| c.get_name() != "help") {
        // `diag-cli-diff` for the subcommand `diff`.
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let path = dir.join(format!("{name}.1"));
        Sink::File(path.clone()).write(&page(command)?)?;
        written.push_str(&format!("{}\n", path.display()));
    }
    print(&written)
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut roff = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut roff)
        .map_err(|e| Error::failed(format!("cannot make the manual page: {}", reason(&e)), "try again"))?;
    Ok(roff)
}
