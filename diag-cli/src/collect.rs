//! What a live target is asked for, and which captures of a directory are meant: the heap, contention for locks, or CPU time, which
//! has to be recorded.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use diag::endpoints;

use crate::cli::parse_duration;
use crate::error::{Error, Result};
use crate::target::{Endpoint, Target};

/// When nothing is said.
const DEFAULT_SECONDS: u64 = 10;
/// The server's bound for `seconds=`.
const MOST_SECONDS: u64 = 3600;
/// The same for `hz=`.
const MOST_HZ: i64 = 4_999;

const CPU: &str = "CPU time";

/// `--kind` of the commands that look at one profile, or at two.
#[derive(Clone, Debug, Default, Args)]
pub struct CollectArgs {
    /// What a live target is asked for, and a directory searched for [default: heap]
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<Kind>,
    /// How CPU time is recorded.
    #[command(flatten)]
    pub cpu: CpuArgs,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Memory in use and allocated.
    Heap,
    /// CPU time, recorded for --cpu-seconds; with --mode wall time that passes.
    Cpu,
    /// Who makes others wait for locks, since the start of the process.
    Mutex,
    /// Who waits for locks, since the start of the process.
    Block,
}

/// How CPU time is recorded.
#[derive(Clone, Debug, Default, Args)]
pub struct CpuArgs {
    /// Record CPU time for so long, up to 1h [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = CPU)]
    pub cpu_seconds: Option<Duration>,
    /// Samples a second and thread [default: 99, with --mode wall 19]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_HZ), help_heading = CPU)]
    pub hz: Option<u32>,
    /// cpu: time on a processor; wall: time that passes, running or waiting [default: cpu]
    #[arg(long, value_enum, value_name = "MODE", help_heading = CPU)]
    pub mode: Option<Mode>,
}

/// Which time is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// On a processor.
    #[default]
    Cpu,
    /// That passes, running or waiting.
    Wall,
}

/// What is collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collect {
    /// The heap profile, now; in a directory, heap captures when there are any.
    #[default]
    Heap,
    /// CPU time, over a while.
    Cpu(Recording),
    /// Who makes others wait.
    Mutex,
    /// Who waits.
    Block,
}

/// How CPU time is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// For so long.
    pub seconds: u64,
    /// Samples a second and thread; `None` for the target's default.
    pub hz: Option<u32>,
    /// Which time.
    pub mode: Mode,
}

impl CollectArgs {
    /// What to collect.
    ///
    /// # Errors
    /// Settings of CPU profiles for a heap profile, or a recording that is too long.
    pub fn collect(&self) -> Result<Collect> {
        let other = match self.kind {
            Some(Kind::Cpu) => return Ok(Collect::Cpu(self.cpu.recording()?)),
            None | Some(Kind::Heap) => Collect::Heap,
            Some(Kind::Mutex) => Collect::Mutex,
            Some(Kind::Block) => Collect::Block,
        };
        self.cpu.unused().map(|()| other)
    }
}

impl CpuArgs {
    /// The recording they describe.
    ///
    /// # Errors
    /// It is too long.
    pub fn recording(&self) -> Result<Recording> {
        let seconds = self.cpu_seconds.map_or(DEFAULT_SECONDS, |d| d.as_secs_f64().ceil().max(1.0) as u64);
        if seconds > MOST_SECONDS {
            return Err(Error::usage(
                format!("--cpu-seconds {seconds} is longer than an hour"),
                "record less at a time; `diag-cli capture TARGET --kind cpu --every 1m` records again and again",
            ));
        }
        Ok(Recording { seconds, hz: self.hz, mode: self.mode.unwrap_or_default() })
    }

    /// Nothing may be set.
    ///
    /// # Errors
    /// The flag that is.
    pub fn unused(&self) -> Result<()> {
        let flags = [
            ("--cpu-seconds", self.cpu_seconds.is_some()),
            ("--hz", self.hz.is_some()),
            ("--mode", self.mode.is_some()),
        ];
        match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) => {
                Err(Error::usage(format!("{flag} is about CPU profiles"), "give --kind cpu too"))
            }
            None => Ok(()),
        }
    }
}

