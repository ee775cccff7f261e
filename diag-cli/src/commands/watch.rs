//! `watch`: a live view of a service on the terminal, or with `--once` one frame of it as text.
//!
//! `ask` talks with the service on two threads, `answer` turns bytes into `data`, `state` takes events and gives orders, `draw` makes
//! a frame of the state, `screen` owns the terminal. What is asked when is `plan`'s, and costs the service at most a fiftieth of its
//! time. `answer` to `look` and `draw` are pure. Every text that a service sends goes through `clean`.

mod answer;
mod ask;
mod clean;
mod data;
mod draw;
mod keys;
mod link;
mod look;
mod once;
mod plan;
mod screen;
mod state;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::{GlobalArgs, SymbolArgs, parse_duration};
use crate::error::{Error, Result};
use crate::http::Client;
use crate::interrupt::Interrupt;
use crate::output::print;
use crate::remote::{self, Remote};
use crate::target::{Endpoint, Target};
use crate::terminal::Style;

/// A frame larger than any screen.
const MOST_CELLS: i64 = 1_000;

/// `watch TARGET`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// host:port or URL of a live service
    pub target: String,
    /// Ask for the waterline and the tasks so often; the heap each second time, the verdict each sixth, both rarer when they are slow
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_every)]
    pub every: Duration,
    /// Where the key w writes heap profiles
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Print one frame as plain text and end; needs no terminal
    #[arg(long)]
    pub once: bool,
    /// With --once: watch for so long first, so that there is growth to show
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "once")]
    pub after: Option<Duration>,
    /// With --once: columns of the frame
    #[arg(long, value_name = "N", default_value_t = 100, requires = "once", value_parser = clap::value_parser!(u16).range(1..=MOST_CELLS))]
    pub width: u16,
    /// With --once: lines of the frame
    #[arg(long, value_name = "N", default_value_t = 40, requires = "once", value_parser = clap::value_parser!(u16).range(1..=MOST_CELLS))]
    pub height: u16,
    /// Where names are looked for.
    #[command(flatten)]
    pub symbols: SymbolArgs,
}

fn parse_every(text: &str) -> std::result::Result<Duration, String> {
    let every = parse_duration(text)?;
    if every < Duration::from_secs(1) || every > Duration::from_secs(3600) {
        return Err(format!("'{text}' is not from 1s to 1h"));
    }
    Ok(every)
}

/// Runs the command.
///
/// # Errors
/// There is no terminal, or no service that answers.
pub fn run(global: &GlobalArgs, args: &WatchArgs) -> Result<ExitCode> {
    let endpoint = service(&args.target)?;
    if !args.once && !std::io::stdout().is_terminal() {
        return Err(Error::usage(
            "stdout is not a terminal, and the live view needs one",
            format!("`diag-cli watch {endpoint} --once` prints one frame as text"),
        ));
    }
    if !args.out.is_dir() {
        return Err(Error::usage(
            format!("{} is no directory to write heap profiles into", args.out.display()),
            "make it, or name another one with -o",
        ));
    }
    let client = Client::new(&global.http)?;
    check(&client, &endpoint)?;
    let interrupt = Interrupt::install_for_screen()?;
    let every_ms = u64::try_from(args.every.as_millis()).unwrap_or(u64::MAX);
    let plan = plan::Plan::new(every_ms);
    let service = ask::Service {
        client,
        endpoint: endpoint.clone(),
        symbols: args.symbols.clone(),
        out: args.out.clone(),
    };
    let began = Instant::now();
    if args.once {
        let mut state = state::State::new(endpoint.to_string(), plan.without_gap());
        let after = args.after.unwrap_or(Duration::ZERO);
        let at = once::watch(&mut state, &service, after, &interrupt, began)?;
        print(&once::text(&state, at, args.width, args.height)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut state = state::State::new(endpoint.to_string(), plan);
    let theme = draw::Theme::new(Style::for_stdout(global.color).is_enabled());
    screen::run(&mut state, &service, theme, &interrupt, began)?;
    for path in &state.written {
        print(&format!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn service(target: &str) -> Result<Endpoint> {
    match Target::parse(target)? {
        Target::Live(endpoint) if endpoint.path().is_none() => Ok(endpoint),
        Target::Live(endpoint) => Err(Error::usage(
            format!("{endpoint} names a path, and watch asks for several"),
            "give host:port alone",
        )),
        other => Err(Error::usage(
            format!("{other} cannot be watched: it is no live service"),
            "give host:port; `diag-cli report` and `diag-cli top` look at captures",
        )),
    }
}

/// A wrong address is told before the screen is taken.
fn check(client: &Client, endpoint: &Endpoint) -> Result<()> {
    match remote::identify(client, endpoint) {
        Ok(Remote::Ours(_)) => Ok(()),
        Ok(Remote::Foreign { http_status }) => Err(Error::failed(
            format!("{endpoint} is not a service with diag in it (its status page answered {http_status})"),
            format!("`diag-cli top {endpoint}` shows profiles of any pprof server"),
        )),
        Err(e) => {
            let path = diag::endpoints::API_STATUS;
            Err(e.explain(endpoint, path, client.has_credentials(endpoint)))
        }
    }
}
