//! `doctor`: why is it empty, what is misconfigured, which file would give names.
//!
//! Looks from the outside in: is it reachable, does it let us in, does it run, does it sample, are there samples, do they
//! have names. Exit code 3 when a capture would fail or be empty, else 0.

mod binary;
mod cpu;
mod finding;
mod live;
mod profile;

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::captures;
use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::error::Result;
use crate::http::Client;
use crate::load;
use crate::output::print;
use crate::target::Target;
use crate::terminal::Style;
use finding::{Findings, Severity};

/// `doctor TARGET`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// host:port or URL, profile file, directory of captures, or a program
    pub target: String,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// How it is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Runs the command.
///
/// # Errors
/// The target is no target at all, or the result cannot be printed.
pub fn run(global: &GlobalArgs, args: &DoctorArgs) -> Result<ExitCode> {
    let target = Target::parse(&args.target)?;
    let mut findings = Findings::default();
    match &target {
        Target::Live(endpoint) => {
            let client = Client::new(&global.http)?;
            live::examine(&client, endpoint, &args.symbols, &mut findings);
        }
        Target::File(path) => {
            let bytes = load::read_file(path)?;
            file(&bytes, &target.to_string(), args, &mut findings);
        }
        Target::Stdin => {
            let bytes = load::read_file(std::path::Path::new("/dev/stdin"))?;
            file(&bytes, "stdin", args, &mut findings);
        }
        Target::Dir(dir) => {
            let listed = captures::list(dir)?;
            profile::examine_directory(&listed, &mut findings);
            let (comparable, _) = captures::comparable(listed);
            if let Some(last) = comparable.last() {
                let bytes = load::read_file(&last.path)?;
                file(&bytes, &last.path.display().to_string(), args, &mut findings);
            }
        }
    }
    match args.format.format {
        TextOrJson::Json => {
            let document = json!({
                "schema": "diag.doctor/1", "target": target.to_string(), "worst": findings.worst(),
                "findings": findings.list(), "modules": findings.modules(),
            });
            print(&format!("{document}\n"))?;
        }
        TextOrJson::Text => print(&findings.text(&target.to_string(), Style::for_stdout(global.color)))?,
    }
    Ok(if findings.worst() == Severity::Error { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

fn file(bytes: &[u8], name: &str, args: &DoctorArgs, findings: &mut Findings) {
    if bytes.starts_with(b"\x7fELF") {
        return binary::examine(bytes, name, findings);
    }
    match load::decode(bytes, name) {
        Ok((decoded, format)) => {
            profile::examine(&decoded, format, findings);
            profile::examine_names(decoded, name, &args.symbols, findings);
        }
        Err(e) => findings.failed("format", &e),
    }
}
