//! `peek`: callers and callees of the functions that match.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use diag::profile::table::{Edge, Peek, peek};
use diag::profile::{Pattern, units};
use serde_json::json;

use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::collect::CollectArgs;
use crate::error::{Error, Result, one_line};
use crate::load::{Loaded, Loader};
use crate::output::print;
use crate::table::fit;
use crate::target::Target;
use crate::terminal::{Style, stdout_columns};
use crate::view::{GroupArgs, SelectArgs, caveats, facts, frame, heading, profile_error};

/// `peek TARGET REGEX`.
#[derive(Clone, Debug, Args)]
pub struct PeekArgs {
    /// host:port, URL, profile file, directory of captures (the latest), or - for stdin
    pub target: String,
    /// Functions to look at: a regular expression found anywhere in the name
    pub regex: String,
    /// How many functions, and how many callers and callees of each; 0 for all
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 10)]
    pub rows: usize,
    /// What a row is.
    #[command(flatten)]
    pub group: GroupArgs,
    /// What is collected.
    #[command(flatten)]
    pub collect: CollectArgs,
    /// What is counted.
    #[command(flatten)]
    pub select: SelectArgs,
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
/// The target cannot be loaded, or nothing matches.
pub fn run(global: &GlobalArgs, args: &PeekArgs) -> Result<ExitCode> {
    let pattern = Pattern::new(&args.regex).map_err(|e| profile_error("REGEX", &e))?;
    let target = Target::parse(&args.target)?;
    let loaded = Loader::new(global, &args.symbols)?.collecting(args.collect.collect()?).one(&target)?;
    let type_index = args.select.type_index(&loaded.profile)?;
    let fail = |e| profile_error(&loaded.name, &e);
    let shown = args.select.apply(&loaded)?;
    let mut rows = peek(&shown, type_index, &args.group.by, &pattern).map_err(fail)?;
    if rows.is_empty() {
        return Err(Error::failed(
            format!("{}: no function matches {}", loaded.name, args.regex),
            if args.select.runtime { "try (?i) for any case" } else { "try (?i) for any case, or --runtime" },
        ));
    }
    let matched = rows.len();
    if args.rows > 0 {
        rows.truncate(args.rows);
    }
    match args.format.format {
        TextOrJson::Json => {
            let document = json!({
                "schema": "diag.peek/1", "profile": facts(&loaded, type_index), "matched": matched, "functions": rows,
            });
            print(&format!("{document}\n"))?;
        }
        TextOrJson::Text => {
            let mut out = heading(&loaded, type_index, shown.total(type_index));
            out.push_str(&caveats(&loaded));
            text(&mut out, &loaded, type_index, &rows, args.rows, Style::for_stdout(global.color));
            if matched > rows.len() {
                let _ = writeln!(out, "\n… {} more functions match; -n 0 shows all", matched - rows.len());
            }
            print(&out)?;
        }
    }
    std::mem::forget(shown);
    std::mem::forget(loaded);
    Ok(ExitCode::SUCCESS)
}

fn text(out: &mut String, loaded: &Loaded, type_index: usize, rows: &[Peek], limit: usize, style: Style) {
    let unit = loaded.profile.sample_types().get(type_index).map_or("", |t| t.unit.as_str());
    let total = loaded.profile.total(type_index);
    let columns = stdout_columns();
    for p in rows {
        let _ = writeln!(
            out,
            "\n{}\n  own {}, with callees {} ({} of all)",
            style.strong(&fit(&one_line(&frame(&p.row.frame)), columns)),
            units::value(p.row.flat, unit),
            units::value(p.row.cum, unit),
            units::percent(p.row.cum, total)
        );
        for (what, edges) in [("called by", &p.callers), ("calls", &p.callees)] {
            let _ = writeln!(out, "  {what}{}", if edges.is_empty() { " nothing" } else { "" });
            let shown = if limit == 0 { edges.len() } else { limit };
            for edge in edges.iter().take(shown) {
                let _ = writeln!(out, "{}", fit(&edge_line(edge, unit, p.row.cum), columns));
            }
            if edges.len() > shown {
                let _ = writeln!(out, "    … {} more", edges.len() - shown);
            }
        }
    }
}

fn edge_line(edge: &Edge, unit: &str, of: i64) -> String {
    format!(
        "    {:>10}  {:>7}  {}",
        units::value(edge.value, unit),
        units::percent(edge.value, of),
        one_line(&frame(&edge.frame))
    )
}
