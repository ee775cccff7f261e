//! `top`: the functions that hold or do the most.

use std::process::ExitCode;

use clap::Args;
use diag::profile::estimate::{Accumulated, Interval};
use diag::profile::table::{SortBy, Top, TopOptions, top};
use diag::profile::{Grouping, Profile, units};
use serde_json::{Value, json};

use crate::certainty;
use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::error::{Error, Result};
use crate::load::{Loaded, Loader};
use crate::output::print;
use crate::table::{Align, Table};
use crate::target::Target;
use crate::terminal::{Style, stdout_columns};
use crate::view::{GroupArgs, SelectArgs, caveats, facts, heading, profile_error};

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
    let loaded = Loader::new(global, &args.symbols)?.one(&target)?;
    let type_index = args.select.type_index(&loaded.profile)?;
    let fail = |e| profile_error(&loaded.name, &e);
    let shown = args.select.apply(&loaded)?;
    let options = TopOptions {
        grouping: args.group.by.clone(),
        sort: if args.cum { SortBy::Cum } else { SortBy::Flat },
        limit: (args.rows > 0).then_some(args.rows),
    };
    let table = top(&shown, type_index, &options).map_err(fail)?;
    let certain = intervals(&shown, &options.grouping, &table);
    match args.format.format {
        TextOrJson::Json => print(&format!("{}\n", document(&loaded, type_index, &table, &certain)?))?,
        TextOrJson::Text => {
            print(&text(&loaded, type_index, &table, &certain, Style::for_stdout(global.color)))?;
        }
    }
    // Freeing tables of a million entries takes longer than ending the process.
    std::mem::forget(shown);
    std::mem::forget(loaded);
    Ok(ExitCode::SUCCESS)
}

/// 95 % intervals of the own values, where the profile was sampled by bytes; empty where not.
fn intervals(shown: &Profile, grouping: &Grouping, top: &Top) -> Vec<Interval> {
    if *grouping != Grouping::Function {
        return Vec::new();
    }
    let frames: Vec<_> = top.rows.iter().map(|r| &r.frame).collect();
    let sums = certainty::by_leaf(shown, &top.kind, &frames).unwrap_or_default();
    let of_unit = |sum: Accumulated| match top.unit.as_str() {
        "bytes" => Some(sum.estimate().bytes),
        _ => sum.estimate().objects,
    };
    sums.into_iter().map(|s| of_unit(s).unwrap_or_default()).collect()
}

fn document(loaded: &Loaded, type_index: usize, top: &Top, certain: &[Interval]) -> Result<Value> {
    let broken =
        |e: serde_json::Error| Error::failed(format!("cannot write JSON: {e}"), "this is a bug: report it");
    let mut table = serde_json::to_value(top).map_err(broken)?;
    if let Some(rows) = table.get_mut("rows").and_then(Value::as_array_mut) {
        for (row, interval) in rows.iter_mut().zip(certain) {
            if let Some(row) = row.as_object_mut() {
                row.insert("flat_low".into(), interval.low.into());
                row.insert("flat_high".into(), interval.high.into());
            }
        }
    }
    Ok(json!({"schema": "diag.top/1", "profile": facts(loaded, type_index), "top": table}))
}

fn text(loaded: &Loaded, type_index: usize, top: &Top, certain: &[Interval], style: Style) -> String {
    let mut out = heading(loaded, type_index, top.total);
    out.push_str(&caveats(loaded));
    if top.rows.is_empty() {
        out.push_str("nothing to show: no sample has a value of this type\n");
        return out;
    }
    let mut table = Table::new(&[
        ("flat", Align::Right),
        (if certain.is_empty() { "" } else { "95 %" }, Align::Right),
        ("flat %", Align::Right),
        ("cum", Align::Right),
        ("cum %", Align::Right),
        ("function", Align::Left),
    ]);
    for (i, row) in top.rows.iter().enumerate() {
        let certain = certain.get(i).filter(|_| row.flat != 0);
        let cells = vec![
            units::value(row.flat, &top.unit),
            certain.map(|c| certainty::plus_minus(c, &top.unit)).unwrap_or_default(),
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
