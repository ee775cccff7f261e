//! `demo`: the whole story on a bundled leaky service.
//!
//! The service is a child process of this binary (`demo --serve`), so everything is real: its own pid, HTTP over
//! loopback, symbols found by build id. The child ends when this process does: it is killed when the story is told,
//! on errors, on Ctrl-C and on a panic, and it stops by itself when its standard input closes.

mod child;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use diag::profile::pprof;
use serde_json::json;

use crate::captures;
use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson};
use crate::clock;
use crate::collect::Collect;
use crate::error::{Error, Result};
use crate::http::Client;
use crate::interrupt::Interrupt;
use crate::load;
use crate::output::{Sink, print, write_error};
use crate::remote::{Remote, identify};
use crate::symbols::Symbols;
use crate::target::{Endpoint, Target};
use crate::terminal::{Progress, Style};
use child::Service;
use story::{Shot, Story};

/// Caches and queues fill first; the service says when they are about full, after some 3 s on an idle machine. Work, not
/// time, so that a busy machine sees the same story.
const WARM_UP_AT_MOST: Duration = Duration::from_secs(20);
/// The captures are spread over at least this time.
const WATCH_AT_LEAST: Duration = Duration::from_secs(4);
const CAPTURES: u32 = 7;

/// `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How long the service runs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=600))]
    pub seconds: u64,
    /// Where captures and pictures go [default: target/diag-demo, or diag-demo where there is no target]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Run the twin of the service that does not leak
    #[arg(long)]
    pub fixed: bool,
    /// Be the service.
    #[arg(long, hide = true)]
    pub serve: bool,
    /// How it is told.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Runs the command.
///
/// # Errors
/// The service does not start or cannot be captured, or the files cannot be written.
pub fn run(global: &GlobalArgs, args: &DemoArgs) -> Result<ExitCode> {
    if args.serve {
        return child::serve(args);
    }
    let out = args.out.clone().unwrap_or_else(default_dir);
    std::fs::create_dir_all(&out).map_err(|e| write_error(&out, &e))?;
    let interrupt = Interrupt::install()?;
    let mut progress = Progress::new(global.quiet);
    progress.note(&format!("starting a service that leaks, for {} s …", args.seconds));
    let service = Service::start(args, &interrupt)?;
    let Target::Live(endpoint) = Target::parse(&service.url)? else {
        return Err(Error::failed(format!("the service says {}", service.url), "this is a bug: report it"));
    };
    progress.note(&format!("{} runs as pid {} under mixed traffic", endpoint, service.pid()));
    let started = Instant::now();
    let mut stage = Stage { interrupt: &interrupt, progress: &mut progress };
    warm_up(&service, started, &mut stage)?;
    let shots = watch(args, &Client::new(&global.http)?, &out, &endpoint, started, &mut stage)?;
    drop(service);
    progress.step("comparing and drawing …");
    let story = Story::new(&shots, &out)?;
    progress.clear();
    match args.format.format {
        TextOrJson::Json => print(&format!("{}\n", story.json()))?,
        TextOrJson::Text => print(&story.text(Style::for_stdout(global.color)))?,
    }
    std::mem::forget(shots);
    Ok(ExitCode::SUCCESS)
}

fn default_dir() -> PathBuf {
    if Path::new("target").is_dir() { PathBuf::from("target/diag-demo") } else { PathBuf::from("diag-demo") }
}

/// What a long wait needs.
struct Stage<'a> {
    interrupt: &'a Interrupt,
    progress: &'a mut Progress,
}

/// Captures over the rest of the run, evenly.
fn watch(
    args: &DemoArgs,
    client: &Client,
    out: &Path,
    endpoint: &Endpoint,
    started: Instant,
    stage: &mut Stage<'_>,
) -> Result<Vec<Shot>> {
    let mut symbols = Symbols::new(&SymbolArgs::default());
    let whole = Duration::from_secs(args.seconds);
    let step = whole.saturating_sub(started.elapsed()).max(WATCH_AT_LEAST) / (CAPTURES - 1);
    let first = Instant::now();
    let mut shots: Vec<Shot> = Vec::new();
    for n in 0..CAPTURES {
        let due = first + step * n;
        let held = shots.last().map(|s| format!(", {} alive", s.live())).unwrap_or_default();
        wait(due, stage.interrupt, |left| {
            stage.progress.step(&format!("capture {} of {CAPTURES} in {left:.0} s{held}", n + 1));
        })?;
        shots.push(shoot(client, endpoint, &mut symbols, out)?);
        if let Some(shot) = shots.last() {
            stage.progress.note(&format!("capture {} of {CAPTURES}: {} alive", n + 1, shot.live()));
        }
    }
    Ok(shots)
}

/// Waits until the service is warm, and then half that time again.
fn warm_up(service: &Service, started: Instant, stage: &mut Stage<'_>) -> Result<()> {
    while !service.is_warm() && started.elapsed() < WARM_UP_AT_MOST {
        stage.progress.step("its caches fill …");
        wait(Instant::now() + Duration::from_millis(50), stage.interrupt, |_| {})?;
    }
    wait(Instant::now() + started.elapsed() / 2, stage.interrupt, |_| {})
}

/// Sleeps until `due`, and tells the seconds that are left twice a second.
fn wait(due: Instant, interrupt: &Interrupt, mut tell: impl FnMut(f64)) -> Result<()> {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tell(left.as_secs_f64().ceil());
        if !interrupt.sleep_until((Instant::now() + Duration::from_millis(500)).min(due)) {
            return Err(Error::Interrupted);
        }
    }
}

fn shoot(client: &Client, endpoint: &Endpoint, symbols: &mut Symbols, out: &Path) -> Result<Shot> {
    let process = match identify(client, endpoint) {
        Ok(Remote::Ours(status)) => status.process(),
        _ => None,
    };
    let (profile, _, _) = load::fetch_profile(client, endpoint, &Collect::Heap, false, true)?;
    let taken = profile.meta().time_unix_ns.unwrap_or_else(clock::now_unix_ns);
    let (profile, _) = symbols.resolve(profile, "the demo's profile")?;
    let path = out.join(captures::file_name("heap", taken, process, "pb.gz"));
    Sink::File(path.clone()).write(&pprof::encode_gz(&profile))?;
    Ok(Shot { profile, path })
}

/// The child's own view of the arguments.
impl DemoArgs {
    fn child_arguments(&self) -> Vec<String> {
        let mut list = vec![
            "demo".to_owned(),
            "--serve".into(),
            "--seconds".into(),
            (self.seconds + 60).min(600).to_string(),
        ];
        if self.fixed {
            list.push("--fixed".into());
        }
        list
    }
}

/// Kept beside the text: the same for scripts.
fn schema() -> serde_json::Value {
    json!("diag.demo/1")
}
