//! `leaks`: the verdict. Exit code 1 on a leak.
//!
//! A live service judges itself, from what it has kept since it started, or with `--watch` from censuses of its own for
//! so long. Captures are judged here.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use diag::endpoints;
use diag::leak::{self, Report, Verdict};
use diag::profile::cohorts::process_started_ns;

use crate::captures;
use crate::cli::{FormatArgs, GlobalArgs, SymbolArgs, TextOrJson, parse_duration};
use crate::error::{Error, Result};
use crate::load::{Loaded, Loader, spread};
use crate::output::print;
use crate::remote::{self, Remote};
use crate::target::{Endpoint, Target};
use crate::view::{profile_error, refuse_time};

/// Captures of a directory that are judged, evenly spread.
const MOST_CAPTURES: usize = 64;
/// The server's bound.
const LONGEST_WATCH: Duration = Duration::from_secs(3600);

/// `leaks TARGET`.
#[derive(Clone, Debug, Args)]
pub struct LeaksArgs {
    /// host:port or URL of a live service; a directory of captures; or two or more profile files of one process
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Watch a live service for so long first; without, it answers at once from what it has kept since it started
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub watch: Option<Duration>,
    /// With --watch: sample more often for that time, one allocation in so many bytes (at least 16384): finds slower leaks
    #[arg(long, value_name = "BYTES", requires = "watch")]
    pub sample_bytes: Option<u64>,
    /// Age from which an object counts [default: a twelfth of the watched time, from 2s to 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub maturity: Option<Duration>,
    /// Where names are looked for, for captures.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// How it is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Runs the command.
///
/// # Errors
/// The target does not answer, or holds nothing that can be judged.
pub fn run(global: &GlobalArgs, args: &LeaksArgs) -> Result<ExitCode> {
    let targets = args.targets.iter().map(|t| Target::parse(t)).collect::<Result<Vec<_>>>()?;
    let mut loader = Loader::new(global, &args.symbols)?;
    let report = match targets.as_slice() {
        [Target::Live(endpoint)] => live(&mut loader, endpoint, args)?,
        _ if args.watch.is_some() => {
            return Err(Error::usage(
                "--watch needs one live service",
                "give host:port, or leave --watch out to judge captures",
            ));
        }
        targets => captured(&mut loader, targets, args)?,
    };
    loader.progress.clear();
    print_report(&report, args.format)?;
    Ok(if report.verdict == Verdict::Leak { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Prints a verdict.
///
/// # Errors
/// Nobody reads.
pub fn print_report(report: &Report, format: FormatArgs) -> Result<()> {
    match format.format {
        TextOrJson::Text => print(&report.to_string()),
        TextOrJson::Json => {
            let json = serde_json::to_string(report)
                .map_err(|e| Error::failed(format!("cannot write JSON: {e}"), "this is a bug: report it"))?;
            print(&format!("{json}\n"))
        }
    }
}

fn live(loader: &mut Loader, endpoint: &Endpoint, args: &LeaksArgs) -> Result<Report> {
    if args.watch.is_some_and(|w| w > LONGEST_WATCH) {
        return Err(Error::usage(
            "a watch of more than an hour is not possible",
            "`diag-cli capture TARGET --every 1m` and then `diag-cli leaks DIR`",
        ));
    }
    let seconds = |d: Duration| d.as_secs_f64().ceil().max(1.0) as u64;
    let mut query: Vec<String> = Vec::new();
    query.extend(args.watch.map(|w| format!("watch={}", seconds(w))));
    query.extend(args.sample_bytes.map(|bytes| format!("sample_bytes={bytes}")));
    query.extend(args.maturity.map(|m| format!("maturity={}", seconds(m))));
    let path = format!("{}?{}", endpoints::API_LEAKS, query.join("&"));
    let path = path.trim_end_matches('?');
    let wait = args.watch.unwrap_or(Duration::ZERO);
    let client = loader.client().clone();
    let asked = loader.progress.during("watching", wait, || {
        // It changes the process for that time.
        if args.sample_bytes.is_some() {
            client.post(endpoint, path, wait)
        } else {
            client.get(endpoint, path, wait)
        }
    });
    let answer = match asked {
        Ok(answer) => answer,
        Err(e) => return Err(why_not(&client, endpoint, path, &e)),
    };
    serde_json::from_slice(&answer.body).map_err(|e| {
        Error::failed(
            format!("{} answered with something else than a verdict: {e}", endpoint.url(path)),
            "is it a service with diag in it, of this version? `diag-cli doctor` tells",
        )
    })
}

/// A service without diag in it says 404, which alone would send people the wrong way.
fn why_not(
    client: &crate::http::Client,
    endpoint: &Endpoint,
    path: &str,
    e: &crate::http::FetchError,
) -> Error {
    if let Ok(Remote::Foreign { .. }) = remote::identify(client, endpoint) {
        return Error::failed(
            format!("{endpoint} has no leak verdicts: it is not a service with diag in it"),
            format!(
                "take profiles with `diag-cli capture {endpoint} -o captures`, then `diag-cli leaks captures`"
            ),
        );
    }
    e.explain(endpoint, path, client.has_credentials(endpoint))
}

fn captured(loader: &mut Loader, targets: &[Target], args: &LeaksArgs) -> Result<Report> {
    let mut of_others = 0;
    let (files, name, is_dir) = match targets {
        [Target::Dir(dir)] => {
            let (all, others) = captures::comparable(captures::list(dir)?);
            of_others += others;
            let files: Vec<Target> =
                spread(&all, MOST_CAPTURES).into_iter().map(|c| Target::File(c.path)).collect();
            (files, dir.display().to_string(), true)
        }
        files => (files.to_vec(), args.targets.join(" "), false),
    };
    let mut loaded = loader.all(&files)?;
    refuse_time("leaks", &loaded)?;
    if is_dir {
        of_others += keep_last_process(&mut loaded);
    }
    let captures = |n: usize| if n == 1 { "1 capture".to_owned() } else { format!("{n} captures") };
    let restarted = (of_others > 0)
        .then(|| format!("the process restarted: {} of earlier processes left out", captures(of_others)));
    if loaded.len() < 2 {
        let also = restarted.map(|r| format!(" ({r})")).unwrap_or_default();
        return Err(Error::failed(
            format!("{name}: one capture cannot be judged{also}"),
            "give a directory with two or more captures of one process, or a live service",
        ));
    }
    loader.progress.step("judging …");
    let profiles: Vec<_> = loaded.iter().map(|l| &l.profile).collect();
    let mut options = leak::Options::default();
    options.maturity = args.maturity;
    options.target = name.clone();
    let mut report = leak::judge_captures(&profiles, &options).map_err(|e| profile_error(&name, &e))?;
    report.reasons.extend(restarted);
    Ok(report)
}

/// Keeps the captures of the process that the last one is of, and gives how many were others'.
fn keep_last_process(loaded: &mut Vec<Loaded>) -> usize {
    let before = loaded.len();
    let last = loaded.last().and_then(|l| process_started_ns(&l.profile));
    loaded.retain(|l| process_started_ns(&l.profile) == last);
    before - loaded.len()
}
