//! `trace`: what a service's flight recorder holds, or records from now on, to a file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use diag::endpoints;
use diag::profile::pprof;

use super::flamegraph::{Picture, render};
use crate::cli::{GlobalArgs, parse_duration};
use crate::error::{Error, Result};
use crate::http::Client;
use crate::output::{Sink, print};
use crate::target::{Endpoint, Target};
use crate::terminal::Progress;

/// The server's bound for `seconds=`.
const MOST_SECONDS: f64 = 300.0;
/// The same for `past=`.
const MOST_PAST_SECONDS: f64 = 3600.0;
/// When nothing is said.
const DEFAULT_SECONDS: f64 = 5.0;

/// `trace TARGET`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// host:port or URL of a live process with a flight recorder (diag::recorder)
    pub target: String,
    /// Record from now on for so long, up to 5m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "past")]
    pub seconds: Option<Duration>,
    /// What the recorder holds: all of it, or of so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "all", value_parser = parse_past)]
    pub past: Option<Past>,
    /// Where to write [default: trace.json, trace.folded or trace.svg]; - for stdout
    #[arg(short, long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// chrome: JSON for ui.perfetto.dev; folded: stacks; svg: a flame graph of the time of spans
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

/// How much of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Past {
    /// As much as there is.
    All,
    /// So much.
    Time(Duration),
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Chrome's trace-event JSON.
    #[default]
    Chrome,
    /// A line a stack of spans, nanoseconds.
    Folded,
    /// A flame graph of the time of spans.
    Svg,
}

fn parse_past(text: &str) -> std::result::Result<Past, String> {
    if text == "all" { Ok(Past::All) } else { parse_duration(text).map(Past::Time) }
}

impl TraceArgs {
    /// The request, and how long its answer takes by design.
    fn request(&self) -> Result<(String, Duration)> {
        let format = match self.format {
            Format::Chrome => "chrome",
            Format::Folded => "folded",
            Format::Svg => "pprof",
        };
        let path = endpoints::PPROF_TRACE;
        let seconds = self.seconds.map_or(DEFAULT_SECONDS, |time| time.as_secs_f64());
        match self.past {
            Some(Past::All) => Ok((format!("{path}?past=all&format={format}"), Duration::ZERO)),
            Some(Past::Time(time)) if time.as_secs_f64() <= MOST_PAST_SECONDS => {
                let whole = time.as_secs_f64().ceil().max(1.0);
                Ok((format!("{path}?past={whole}&format={format}"), Duration::ZERO))
            }
            Some(Past::Time(_)) => {
                Err(Error::usage("--past is longer than an hour", "give --past alone for all that is kept"))
            }
            None if seconds <= MOST_SECONDS => {
                Ok((format!("{path}?seconds={seconds}&format={format}"), Duration::from_secs_f64(seconds)))
            }
            None => Err(Error::usage(
                "--seconds is longer than 5m",
                "record less; --past shows what was recorded",
            )),
        }
    }

    fn sink(&self) -> Sink {
        let default = match self.format {
            Format::Chrome => "trace.json",
            Format::Folded => "trace.folded",
            Format::Svg => "trace.svg",
        };
        Sink::parse(self.out.as_deref().unwrap_or(default.as_ref()))
    }
}

/// Runs the command.
///
/// # Errors
/// The target is none that is live, has no recorder, or the file cannot be written.
pub fn run(global: &GlobalArgs, args: &TraceArgs) -> Result<ExitCode> {
    let sink = args.sink();
    sink.check()?;
    let (request, wait) = args.request()?;
    let target = Target::parse(&args.target)?;
    let Target::Live(endpoint) = &target else {
        return Err(Error::usage(
            format!("{target} is no live process"),
            "give host:port; a trace.json that was written opens in ui.perfetto.dev",
        ));
    };
    if let Some(path) = endpoint.path() {
        return Err(Error::usage(format!("{endpoint} names {path} already"), "give host:port alone"));
    }
    let client = Client::new(&global.http)?;
    let mut progress = Progress::new(global.quiet);
    progress.step(&if wait.is_zero() { format!("reading {target}") } else { format!("recording {target}") });
    let body = fetch(&client, endpoint, &request, wait)?;
    let bytes = match args.format {
        Format::Chrome | Format::Folded => checked(args.format, body, endpoint)?,
        Format::Svg => draw(&body, endpoint)?.into_bytes(),
    };
    sink.write(&bytes)?;
    progress.clear();
    if let Sink::File(path) = &sink {
        if args.format == Format::Chrome {
            progress
                .note("open it in ui.perfetto.dev, which reads it in the browser, or in chrome://tracing");
        }
        print(&format!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(client: &Client, endpoint: &Endpoint, request: &str, wait: Duration) -> Result<Vec<u8>> {
    let answer = client
        .get(endpoint, request, wait)
        .map_err(|e| e.explain(endpoint, request, client.has_credentials(endpoint)))?;
    Ok(answer.body)
}

/// What some other server answers on this path is not written: Go's own has a format of its own.
fn checked(format: Format, body: Vec<u8>, endpoint: &Endpoint) -> Result<Vec<u8>> {
    let fits = match format {
        Format::Chrome => body.starts_with(b"{\"displayTimeUnit\""),
        _ => body.is_empty() || std::str::from_utf8(&body).is_ok(),
    };
    if fits { Ok(body) } else { Err(not_ours(endpoint)) }
}

fn not_ours(endpoint: &Endpoint) -> Error {
    Error::failed(
        format!("{endpoint} answered with something that is no trace of diag"),
        "is it a Go process? `go tool trace` reads those",
    )
}

fn draw(body: &[u8], endpoint: &Endpoint) -> Result<String> {
    let profile = pprof::decode(body).map_err(|_| not_ours(endpoint))?;
    if profile.sample_count() == 0 {
        return Err(Error::failed(
            format!("{endpoint}: no span was entered in that time"),
            "record for longer, or look at --format chrome for events",
        ));
    }
    let options = flamegraphs::Options {
        title: endpoint.to_string(),
        type_index: profile.sample_type_index("span"),
        ..flamegraphs::Options::default()
    };
    render(Picture::Svg, None, &profile, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(seconds: Option<f64>, past: Option<&str>, format: Format) -> TraceArgs {
        TraceArgs {
            target: "127.0.0.1:1".to_owned(),
            seconds: seconds.map(Duration::from_secs_f64),
            past: past.map(|text| parse_past(text).unwrap()),
            out: None,
            format,
        }
    }

    #[test]
    fn the_request_says_what_is_wanted() {
        let request = |args: TraceArgs| args.request().unwrap();
        let second = Duration::from_secs(1);
        for (args, path, wait) in [
            (args(None, None, Format::Chrome), "seconds=5&format=chrome", 5 * second),
            (args(Some(0.5), None, Format::Svg), "seconds=0.5&format=pprof", second / 2),
            (args(None, Some("all"), Format::Folded), "past=all&format=folded", Duration::ZERO),
            (args(None, Some("1.2s"), Format::Chrome), "past=2&format=chrome", Duration::ZERO),
        ] {
            assert_eq!(request(args), (format!("/debug/pprof/trace?{path}"), wait));
        }
        for wrong in [args(Some(301.0), None, Format::Chrome), args(None, Some("2h"), Format::Chrome)] {
            assert_eq!(wrong.request().unwrap_err().exit_code(), 2);
        }
        assert!(parse_past("some").is_err());
    }
}
