//! `tree`: the call tree from the roots, heaviest first.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use diag::profile::tree::{CallTree, NodeId, Sides, TreeOptions};
use diag::profile::units;
use serde_json::{Value, json};

use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::collect::CollectArgs;
use crate::error::{Result, one_line};
use crate::load::Loader;
use crate::output::print;
use crate::table::fit;
use crate::target::Target;
use crate::terminal::stdout_columns;
use crate::view::{GroupArgs, SelectArgs, caveats, facts, heading, profile_error};

/// `tree TARGET`.
#[derive(Clone, Debug, Args)]
pub struct TreeArgs {
    /// host:port, URL, profile file, directory of captures (the latest), or - for stdin
    pub target: String,
    /// How many frames, the heaviest; the rest is summed up
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 60, value_parser = parse_rows)]
    pub rows: usize,
    /// What a frame is.
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

fn parse_rows(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Ok(usize::MAX),
        Ok(n) => Ok(n.max(2)),
        Err(_) => Err("write a number, or 0 for all".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// The target cannot be loaded, or has not what was asked for.
pub fn run(global: &GlobalArgs, args: &TreeArgs) -> Result<ExitCode> {
    let target = Target::parse(&args.target)?;
    let loaded = Loader::new(global, &args.symbols)?.collecting(args.collect.collect()?).one(&target)?;
    let type_index = args.select.type_index(&loaded.profile)?;
    let fail = |e| profile_error(&loaded.name, &e);
    let shown = args.select.apply(&loaded)?;
    let max_frames = (args.rows < usize::MAX).then_some(args.rows);
    let options = TreeOptions { grouping: args.group.by.clone(), max_frames };
    let tree = CallTree::build(Sides::One(&shown, type_index), &options).map_err(fail)?;
    match args.format.format {
        TextOrJson::Json => {
            let document = json!({
                "schema": "diag.tree/1", "profile": facts(&loaded, type_index), "nodes": nodes(&tree),
            });
            print(&format!("{document}\n"))?;
        }
        TextOrJson::Text => {
            let total = tree.node(NodeId::ROOT).total.new;
            let mut out = heading(&loaded, type_index, total);
            out.push_str(&caveats(&loaded));
            text(&mut out, &tree);
            print(&out)?;
        }
    }
    std::mem::forget(shown);
    std::mem::forget(loaded);
    Ok(ExitCode::SUCCESS)
}

/// A node to print, with the lines that lead to it.
struct Pending {
    node: NodeId,
    /// What stands before its branch.
    indent: String,
    branch: &'static str,
}

fn text(out: &mut String, tree: &CallTree) {
    let unit = &tree.value_type().unit;
    let total = tree.node(NodeId::ROOT).total.new;
    let columns = stdout_columns();
    // A stack of our own: call trees are deeper than threads' stacks allow.
    let mut pending = Vec::new();
    push_children(&mut pending, tree, NodeId::ROOT, "");
    while let Some(Pending { node, indent, branch }) = pending.pop() {
        let n = tree.node(node);
        let own = if n.own.new != 0 && n.own.new != n.total.new {
            format!("  (own {})", units::value(n.own.new, unit))
        } else {
            String::new()
        };
        let line = format!(
            "{:>10}  {:>7}  {indent}{branch}{}{own}",
            units::value(n.total.new, unit),
            units::percent(n.total.new, total),
            one_line(&tree.label(node))
        );
        let _ = writeln!(out, "{}", fit(&line, columns));
        let below = match branch {
            "├ " => format!("{indent}│ "),
            "└ " => format!("{indent}  "),
            _ => indent,
        };
        push_children(&mut pending, tree, node, &below);
    }
}

/// An only child stands under its parent without a branch: long chains stay readable.
fn push_children(pending: &mut Vec<Pending>, tree: &CallTree, node: NodeId, indent: &str) {
    let children = tree.children_by_weight(node);
    let last = children.len().saturating_sub(1);
    for (i, &child) in children.iter().enumerate().rev() {
        let branch = match (last, i) {
            (0, _) => "",
            (_, i) if i == last => "└ ",
            _ => "├ ",
        };
        pending.push(Pending { node: child, indent: indent.to_owned(), branch });
    }
}

/// Nodes in depth-first order, each with the position of its parent: nesting as deep as stacks are would break
/// many readers.
fn nodes(tree: &CallTree) -> Vec<Value> {
    let mut out = Vec::with_capacity(tree.len());
    let mut pending = vec![(NodeId::ROOT, None, 0u32)];
    while let Some((node, parent, depth)) = pending.pop() {
        let n = tree.node(node);
        let frame = tree.frame(node).map(|f| &f.shown);
        let position = out.len();
        out.push(json!({
            "parent": parent, "depth": depth, "name": tree.label(node), "file": frame.map(|f| &f.file),
            "line": frame.map(|f| f.line), "total": n.total.new, "own": n.own.new,
        }));
        let children = tree.children_by_weight(node);
        pending.extend(children.into_iter().rev().map(|c| (c, Some(position), depth + 1)));
    }
    out
}
