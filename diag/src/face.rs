//! [`Diag`]: the one handle a service holds.

use std::sync::Arc;

use crate::config::Config;
use crate::heap::{Heap, HeapError, HeapStats};

/// The diagnostics of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Diag {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    heap: Result<Heap, HeapError>,
}

/// Why the diagnostics could not start at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There can be one a process.
    #[error("diag is already running in this process; keep the handle that start() gave and clone it")]
    AlreadyStarted,
}

/// Something that does not work as asked, though the rest does.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Problem {
    /// Which part: `config`, `heap`, `capture`.
    pub part: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// What runs, what does not, and why.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Status {
    /// `diag.status/1`.
    pub schema: &'static str,
    /// The settings in force.
    pub config: Config,
    /// Process id.
    pub pid: u32,
    /// Start of the process's diagnostics, unix seconds with fraction.
    pub started_unix_s: f64,
    /// Seconds since then.
    pub uptime_s: f64,
    /// The heap collector, when it runs.
    pub heap: Option<HeapStats>,
    /// What does not work as asked.
    pub problems: Vec<Problem>,
}

/// Settings before the start.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    service_name: Option<String>,
    sample_bytes: Option<u64>,
}

impl Diag {
    /// Settings, then [`Builder::start`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The heap collector.
    ///
    /// # Errors
    /// Why it does not run, and what to do.
    pub fn heap(&self) -> Result<&Heap, HeapError> {
        self.inner.heap.as_ref().map_err(Clone::clone)
    }

    /// Where the process's memory stands now: allocator, kernel, cgroup.
    #[cfg(feature = "memory")]
    pub fn memory(&self) -> crate::memory::Waterline {
        let mut waterline = crate::memory::read();
        waterline.diag_bytes = self.heap().map(|heap| heap.stats().memory_bytes).into();
        waterline
    }

    /// What runs, what does not, and why.
    pub fn status(&self) -> Status {
        Status {
            schema: "diag.status/1",
            config: self.inner.config.clone(),
            pid: std::process::id(),
            started_unix_s: 0.0,
            uptime_s: 0.0,
            heap: self.inner.heap.as_ref().ok().map(Heap::stats),
            problems: Vec::new(),
        }
    }
}

impl Builder {
    /// Name of the service, in titles and labels. Default: the name of the executable.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Mean bytes between heap samples.
    pub fn sample_bytes(mut self, bytes: u64) -> Self {
        self.sample_bytes = Some(bytes);
        self
    }

    /// Starts the collectors. What cannot run says so in [`Diag::status`]; the host goes on.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`].
    pub fn start(self) -> Result<Diag, Error> {
        Ok(Diag {
            inner: Arc::new(Inner {
                config: Config {
                    service_name: self.service_name.unwrap_or_default(),
                    sample_bytes: self.sample_bytes,
                    listen: std::net::SocketAddr::from(([127, 0, 0, 1], 6060)),
                    token_file: None,
                    capture_dir: None,
                    capture_every: std::time::Duration::from_secs(10),
                    disabled: false,
                },
                heap: Err(HeapError::Unavailable { why: "not built yet".into(), next: "wait".into() }),
            }),
        })
    }
}
