//! `convert`: the same profile for another viewer.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use diag::profile::{Profile, firefox, folded, pprof, speedscope};

use crate::cli::{GlobalArgs, SymbolArgs};
use crate::collect::CollectArgs;
use crate::error::{Result, one_line};
use crate::load::Loader;
use crate::output::{Sink, refuse_terminal};
use crate::target::Target;
use crate::view::SelectArgs;

/// `convert TARGET --to FORMAT`.
#[derive(Clone, Debug, Args)]
pub struct ConvertArgs {
    /// host:port, URL, profile file, directory of captures (the latest), or - for stdin
    pub target: String,
    /// pprof (gzipped), folded (one sample type), speedscope, firefox
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: Format,
    /// Where to write
    #[arg(short, long = "out", value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// Look up names of addresses first
    #[arg(long)]
    pub symbolize: bool,
    /// Sample type of folded stacks [default: what the profile says]
    #[arg(long = "type", value_name = "TYPE")]
    pub sample_type: Option<String>,
    /// What is collected.
    #[command(flatten)]
    pub collect: CollectArgs,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Gzipped profile.proto, for `go tool pprof`, Pyroscope, Parca and most others.
    Pprof,
    /// Folded stacks, a line a stack, for flamegraph.pl and inferno.
    Folded,
    /// JSON for speedscope.app: all sample types, inlined frames kept.
    Speedscope,
    /// JSON for profiler.firefox.com.
    Firefox,
}

/// Runs the command.
///
/// # Errors
/// The target cannot be loaded, or the result cannot be written.
pub fn run(global: &GlobalArgs, args: &ConvertArgs) -> Result<ExitCode> {
    let sink = Sink::parse(&args.out);
    sink.check()?;
    if sink == Sink::Stdout && args.to == Format::Pprof {
        refuse_terminal("pprof")?;
    }
    let target = Target::parse(&args.target)?;
    let wants_names = args.symbolize || args.symbols.says_where();
    let mut loader = if wants_names { Loader::new(global, &args.symbols)? } else { Loader::raw(global)? };
    loader = loader.collecting(args.collect.collect()?);
    let loaded = loader.latest(std::slice::from_ref(&target))?;
    for loaded in &loaded {
        let select = SelectArgs { sample_type: args.sample_type.clone(), ..SelectArgs::default() };
        let type_index = select.type_index(&loaded.profile)?;
        sink.write(&encode(&loaded.profile, args.to, type_index, &one_line(&loaded.name)))?;
        if let Sink::File(path) = &sink {
            loader.progress.note(&format!("wrote {}", path.display()));
        }
    }
    std::mem::forget(loaded);
    Ok(ExitCode::SUCCESS)
}

fn encode(profile: &Profile, to: Format, type_index: usize, name: &str) -> Vec<u8> {
    match to {
        Format::Pprof => pprof::encode_gz(profile),
        Format::Folded => folded::write(profile, type_index).into_bytes(),
        Format::Speedscope => speedscope::write(profile, name).into_bytes(),
        Format::Firefox => firefox::write(profile, name).into_bytes(),
    }
}
