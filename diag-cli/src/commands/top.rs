//! `top`: the functions that hold or do the most.

use std::process::ExitCode;

use clap::Args;
use diag::profile::table::{SortBy, Top, TopOptions, top};
use diag::profile::{Grouping, units};
use serde_json::json;

use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::collect::CollectArgs;
use crate::error::Result;
use crate::load::{Loaded, Loader};
use crate::output::print;
use crate::table::{Align, Table};
use crate::target::Target;
use crate::terminal::{Style, stdout_columns};
use crate::view::{GroupArgs, SelectArgs, caveats, facts, heading, plus_minus, profile_error};

/// `top TARGET`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// host:port, URL, profile file, directory of captures (the latest), or - for stdin
    pub target: String,
    /// How many rows; 0 for all
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 20)]
    pub rows: usize,
    /// Order by the value with everything called, in place of the own value
    #[arg(long)]
    pub cum: bool,
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
/// The target cannot be loaded, or has not what was asked for.
pub fn run(global: &GlobalArgs, args: &TopArgs) -> Result<ExitCode> {
    let target = Target::parse(&args.target)?;
    let loaded = Loader::new(global, &args.symbols)?.collecting(args.collect.collect()?).one(&target)?;
    let type_index = args.select.type_index(&loaded.profile)?;
    let fail = |e| profile_error(&loaded.name, &e);
    let by_frame = matches!(args.group.by, Grouping::Function | Grouping::Line | Grouping::Address);
    // Hiding while counting is cheaper than a copy of the profile without those frames.
    let shown =
        if by_frame { args.select.apply_with_runtime(&loaded)? } else { args.select.apply(&loaded)? };
    let options = TopOptions {
        grouping: args.group.by.clone(),
        sort: if args.cum { SortBy::Cum } else { SortBy::Flat },
        limit: (args.rows > 0).then_some(args.rows),
        hide_runtime: by_frame && !args.select.runtime,
    };
    let table = top(&shown, type_index, &options).map_err(fail)?;
    match args.format.format {
        TextOrJson::Json => {
            let document =
                json!({"schema": "diag.top/1", "profile": facts(&loaded, type_index), "top": table});
            print(&format!("{document}\n"))?;
        }
        TextOrJson::Text => {
            print(&text(&loaded, type_index, &table, Style::for_stdout(global.color)))?;
        }
    }
    // Freeing tables of a million entries takes longer than ending the process.
    std::mem::forget(shown);
    std::mem::forget(loaded);
    Ok(ExitCode::SUCCESS)
}

fn text(loaded: &Loaded, type_index: usize, top: &Top, style: Style) -> String {
    let mut out = heading(loaded, type_index, top.total);
    out.push_str(&caveats(loaded));
    if top.rows.is_empty() {
        out.push_str("nothing to show: no sample has a value of this type\n");
        return out;
    }
    let mut table = Table::new(&[
        ("flat", Align::Right),
        (if top.rows.iter().any(|r| r.flat_low.is_some()) { "95 %" } else { "" }, Align::Right),
        ("flat %", Align::Right),
        ("cum", Align::Right),
        ("cum %", Align::Right),
        ("function", Align::Left),
    ]);
    for row in &top.rows {
        let certain = plus_minus(row.flat, row.flat_low, row.flat_high, &top.unit);
        let cells = vec![
            units::value(row.flat, &top.unit),
            certain,
            units::percent(row.flat, top.total),
            units::value(row.cum, &top.unit),
            units::percent(row.cum, top.total),
            crate::view::frame(&row.frame),
        ];
        if !row.class.is_hidden() {
            table.row(cells);
        } else {
            table.painted(cells, move |line| style.faint(line));
        }
    }
    out.push_str(&table.render(stdout_columns()));
    if top.rows_total > top.rows.len() {
        out.push_str(&format!("… {} more; -n 0 shows all\n", top.rows_total - top.rows.len()));
    }
    out
}
