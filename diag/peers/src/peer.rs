//! What a profiler does in a process: it is started before the workload, may want to make the runtime and to spawn the tasks, and gives its profile.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::cost::{self, Usage};

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Boxed for all alike.
pub type Spawn = fn(Task) -> JoinHandle<()>;

pub trait Peer {
    fn runtime(&mut self, mut builder: Builder) -> io::Result<Runtime> {
        builder.build()
    }

    fn spawn(&self) -> Spawn {
        tokio::spawn
    }

    /// Whether the workload has to end before the profile can be had.
    fn is_last(&self) -> bool {
        false
    }

    /// Gives what was found since the start. Files go into `dir`.
    fn take(&mut self, _dir: &Path) -> anyhow::Result<Taken> {
        Ok(Taken::default())
    }
}

/// Nothing is profiled, or from outside.
#[derive(Debug)]
pub struct Nothing;

impl Peer for Nothing {}

/// Profiles that were taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Taken {
    pub takings: Vec<Taking>,
    /// pprof files, for the driver to read what they say in all.
    pub heap_file: Option<PathBuf>,
    pub cpu_file: Option<PathBuf>,
    /// Where there is no file: what the peer says is in use.
    pub inuse_bytes: Option<u64>,
    /// What was in use, requested by the workload.
    pub true_bytes: Option<u64>,
    /// What the CPU profile adds up to; the driver fills it in.
    pub cpu_ns: Option<i64>,
    /// CPU time of the process while it was sampled.
    pub true_cpu_ns: Option<i64>,
}

/// What it took to get one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Taking {
    pub what: String,
    pub ms: f64,
    /// How far RSS rose above what it was.
    pub rise_bytes: u64,
    pub file_bytes: u64,
}

impl Taken {
    /// Measures how the bytes are made, then writes them.
    pub fn measure(
        &mut self,
        what: &str,
        file: &Path,
        make: impl FnOnce() -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<PathBuf> {
        let bytes = self.watch(what, make)?;
        std::fs::write(file, &bytes)?;
        self.wrote(bytes.len() as u64);
        Ok(file.to_owned())
    }

    /// For what writes its file itself; [`wrote`](Self::wrote) tells how much.
    pub fn watch<T>(&mut self, what: &str, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        cost::forget_peak()?;
        let (before, began) = (Usage::now().rss_bytes, Instant::now());
        let made = make()?;
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let rise_bytes = Usage::now().peak_rss_bytes.saturating_sub(before);
        self.takings.push(Taking { what: what.to_owned(), ms, rise_bytes, file_bytes: 0 });
        Ok(made)
    }

    /// The last profile has so many bytes.
    pub fn wrote(&mut self, file_bytes: u64) {
        if let Some(taking) = self.takings.last_mut() {
            taking.file_bytes = file_bytes;
        }
    }
}