impl Mode {
    /// The first word of a capture's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wall => "wall",
        }
    }
}

impl Collect {
    /// The first word of the captures that are meant; `None` for heap captures, or else what there is.
    pub fn wanted(&self) -> Option<&'static str> {
        match self {
            Self::Heap => None,
            Self::Cpu(recording) => Some(recording.mode.name()),
            Self::Mutex => Some("mutex"),
            Self::Block => Some("block"),
        }
    }

    /// The word of `--kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Cpu(_) => "cpu",
            Self::Mutex => "mutex",
            Self::Block => "block",
        }
    }

    /// Whether a target can be asked twice for the same: not for time that has passed.
    pub fn can_be_repeated(&self) -> bool {
        !matches!(self, Self::Cpu(_))
    }

    /// How long the target needs by design.
    pub fn wait(&self) -> Duration {
        match self {
            Self::Heap | Self::Mutex | Self::Block => Duration::ZERO,
            Self::Cpu(recording) => Duration::from_secs(recording.seconds),
        }
    }

    /// The endpoint of a target that names no path itself.
    pub fn path(&self) -> String {
        let Recording { seconds, hz, mode } = match self {
            Self::Cpu(recording) => recording,
            Self::Heap => return endpoints::PPROF_HEAP.to_owned(),
            Self::Mutex => return endpoints::PPROF_MUTEX.to_owned(),
            Self::Block => return endpoints::PPROF_BLOCK.to_owned(),
        };
        let mut path = format!("{}?seconds={seconds}", endpoints::PPROF_PROFILE);
        // Writing to a String does not fail.
        if let Some(hz) = hz {
            let _ = write!(path, "&hz={hz}");
        }
        if *mode == Mode::Wall {
            path.push_str("&mode=wall");
        }
        path
    }

    /// A target that names a path says itself what is collected.
    ///
    /// # Errors
    /// It does, and so does the command line.
    pub fn goes_with(&self, endpoint: &Endpoint) -> Result<()> {
        match (self, endpoint.path()) {
            (Self::Cpu(_) | Self::Mutex | Self::Block, Some(path)) => Err(Error::usage(
                format!("{endpoint} names {path} already, which --kind {} does not go with", self.kind()),
                "give host:port alone, or leave --kind out",
            )),
            _ => Ok(()),
        }
    }

    /// What stands on the terminal while it takes its time.
    pub fn doing(&self, targets: &[Target]) -> String {
        let of = match targets {
            [target] => target.to_string(),
            targets => format!("{} targets", targets.len()),
        };
        match self {
            Self::Heap => format!("reading {of}"),
            Self::Mutex | Self::Block => format!("reading contention of {of}"),
            Self::Cpu(Recording { mode: Mode::Cpu, .. }) => format!("recording CPU time of {of}"),
            Self::Cpu(Recording { mode: Mode::Wall, .. }) => format!("recording where threads of {of} are"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_what_is_recorded() {
        assert_eq!(Collect::Heap.path(), "/debug/pprof/heap");
        let args = |seconds: f64, hz, mode| CollectArgs {
            kind: Some(Kind::Cpu),
            cpu: CpuArgs { cpu_seconds: Some(Duration::from_secs_f64(seconds)), hz, mode },
        };
        let path = |args: CollectArgs| args.collect().unwrap().path();
        assert_eq!(path(args(1.2, None, None)), "/debug/pprof/profile?seconds=2");
        assert_eq!(
            path(args(3.0, Some(499), Some(Mode::Wall))),
            "/debug/pprof/profile?seconds=3&hz=499&mode=wall"
        );
        assert!(args(3601.0, None, None).collect().unwrap_err().line().contains("an hour"));
        for kind in [None, Some(Kind::Mutex)] {
            let other = CollectArgs { kind, ..args(1.0, None, None) };
            assert!(other.collect().unwrap_err().line().starts_with("--cpu-seconds is about CPU"));
        }
        assert_eq!(Collect::Mutex.path(), "/debug/pprof/mutex");
        assert_eq!(Collect::Block.path(), "/debug/pprof/block");
    }
}
