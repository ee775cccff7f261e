//! `diff`: what grew and what vanished, by the code that holds it. Several captures give a trend as well.

mod text;

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use diag::profile::diff::{Diff, DiffOptions, RowBy, Trend, diff, trend};
use diag::profile::{Profile, delta, pprof};
use serde_json::{Value, json};

use super::flamegraph::{Picture, render};
use crate::captures;
use crate::cli::{GlobalArgs, SymbolArgs};
use crate::collect::{Collect, CollectArgs};
use crate::error::{Error, Result, one_line};
use crate::load::{Loaded, Loader, spread};
use crate::output::{Sink, refuse_terminal};
use crate::target::Target;
use crate::terminal::{ColorChoice, Style};
use crate::view::{SelectArgs, facts, profile_error};

/// A trend is drawn from at most this many captures of a directory, evenly spread.
const MAX_CAPTURES: usize = 24;

/// Characters that fit above a picture beside the rest of the title.
const LONGEST_TITLE: usize = 60;

/// `diff BASE NEW`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// BASE NEW [MORE...], oldest first: files or live targets; or one directory of captures (its first against its last)
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// text, json (diag.diff/1), pprof (new minus base), svg or html [default: by the name of -o, else text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Where to write
    #[arg(short, long = "out", value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// How many rows; 0 for all
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 20)]
    pub rows: usize,
    /// What a row is: the first function of your own code (site), its lines, or whole stacks
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub by: By,
    /// Print the whole stack under each row
    #[arg(long)]
    pub stacks: bool,
    /// What is collected.
    #[command(flatten)]
    pub collect: CollectArgs,
    /// What is compared.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}

/// How the difference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// Gzipped profile.proto with signed values, new minus base.
    Pprof,
    /// Differential flame graph.
    Svg,
    /// The same as a page.
    Html,
}

/// What a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// The first function of the user's own code.
    #[default]
    Site,
    /// The same, by line.
    Line,
    /// The whole stack.
    Stack,
}

/// What was compared.
struct Compared {
    loaded: Vec<Loaded>,
    /// Captures of the directory that were not used: of other processes, and thinned out.
    other_processes: usize,
    thinned_from: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// A target cannot be loaded, they do not go together, or the result cannot be written.
pub fn run(global: &GlobalArgs, args: &DiffArgs) -> Result<ExitCode> {
    let sink = Sink::parse(&args.out);
    sink.check()?;
    let format = args.format.unwrap_or_else(|| by_name(&sink));
    if sink == Sink::Stdout && format == Format::Pprof {
        refuse_terminal("pprof")?;
    }
    let collect = args.collect.collect()?;
    let mut loader = Loader::new(global, &args.symbols)?.collecting(collect);
    let compared = load(&mut loader, args, &collect)?;
    loader.progress.step("comparing …");
    let bytes = compare(global, args, format, &sink, &compared)?;
    loader.progress.clear();
    sink.write(&bytes)?;
    if let Sink::File(path) = &sink {
        loader.progress.note(&format!("wrote {}", path.display()));
    }
    std::mem::forget(compared);
    Ok(ExitCode::SUCCESS)
}

fn by_name(sink: &Sink) -> Format {
    let Sink::File(path) = sink else { return Format::Text };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|s| name.ends_with(s));
    match () {
        () if ends(&[".json"]) => Format::Json,
        () if ends(&[".svg"]) => Format::Svg,
        () if ends(&[".html", ".htm"]) => Format::Html,
        () if ends(&[".pb.gz", ".pb", ".pprof"]) => Format::Pprof,
        () => Format::Text,
    }
}

fn load(loader: &mut Loader, args: &DiffArgs, collect: &Collect) -> Result<Compared> {
    let targets = args.targets.iter().map(|t| Target::parse(t)).collect::<Result<Vec<_>>>()?;
    let (targets, other_processes, thinned_from) = match targets.as_slice() {
        [Target::Dir(dir)] => {
            let (all, others) = captures::list_comparable(dir, collect.wanted())?;
            if all.len() < 2 {
                let of = if others > 0 { " of the last process" } else { "" };
                return Err(Error::failed(
                    format!("{}: one capture{of} cannot be compared", dir.display()),
                    format!("capture again: `diag-cli capture TARGET -o {}`", dir.display()),
                ));
            }
            let some = spread(&all, MAX_CAPTURES);
            let thinned = (some.len() < all.len()).then_some(all.len());
            (some.into_iter().map(|c| Target::File(c.path)).collect(), others, thinned)
        }
        [one] => {
            return Err(Error::usage(
                format!("{one} alone cannot be compared"),
                "give BASE and NEW, or one directory of captures",
            ));
        }
        _ => (targets, 0, None),
    };
    Ok(Compared { loaded: loader.all(&targets)?, other_processes, thinned_from })
}

