//! The flags that all programs share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::prelude::*;

/// What `--help` prints after the program's own line.
pub const HELP: &str = "\
Options:
  --fixed          run the twin that does not leak
  --seconds N      stop after N seconds (default 60)
  --rate N         at most N requests a second (default 500)
  --seed N         seed of the traffic (default 1)
  --listen ADDR    where to listen (default 127.0.0.1:0, a free port, printed on standard output); none: nowhere
  --requests N     instead of --seconds: N requests as fast as they go, then stop; nothing listens
  --snapshots DIR  with --requests: write heap-1.pb.gz to heap-4.pb.gz there, one after each quarter of the requests
  --help           this text
DIAG_* variables set the diagnostics, for example DIAG_SAMPLE_BYTES=65536.
";

/// The flags of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Args {
    /// `--fixed`
    pub fixed: bool,
    /// `--seconds`
    pub run_for: Duration,
    /// `--rate`
    pub requests_per_s: u32,
    /// `--seed`
    pub seed: u64,
    /// `--listen`; `None` for none.
    pub listen: Option<SocketAddr>,
    /// `--requests`
    pub requests: Option<u64>,
    /// `--snapshots`
    pub snapshots: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            fixed: false,
            run_for: Duration::from_secs(60),
            requests_per_s: 500,
            seed: 1,
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            requests: None,
            snapshots: None,
        }
    }
}

/// The `main` of a program: reads the flags, says what the program is for, and runs it.
///
/// Exit code 0 when it ended as planned, 1 when it failed, 2 for a wrong flag.
pub fn from_command_line(
    name: &str,
    claim: &str,
    program: impl FnOnce(Args) -> anyhow::Result<()>,
) -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(Refused::Help) => {
            print!("{name}: {claim}\n\n{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(Refused::Usage(what)) => {
            eprintln!("{name}: {what}\ntry --help");
            return ExitCode::from(2);
        }
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_filter(tracing_subscriber::EnvFilter::from_default_env());
    // Live samples say in which of the program's spans they were born.
    let places = diag::SpanLayer::new().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(log).with(places).init();
    eprintln!("{name}: {claim}{}", if args.fixed { " (--fixed: the twin that does not)" } else { "" });
    match program(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Why a program does not start.
#[derive(PartialEq, Eq, Debug)]
pub enum Refused {
    /// `--help` was asked for.
    Help,
    /// A flag is wrong; the text says which and why.
    Usage(String),
}

impl Args {
    /// Reads the flags, without the program's name.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn parse(flags: impl IntoIterator<Item = String>) -> Result<Self, Refused> {
        let mut args = Self::default();
        let mut flags = flags.into_iter();
        while let Some(flag) = flags.next() {
            let (flag, inline) = match flag.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (flag, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| flags.next())
                    .ok_or_else(|| Refused::Usage(format!("{flag} needs a value")))
            };
            match flag.as_str() {
                "--fixed" => args.fixed = true,
                "--seconds" => args.run_for = Duration::from_secs(number(&flag, &value()?)?),
                "--rate" => args.requests_per_s = number(&flag, &value()?)?,
                "--seed" => args.seed = number(&flag, &value()?)?,
                "--listen" => {
                    let value = value()?;
                    args.listen = if value == "none" { None } else { Some(number(&flag, &value)?) };
                }
                "--requests" => args.requests = Some(number(&flag, &value()?)?),
                "--snapshots" => args.snapshots = Some(value()?.into()),
                "--help" | "-h" => return Err(Refused::Help),
                _ => return Err(Refused::Usage(format!("{flag} is not a flag of this program"))),
            }
        }
        if args.requests_per_s == 0 {
            return Err(Refused::Usage("--rate must be at least 1".to_owned()));
        }
        if args.snapshots.is_some() && args.requests.is_none() {
            return Err(Refused::Usage("--snapshots needs --requests".to_owned()));
        }
        Ok(args)
    }
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(flag: &str, value: &str) -> Result<T, Refused> {
    value.parse().map_err(|error| Refused::Usage(format!("{flag} {value}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{Args, Refused};

    fn parse(line: &str) -> Result<Args, Refused> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read() {
        let args = parse("--fixed --seconds 5 --rate=20 --seed 9 --listen 127.0.0.1:8080").expect("flags");
        assert!(args.fixed);
        assert_eq!((args.run_for.as_secs(), args.requests_per_s, args.seed), (5, 20, 9));
        assert_eq!(args.listen.map(|addr| addr.port()), Some(8080));
        assert_eq!(parse("--listen none").map(|args| args.listen), Ok(None));
        assert_eq!(parse(""), Ok(Args::default()));
    }

    #[test]
    fn a_wrong_flag_is_named() {
        for (line, named) in [
            ("--what", "--what"),
            ("--seconds", "--seconds"),
            ("--seconds soon", "--seconds soon"),
            ("--rate 0", "--rate"),
            ("--listen here", "--listen here"),
            ("--snapshots x", "--requests"),
        ] {
            match parse(line) {
                Err(Refused::Usage(text)) => assert!(text.contains(named), "{line}: {text}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }
}
