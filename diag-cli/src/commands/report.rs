//! `report`: one file to send to a colleague, from captures: the verdict, memory over time, flame graphs, tables, and how
//! it was made. Exit code 0 also when it shows a leak: what was asked for is the report.
//!
//! Offline: the page fetches nothing, and its policy forbids it to.

mod axis;
mod bars;
mod cards;
mod chart;
mod flames;
mod html;
mod load;
mod markup;
mod model;
mod series;
mod tables;
mod tasks;
mod waterline;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use diag::profile::units;

use crate::cli::{GlobalArgs, SymbolArgs};
use crate::clock;
use crate::error::Result;
use crate::load::Loader;
use crate::output::Sink;
use load::Inputs;
use model::{Document, Making};

/// `report DIR`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// A directory of captures; or two or more profile files of one process, and memory-*.json files
    #[arg(required = true, value_name = "DIR")]
    pub targets: Vec<String>,
    /// Where to write the page; - for stdout
    #[arg(short, long = "out", value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
    /// At most this many frames in each flame graph, the heaviest; the rest is summed up
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub frames: u32,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}

/// Runs the command.
///
/// # Errors
/// There are no two captures of one process, or the page cannot be written.
pub fn run(global: &GlobalArgs, args: &ReportArgs) -> Result<ExitCode> {
    let sink = Sink::parse(&args.out);
    sink.check()?;
    let mut loader = Loader::new(global, &args.symbols)?;
    let inputs = Inputs::read(&mut loader, &args.targets)?;
    loader.progress.step("judging and drawing …");
    let making = Making {
        command: format!("diag-cli report {} -o {}", args.targets.join(" "), args.out.display()),
        now_unix_ns: clock::now_unix_ns(),
        frames: usize::try_from(args.frames).unwrap_or(usize::MAX),
        nonce: nonce(),
    };
    let document = Document::new(inputs, making)?;
    let page = html::page(&document);
    loader.progress.clear();
    sink.write(page.as_bytes())?;
    if let Sink::File(path) = &sink {
        let size = units::bytes(i64::try_from(page.len()).unwrap_or(i64::MAX));
        let verdict = document.report.headline();
        loader.progress.note(&format!("wrote {} ({size}): {verdict}", path.display()));
    }
    std::mem::forget(document);
    Ok(ExitCode::SUCCESS)
}

/// 128 random bits, from the keys of the standard library's hash maps.
fn nonce() -> String {
    let word = |n: u8| RandomState::new().hash_one(n);
    format!("{:016x}{:016x}", word(0), word(1))
}