fn compare(
    global: &GlobalArgs,
    args: &DiffArgs,
    format: Format,
    sink: &Sink,
    compared: &Compared,
) -> Result<Vec<u8>> {
    let (Some(base), Some(new)) = (compared.loaded.first(), compared.loaded.last()) else {
        return Err(Error::usage("nothing to compare", "give BASE and NEW"));
    };
    // The default type is that of the new profile; a wrong one is reported with those there are.
    let type_index = args.select.type_index(&new.profile)?;
    let kind = new.profile.sample_types().get(type_index).map(|t| t.kind.clone());
    let selected = selected(args, &compared.loaded)?;
    let profiles: Vec<&Profile> = selected.iter().map(AsRef::as_ref).collect();
    let (Some(&base_profile), Some(&new_profile)) = (profiles.first(), profiles.last()) else {
        return Err(Error::usage("nothing to compare", "give BASE and NEW"));
    };
    let both = format!("{} and {}", base.name, new.name);
    let fail = |e| profile_error(&both, &e);
    match format {
        Format::Pprof => Ok(pprof::encode_gz(&delta(base_profile, new_profile).map_err(fail)?)),
        Format::Svg | Format::Html => {
            let options = flamegraphs::Options {
                // The caption names both sides as well.
                title: one_line(if both.chars().count() <= LONGEST_TITLE { &both } else { "" }),
                base_name: one_line(&base.name),
                new_name: one_line(&new.name),
                type_index: Some(type_index),
                runtime: args.select.runtime_frames(),
                ..flamegraphs::Options::default()
            };
            let picture = if format == Format::Svg { Picture::Svg } else { Picture::Html };
            render(picture, Some(base_profile), new_profile, &options).map(String::into_bytes)
        }
        Format::Text | Format::Json => {
            let options = DiffOptions {
                kind,
                rows: match args.by {
                    By::Site => RowBy::Site,
                    By::Line => RowBy::SiteLine,
                    By::Stack => RowBy::Stack,
                },
                limit: (args.rows > 0).then_some(args.rows),
            };
            let difference = diff(base_profile, new_profile, &options).map_err(fail)?;
            let course =
                if profiles.len() > 2 { Some(trend(&profiles, &options).map_err(fail)?) } else { None };
            if format == Format::Json {
                let document = document(compared, type_index, &difference, course.as_ref())?;
                return Ok(format!("{document}\n").into_bytes());
            }
            let style = match sink {
                Sink::Stdout => Style::for_stdout(global.color),
                Sink::File(_) if global.color == ColorChoice::Always => Style::for_stdout(global.color),
                Sink::File(_) => Style::plain(),
            };
            Ok(text::render(compared, args, &difference, course.as_ref(), style).into_bytes())
        }
    }
}

/// The profiles as selected; not copied when all of it is wanted. Sites and pictures look past runtime frames by
/// themselves, and whole stacks are wanted in a file.
fn selected<'p>(args: &DiffArgs, loaded: &'p [Loaded]) -> Result<Vec<Cow<'p, Profile>>> {
    loaded.iter().map(|l| args.select.apply_with_runtime(l)).collect()
}

fn document(compared: &Compared, type_index: usize, diff: &Diff, trend: Option<&Trend>) -> Result<Value> {
    let broken =
        |e: serde_json::Error| Error::failed(format!("cannot write JSON: {e}"), "this is a bug: report it");
    let mut document = serde_json::to_value(diff).map_err(broken)?;
    if let Some(object) = document.as_object_mut() {
        let of = |l: Option<&Loaded>| l.map(|l| facts(l, type_index_like(l, diff).unwrap_or(type_index)));
        object.insert("base".into(), json!(of(compared.loaded.first())));
        object.insert("new".into(), json!(of(compared.loaded.last())));
        object.insert("trend".into(), serde_json::to_value(trend).map_err(broken)?);
        object.insert("captures".into(), json!(compared.loaded.iter().map(|l| &l.name).collect::<Vec<_>>()));
        object.insert("captures_of_other_processes".into(), json!(compared.other_processes));
    }
    Ok(document)
}

fn type_index_like(loaded: &Loaded, diff: &Diff) -> Option<usize> {
    loaded.profile.sample_type_index(&diff.kind)
}
