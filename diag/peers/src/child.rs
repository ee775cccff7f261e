//! A process that runs one workload under one profiler: what it is told and what it answers, as lines of JSON on a connection to the driver
//! (wrappers like heaptrack keep standard input for themselves).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::cost::Usage;
use crate::peer::{Peer, Taken};
use crate::workloads::{self, Kind};

/// On the command line, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub driver: SocketAddr,
    pub workload: Kind,
    /// Which profiler, where a program has several.
    pub with: String,
    /// For files.
    pub dir: PathBuf,
    /// Of the large live heap.
    pub objects: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Work so long. A service is at work whenever somebody asks it.
    Run(Duration),
    Tell,
    Take,
    Quit,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    Ready { pid: u32, listening: Option<SocketAddr> },
    Ran(Window),
    Told(Usage),
    Took(Taken),
    Failed(String),
}

/// What happened in some time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    pub operations: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
}

impl Window {
    /// From times in nanoseconds, of which each is that of `batch` operations.
    pub fn of(times: &Histogram<u64>, batch: u64, length: Duration) -> Self {
        let at = |share| times.value_at_quantile(share) as f64 / 1e3;
        Self {
            operations: times.len() * batch,
            seconds: length.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
        }
    }
}

/// From 1 ns to a minute, to three digits; what is longer counts as a minute.
pub fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000_000, 3) {
        Ok(times) => times,
        // Only bounds that make no sense are refused.
        Err(_) => std::process::abort(),
    }
}

/// The `main` of each program. `start` starts the profiler.
pub fn main(start: impl FnOnce(&Job) -> anyhow::Result<Box<dyn Peer>>) -> ExitCode {
    let job = std::env::args().nth(1).context("this program is started by `peers`");
    match job.and_then(|job| Ok(serde_json::from_str::<Job>(&job)?)).and_then(|job| obey(&job, start)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(job: &Job, start: impl FnOnce(&Job) -> anyhow::Result<Box<dyn Peer>>) -> anyhow::Result<()> {
    let connection = TcpStream::connect(job.driver)?;
    connection.set_nodelay(true)?;
    let mut lines = BufReader::new(connection.try_clone()?);
    let say = move |answer: Answer| -> anyhow::Result<()> {
        let line = serde_json::to_string(&answer)? + "\n";
        Ok((&connection).write_all(line.as_bytes())?)
    };
    let mut peer = match start(job) {
        Ok(peer) => peer,
        Err(error) => return say(Answer::Failed(format!("{error:#}"))),
    };
    let mut workload = Some(workloads::start(job, peer.as_mut())?);
    let listening = workload.as_ref().and_then(|workload| workload.listening());
    say(Answer::Ready { pid: std::process::id(), listening })?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        match serde_json::from_str(&line)? {
            Order::Run(length) => {
                let workload = workload.as_mut().context("it has ended")?;
                say(Answer::Ran(workload.run(length)))?;
            }
            Order::Tell => say(Answer::Told(Usage::now()))?,
            Order::Take => {
                let true_bytes = workload.as_ref().and_then(|workload| workload.true_bytes());
                if peer.is_last() {
                    workload = None;
                }
                say(match peer.take(&job.dir) {
                    Ok(taken) => Answer::Took(Taken { true_bytes, ..taken }),
                    Err(error) => Answer::Failed(format!("{error:#}")),
                })?;
            }
            Order::Quit => break,
        }
        line.clear();
    }
    Ok(())
}
