//! Captures in a directory: the one writer, for the thread that captures by time and for rules that fire.
//!
//! A capture is the files of one moment: `<kind>-<time>-<pid>.<extension>`, and `<kind>-<time>-<pid>-<rule>.<extension>` when a rule
//! asked for it. Kinds: `heap` (pprof with ages), `memory` (the waterline), and of rules `cpu`, `leaks` (the verdict), `trace` (the
//! flight recorder's), `event` (which rule and why), `sites` (a heap profile without ages, where there was no memory for more). Addresses only; names are for the reader.
//!
//! Each file is written under another name and renamed, so that it is there whole or not at all. Not synced: it outlives the kill of
//! the process, not a power cut. What fails is kept for `status`.

mod files;
mod rotate;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use crate::Unprofiled;
use crate::config::{Config, Problem};
use crate::heap::{Heap, HeapError, SnapshotOptions};
use crate::profile::{Profile, pprof};
use crate::sys::clock;

/// Comment of a profile that a rule asked for: `reason=<rule>: <why>`.
#[cfg(feature = "triggers")]
pub(crate) const REASON_COMMENT: &str = "reason=";

/// Captures to files so far.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct CaptureStats {
    /// Where.
    pub dir: PathBuf,
    /// How many were written, by time and by rules.
    pub written: u64,
    /// How many of them because a rule fired.
    pub by_rule: u64,
    /// How many failed.
    pub failed: u64,
    /// The last failure, until a capture succeeds.
    pub last_problem: Option<Problem>,
}

/// Writes captures and counts them.
pub(crate) struct Captures {
    dir: PathBuf,
    keep: rotate::Keep,
    heap: Result<Heap, HeapError>,
    config: Config,
    stats: Mutex<CaptureStats>,
}

/// The name that the files of one capture share.
#[derive(Clone, Debug)]
pub(crate) struct Stamp(String);

impl Captures {
    /// `None` where no directory is set.
    pub(crate) fn new(config: &Config, heap: Result<Heap, HeapError>) -> Option<Self> {
        let dir = config.capture_dir.clone()?;
        let stats = CaptureStats { dir: dir.clone(), written: 0, by_rule: 0, failed: 0, last_problem: None };
        Some(Self {
            dir,
            keep: rotate::Keep { captures: config.capture_keep, bytes: config.capture_keep_bytes },
            heap,
            config: config.clone(),
            stats: Mutex::new(stats),
        })
    }

    fn lock(&self) -> MutexGuard<'_, CaptureStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> CaptureStats {
        self.lock().clone()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Heap and waterline of now.
    pub(crate) fn by_time(&self) -> io::Result<()> {
        let _unprofiled = Unprofiled::begin();
        let result = self.write_by_time();
        self.count(&result, false);
        result
    }

    fn write_by_time(&self) -> io::Result<()> {
        let stamp = self.begin(None)?;
        // The waterline is worth having even without a heap profile.
        #[cfg(feature = "memory")]
        self.put_waterline(&stamp, &crate::face::waterline(&self.heap))?;
        self.put_heap(&stamp, true, &[])?;
        self.prune()
    }

    /// Makes the directory, and a name for a capture of now.
    pub(crate) fn begin(&self, rule: Option<&str>) -> io::Result<Stamp> {
        fs::create_dir_all(&self.dir).map_err(|e| files::on(&self.dir, e))?;
        let time = files::basic_utc(clock::unix_ns());
        let pid = std::process::id();
        Ok(Stamp(rule.map_or_else(|| format!("{time}-{pid}"), |rule| format!("{time}-{pid}-{rule}"))))
    }

    /// The heap as it is now; gives the file's name.
    pub(crate) fn put_heap(&self, stamp: &Stamp, ages: bool, comments: &[String]) -> io::Result<String> {
        let heap = self.heap.clone().map_err(io::Error::other)?;
        let profile = heap.snapshot(&SnapshotOptions::default().with_ages(ages)).map_err(io::Error::other)?;
        self.put_profile(stamp, if ages { "heap" } else { "sites" }, profile, comments)
    }

    /// A profile, with who it is of.
    pub(crate) fn put_profile(
        &self,
        stamp: &Stamp,
        kind: &str,
        mut profile: Profile,
        comments: &[String],
    ) -> io::Result<String> {
        profile.annotate(|meta| {
            meta.comments.extend(crate::face::identity(&self.config));
            meta.comments.extend_from_slice(comments);
        });
        let bytes = pprof::encode_gz(&profile);
        // Two copies of a large profile are more than is needed.
        drop(profile);
        self.put(stamp, kind, "pb.gz", &bytes)
    }

    /// A waterline.
    #[cfg(feature = "memory")]
    pub(crate) fn put_waterline(
        &self,
        stamp: &Stamp,
        waterline: &crate::memory::Waterline,
    ) -> io::Result<String> {
        self.put_json(stamp, "memory", waterline)
    }

    /// Something as JSON.
    #[cfg(feature = "memory")]
    pub(crate) fn put_json(
        &self,
        stamp: &Stamp,
        kind: &str,
        value: &impl serde::Serialize,
    ) -> io::Result<String> {
        self.put(stamp, kind, "json", &serde_json::to_vec(value).map_err(io::Error::other)?)
    }

    /// A file of a capture; gives its name.
    pub(crate) fn put(&self, stamp: &Stamp, kind: &str, extension: &str, bytes: &[u8]) -> io::Result<String> {
        let name = format!("{kind}-{}.{extension}", stamp.0);
        files::write_whole(&self.dir, &name, bytes)?;
        Ok(name)
    }

    /// Deletes what is too old or too much.
    pub(crate) fn prune(&self) -> io::Result<()> {
        rotate::prune(&self.dir, self.keep)
    }

    /// Counts a capture.
    pub(crate) fn count(&self, result: &io::Result<()>, by_rule: bool) {
        let mut stats = self.lock();
        match result {
            Ok(()) => {
                stats.written += 1;
                stats.by_rule += u64::from(by_rule);
                stats.last_problem = None;
            }
            Err(e) => {
                stats.failed += 1;
                stats.last_problem = Some(Problem {
                    part: "capture".into(),
                    what: format!("the last capture failed: {e}"),
                    next: format!("check that {} is a writable directory with room", self.dir.display()),
                });
            }
        }
    }

    /// Whether a file can be made in the directory, tried.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir).map_err(|e| files::on(&self.dir, e))?;
        files::try_write(&self.dir)
    }
}
