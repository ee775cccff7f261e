//! `flamegraph`: draws a profile, or with `--base` what changed since another.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use diag::profile::Profile;
use serde_json::json;

use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::collect::CollectArgs;
use crate::error::{Error, Result, one_line};
use crate::load::{Loaded, Loader};
use crate::output::{Sink, print};
use crate::target::Target;
use crate::view::{SelectArgs, caveats};

/// `flamegraph TARGET`.
#[derive(Clone, Debug, Args)]
pub struct FlamegraphArgs {
    /// host:port, URL, profile file, directory of captures (the latest), or - for stdin
    pub target: String,
    /// Draw what changed since this file, target or directory (its latest)
    #[arg(long, value_name = "TARGET")]
    pub base: Option<String>,
    /// Where to draw: .svg or .html by its name; - for SVG on stdout
    #[arg(short, long = "out", value_name = "FILE", default_value = "flamegraph.svg")]
    pub out: PathBuf,
    /// Words above the picture [default: the name of the target]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// At most this many frames, the heaviest; the rest is summed up
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(2..=200_000))]
    pub frames: u32,
    /// Merge stacks from the leaf: who calls what is heavy
    #[arg(long)]
    pub inverted: bool,
    /// Put the value of this label below each stack (age, thread)
    #[arg(long, value_name = "KEY")]
    pub group_label: Option<String>,
    /// With --base: draw what did not change too
    #[arg(long, requires = "base")]
    pub context: bool,
    /// What is collected.
    #[command(flatten)]
    pub collect: CollectArgs,
    /// What is drawn.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// How the path is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// What kind of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// A picture.
    Svg,
    /// A page with the picture.
    Html,
}

impl Picture {
    /// By the end of the name; anything but `.html` is SVG.
    fn of(sink: &Sink) -> Result<Self> {
        let Sink::File(path) = sink else { return Ok(Self::Svg) };
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("png" | "pdf" | "jpg" | "jpeg") => Err(Error::usage(
                format!("cannot draw {}", path.display()),
                "name a file .svg or .html; a browser prints it as PDF or PNG",
            )),
            _ => Ok(Self::Svg),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// The target cannot be loaded, has not what was asked for, or the picture cannot be written.
pub fn run(global: &GlobalArgs, args: &FlamegraphArgs) -> Result<ExitCode> {
    let sink = Sink::parse(&args.out);
    sink.check()?;
    let picture = Picture::of(&sink)?;
    let mut loader = Loader::new(global, &args.symbols)?.collecting(args.collect.collect()?);
    let targets = match &args.base {
        Some(base) => vec![Target::parse(base)?, Target::parse(&args.target)?],
        None => vec![Target::parse(&args.target)?],
    };
    let mut loaded = loader.latest(&targets)?;
    let Some(new) = loaded.pop() else { return Err(Error::failed("nothing was loaded", "name a target")) };
    let base = loaded.pop();
    loader.progress.step("drawing …");
    let drawn = draw(args, picture, base.as_ref(), &new)?;
    sink.write(drawn.as_bytes())?;
    loader.progress.clear();
    if let Sink::File(path) = &sink {
        match args.format.format {
            TextOrJson::Json => {
                let document = json!({
                    "schema": "diag.flamegraph/1", "path": path, "bytes": drawn.len(), "profile": new.name,
                    "base": base.as_ref().map(|b| &b.name), "unresolved_modules": new.unresolved,
                });
                print(&format!("{document}\n"))?;
            }
            TextOrJson::Text => {
                let caveats = caveats(&new);
                if !caveats.is_empty() {
                    loader.progress.note(&caveats);
                }
                print(&format!("{}\n", path.display()))?;
            }
        }
    }
    std::mem::forget((base, new));
    Ok(ExitCode::SUCCESS)
}

fn draw(args: &FlamegraphArgs, picture: Picture, base: Option<&Loaded>, new: &Loaded) -> Result<String> {
    let type_index = args.select.type_index(&new.profile)?;
    let options = flamegraphs::Options {
        title: args.title.clone().unwrap_or_else(|| one_line(&new.name)),
        base_name: base.map(|b| one_line(&b.name)).unwrap_or_default(),
        new_name: if base.is_some() { one_line(&new.name) } else { String::new() },
        type_index: Some(type_index),
        frame_budget: usize::try_from(args.frames).unwrap_or(usize::MAX),
        order: if args.inverted {
            flamegraphs::StackOrder::FromLeaf
        } else {
            flamegraphs::StackOrder::FromRoot
        },
        diff_width: if args.context {
            flamegraphs::DiffWidth::Larger
        } else {
            flamegraphs::DiffWidth::Change
        },
        runtime: args.select.runtime_frames(),
        group_by_label: args.group_label.clone(),
        ..flamegraphs::Options::default()
    };
    let base = base.map(|b| args.select.apply_with_runtime(b)).transpose()?;
    let new = args.select.apply_with_runtime(new)?;
    render(picture, base.as_deref(), &new, &options)
}

/// Draws one profile, or the difference of two.
///
/// # Errors
/// What flamegraphs says.
pub fn render(
    picture: Picture,
    base: Option<&Profile>,
    new: &Profile,
    options: &flamegraphs::Options,
) -> Result<String> {
    let drawn = match (picture, base) {
        (Picture::Svg, None) => flamegraphs::render_svg(new, options),
        (Picture::Html, None) => flamegraphs::render_html(new, options),
        (Picture::Svg, Some(base)) => flamegraphs::render_diff_svg(base, new, options),
        (Picture::Html, Some(base)) => flamegraphs::render_diff_html(base, new, options),
    };
    drawn.map_err(|e| match e {
        flamegraphs::Error::NoSuchType { .. } | flamegraphs::Error::NoSuchTypeInBase { .. } => {
            Error::usage(e, "choose with --type")
        }
        e => Error::failed(format!("cannot draw: {e}"), "try --frames with a smaller number"),
    })
}
