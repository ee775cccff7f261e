//! `capture`: pulls snapshots of a live process into a directory, over time.
//!
//! Files appear whole or not at all, are never overwritten, and sort by time. A `captures.jsonl` beside them records
//! what happened: captures, gaps, restarts of the target. Running again into the same directory goes on there.
//!
//! CPU time is recorded for a while in each round, after the rest is taken.
//!
//! When the first capture fails the command fails. Later failures are gaps: it waits, longer each time, and goes on when
//! the target is back, until it has been away for ten intervals and at least a minute.

mod journal;
mod round;
mod session;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson, parse_duration};
use crate::collect::{Collect, CpuArgs};
use crate::error::{Error, Result};
use crate::output;
use crate::target::{Endpoint, Target};

/// `capture TARGET`.
#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// host:port or URL of a live process; a full path is used as it is
    pub target: String,
    /// What to capture: heap, cpu, memory, tasks, mutex, block [default: heap, and memory and tasks where the target has them]
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = parse_kind)]
    pub kind: Vec<Kind>,
    /// How CPU time is recorded.
    #[command(flatten)]
    pub cpu: CpuArgs,
    /// Time between captures [default with --for or --count: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub every: Option<Duration>,
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, conflicts_with = "count")]
    pub run_for: Option<Duration>,
    /// Stop after this many captures [default: 1; with --every alone: until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Directory for the captures; made when it is not there
    #[arg(short, long = "out", value_name = "DIR", default_value = "captures")]
    pub out: PathBuf,
    /// Keep addresses and build ids only: smaller files, names are looked up when they are read
    #[arg(long)]
    pub no_names: bool,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// How the list of files is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// What is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The heap profile.
    Heap,
    /// A CPU profile.
    Cpu,
    /// The memory waterline.
    Memory,
    /// The async tasks.
    Tasks,
    /// Who makes others wait for locks.
    Mutex,
    /// Who waits for locks.
    Block,
}

fn parse_kind(text: &str) -> std::result::Result<Kind, String> {
    match text {
        "heap" => Ok(Kind::Heap),
        "cpu" => Ok(Kind::Cpu),
        "memory" => Ok(Kind::Memory),
        "tasks" => Ok(Kind::Tasks),
        "mutex" => Ok(Kind::Mutex),
        "block" => Ok(Kind::Block),
        _ => Err("known are heap, cpu, memory, tasks, mutex and block".into()),
    }
}

/// When captures are taken.
#[derive(Clone, Copy, Debug)]
struct Plan {
    every: Duration,
    run_for: Option<Duration>,
    count: Option<u64>,
}

impl Plan {
    fn new(args: &CaptureArgs) -> Self {
        let count = match (args.count, args.run_for, args.every) {
            (None, None, None) => Some(1),
            (count, ..) => count,
        };
        Self { every: args.every.unwrap_or(Duration::from_secs(10)), run_for: args.run_for, count }
    }

    /// How long the target may be away before the command gives up.
    fn patience(&self) -> Duration {
        self.every.saturating_mul(10).max(Duration::from_secs(60))
    }
}

/// One document of a round, in the order in which they are taken: what takes time comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Profile(Collect),
    Memory { by_name: bool },
    Tasks { by_name: bool },
}

impl Wanted {
    /// The first word of the file name.
    fn name(self) -> &'static str {
        match self {
            Self::Profile(collect) => collect.wanted().unwrap_or("heap"),
            Self::Memory { .. } => "memory",
            Self::Tasks { .. } => "tasks",
        }
    }

    fn goes_with(self, endpoint: &Endpoint) -> Result<()> {
        match self {
            Self::Profile(collect) => collect.goes_with(endpoint),
            Self::Memory { .. } | Self::Tasks { .. } => Ok(()),
        }
    }
}

fn wanted(args: &CaptureArgs) -> Result<Vec<Wanted>> {
    let asked = |kind| args.kind.contains(&kind);
    let mut wanted = Vec::new();
    if args.kind.is_empty() || asked(Kind::Heap) {
        wanted.push(Wanted::Profile(Collect::Heap));
    }
    if args.kind.is_empty() || asked(Kind::Memory) {
        wanted.push(Wanted::Memory { by_name: asked(Kind::Memory) });
    }
    if args.kind.is_empty() || asked(Kind::Tasks) {
        wanted.push(Wanted::Tasks { by_name: asked(Kind::Tasks) });
    }
    for (kind, collect) in [(Kind::Mutex, Collect::Mutex), (Kind::Block, Collect::Block)] {
        if asked(kind) {
            wanted.push(Wanted::Profile(collect));
        }
    }
    if asked(Kind::Cpu) {
        wanted.push(Wanted::Profile(Collect::Cpu(args.cpu.recording()?)));
    } else {
        args.cpu.unused()?;
    }
    Ok(wanted)
}

/// Runs the command.
///
/// # Errors
/// The target failed at once, or stayed away; the directory cannot be written.
pub fn run(global: &GlobalArgs, args: &CaptureArgs) -> Result<ExitCode> {
    let target = Target::parse(&args.target)?;
    let Target::Live(endpoint) = target else {
        return Err(Error::usage(
            format!("{target} is not a live process"),
            "capture pulls from host:port or a URL; `diag-cli convert` rewrites files",
        ));
    };
    let wanted = wanted(args)?;
    for one in &wanted {
        one.goes_with(&endpoint)?;
    }
    let summary = session::run(global, args, wanted, &endpoint, Plan::new(args))?;
    if args.format.format == TextOrJson::Json {
        output::print(&format!("{}\n", summary.json()))?;
    }
    summary.outcome()
}
