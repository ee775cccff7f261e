//! `triage`: why memory grows, or why the process has so much more of it than its heap. Two readings, one verdict.
//!
//! A live target does the reading and judging itself, since only it sees its mappings; one without that endpoint is asked for its
//! waterline twice. A directory has its first waterline compared with its last, of the last process. The judgement is
//! `diag::memory::triage`. Exit code 0, whatever the verdict: growth is no leak yet, `leaks` decides that.

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use diag::endpoints;
use diag::memory::triage::{Extras, Survey, Target as About, Triage, judge};
use diag::memory::{Purge, Waterline};

use crate::captures::{self, Capture, list_waterlines, process_of};
use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson, parse_duration};
use crate::error::{Error, Result};
use crate::http::{Client, FetchError};
use crate::load::{Loader, decode, read_file};
use crate::output::print;
use crate::target::{Endpoint, Target};
use crate::terminal::Progress;

/// The server's bound for `seconds=`.
const MOST_WATCH: Duration = Duration::from_secs(3600);
/// A heap capture so near to a waterline is of the same round.
const SAME_ROUND_NS: i64 = 3_000_000_000;

/// `triage TARGET`.
#[derive(Clone, Debug, Args)]
pub struct TriageArgs {
    /// host:port or URL of a live process, a directory of captures (its first memory capture against its last), or two memory
    /// captures (memory-*.json), the older one first
    #[arg(required = true, value_name = "TARGET", num_args = 1..=2)]
    pub targets: Vec<String>,
    /// Time between the two readings of a live process, up to 1h
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub watch: Duration,
    /// Have jemalloc give its unused pages back, to see whether it is those; the process takes page faults when it needs them again
    #[arg(long)]
    pub purge: bool,
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
/// The target cannot be read, or is neither a live process nor captures.
pub fn run(global: &GlobalArgs, args: &TriageArgs) -> Result<ExitCode> {
    let targets = args.targets.iter().map(|t| Target::parse(t)).collect::<Result<Vec<_>>>()?;
    if args.purge && !matches!(targets.as_slice(), [Target::Live(_)]) {
        return Err(Error::usage("--purge is for a live process", "give host:port, or leave --purge out"));
    }
    let triage = match targets.as_slice() {
        [Target::Live(endpoint)] => live(global, args, endpoint)?,
        [Target::Dir(dir)] => directory(global, args, dir)?,
        [Target::File(base), Target::File(new)] => files(base, new)?,
        [one] => {
            return Err(Error::usage(
                format!("{one} alone cannot be compared"),
                "give host:port, a directory of captures, or two memory captures",
            ));
        }
        _ => {
            return Err(Error::usage(
                "triage compares two readings of one kind",
                "give host:port, a directory of captures, or two memory captures",
            ));
        }
    };
    match args.format.format {
        TextOrJson::Text => print(&triage.to_string())?,
        TextOrJson::Json => {
            let json = serde_json::to_string(&triage)
                .map_err(|e| Error::failed(format!("cannot write JSON: {e}"), "this is a bug: report it"))?;
            print(&format!("{json}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn live(global: &GlobalArgs, args: &TriageArgs, endpoint: &Endpoint) -> Result<Triage> {
    if args.watch > MOST_WATCH {
        return Err(Error::usage(
            "--watch is longer than an hour",
            "capture over time and give the directory",
        ));
    }
    let client = Client::new(&global.http)?;
    let mut progress = Progress::new(global.quiet);
    let seconds = args.watch.as_secs_f64().ceil().max(1.0) as u64;
    progress.step(&format!("watching {endpoint} for {seconds} s …"));
    let path = format!("{}?seconds={seconds}", endpoints::API_TRIAGE);
    let explain = |e: &FetchError, path: &str| e.explain(endpoint, path, client.has_credentials(endpoint));
    let mut triage = match client.get(endpoint, &path, Duration::from_secs(seconds)) {
        Ok(answer) => parse::<Triage>(&answer.body, &endpoint.url(&path))?,
        Err(FetchError::Status { status: 404 | 405, .. }) => from_outside(&client, endpoint, seconds)?,
        Err(e) => return Err(explain(&e, &path)),
    };
    if args.purge {
        progress.step(&format!("{endpoint} gives its unused pages back …"));
        let path = endpoints::API_PURGE;
        let answer = client.post(endpoint, path, Duration::ZERO).map_err(|e| explain(&e, path))?;
        triage = triage.with_purge(parse::<Purge>(&answer.body, &endpoint.url(path))?);
    }
    progress.clear();
    triage.address(&About::Live(endpoint.to_string()));
    Ok(triage)
}

/// For a target that has the waterline but cannot judge it.
fn from_outside(client: &Client, endpoint: &Endpoint, seconds: u64) -> Result<Triage> {
    let path = endpoints::API_MEMORY;
    let read = || -> Result<Survey> {
        let answer = client.get(endpoint, path, Duration::ZERO);
        let answer = answer.map_err(|e| e.explain(endpoint, path, client.has_credentials(endpoint)))?;
        Ok(Survey::of(parse::<Waterline>(&answer.body, &endpoint.url(path))?))
    };
    let began = Instant::now();
    let base = read()?;
    std::thread::sleep(Duration::from_secs(seconds).saturating_sub(began.elapsed()));
    let new = read()?;
    let mut triage = judge(&base, &new, Extras::default());
    triage.notes.push(
        "the target is an older diag without triage: its mappings and heap profile were not read".into(),
    );
    Ok(triage)
}

fn directory(global: &GlobalArgs, args: &TriageArgs, dir: &Path) -> Result<Triage> {
    let (all, left_out) = captures::comparable(list_waterlines(dir)?);
    let (Some(first), Some(last)) = (all.first(), all.last().filter(|_| all.len() > 1)) else {
        let of = if left_out > 0 { " of the last process" } else { "" };
        let found = all.len();
        return Err(Error::failed(
            format!("{}: {found} memory captures{of}, and triage compares two", dir.display()),
            format!(
                "capture more: `diag-cli capture TARGET --kind heap,memory --count 2 -o {}`",
                dir.display()
            ),
        ));
    };
    let (base, new) = (waterline(&first.path)?, waterline(&last.path)?);
    let mut extras = Extras {
        target: About::Captures(dir.display().to_string()),
        pid: last.process.map(|p| p.pid),
        ..Extras::default()
    };
    heap_beside(global, args, dir, last, (&base, &new), &mut extras)?;
    let mut triage = judge(&base, &new, extras);
    if left_out > 0 {
        triage.notes.push(format!("{left_out} memory captures of earlier processes were left out"));
    }
    Ok(triage)
}

/// Adds what the heap capture of the same round tells, when there is one.
fn heap_beside(
    global: &GlobalArgs,
    args: &TriageArgs,
    dir: &Path,
    last: &Capture,
    (base, new): (&Survey, &Survey),
    extras: &mut Extras,
) -> Result<()> {
    let heaps = captures::list(dir).unwrap_or_default();
    let near = |c: &&Capture| {
        c.kind == "heap"
            && c.process == last.process
            && c.taken_unix_ns.abs_diff(last.taken_unix_ns) <= SAME_ROUND_NS.unsigned_abs()
    };
    let Some(heap) = heaps.iter().filter(near).min_by_key(|c| c.taken_unix_ns.abs_diff(last.taken_unix_ns))
    else {
        return Ok(());
    };
    let profile = Loader::new(global, &args.symbols)?.one(&Target::File(heap.path.clone()))?.profile;
    diag::evidence::add_heap(extras, &profile, (base, new), Cow::Borrowed);
    Ok(())
}

fn files(base: &Path, new: &Path) -> Result<Triage> {
    if let (Some(a), Some(b)) = (process_of(base), process_of(new))
        && a != b
    {
        return Err(Error::usage(
            format!(
                "{} and {} are of different processes, {} and {}",
                base.display(),
                new.display(),
                a.pid,
                b.pid
            ),
            "give two captures of one process",
        ));
    }
    let extras = Extras {
        target: About::Captures(format!("{} {}", base.display(), new.display())),
        pid: process_of(new).map(|p| p.pid),
        ..Extras::default()
    };
    Ok(judge(&waterline(base)?, &waterline(new)?, extras))
}

fn waterline(path: &Path) -> Result<Survey> {
    let name = path.display().to_string();
    let bytes = read_file(path)?;
    if let Ok((_, format)) = decode(&bytes, &name) {
        return Err(Error::usage(
            format!("{name} is a profile ({format}), and triage compares memory captures"),
            "give two memory-*.json, a directory of captures, or host:port; `diag-cli top` shows profiles",
        ));
    }
    Ok(Survey::of(parse::<Waterline>(&bytes, &name)?))
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::failed(
            format!("{name} is not what diag writes there: {e}"),
            "give memory captures (memory-*.json), or a service with the same version of diag",
        )
    })
}
