//! The diagnostics' own thread: looks for newly loaded files once a second, takes the censuses for leak verdicts, reads the
//! waterline every few seconds, and writes captures: at once, after 1, 3, 7
//! seconds and so on until the time that was set is reached, and then as often as was set.
//!
//! A capture is two files, `heap-<time>-<pid>.pb.gz` (pprof with ages) and `memory-<time>-<pid>.json` (the waterline). Each
//! is written under another name and renamed, so that it is there whole or not at all. The thread records nothing of
//! itself, and what fails is kept for `status` and tried again next time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::Unprofiled;
use crate::config::{Config, Problem};
use crate::heap::{Heap, HeapError, SnapshotOptions};
use crate::leaks::History;
use crate::profile::pprof;
use crate::sys::clock;

const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Time from the first capture to the second; doubled from then on up to the time that was set, so that short jobs are seen.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long the last capture may take when the diagnostics end.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Captures to files so far.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct CaptureStats {
    /// Where.
    pub dir: PathBuf,
    /// How many were written.
    pub written: u64,
    /// How many failed.
    pub failed: u64,
    /// The last failure, until a capture succeeds.
    pub last_problem: Option<Problem>,
}

/// The thread and what it is told.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    heap: Result<Heap, HeapError>,
    history: Option<Arc<History>>,
    #[cfg(feature = "memory")]
    course: crate::course::Course,
    config: Config,
}

struct State {
    stop: bool,
    finished: bool,
    captures: Option<CaptureStats>,
}

impl Worker {
    /// Starts the thread; a failure to do so is a problem, not an error.
    pub(crate) fn start(
        config: &Config,
        heap: Result<Heap, HeapError>,
        history: Option<Arc<History>>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let captures = config.capture_dir.clone().map(|dir| CaptureStats {
            dir,
            written: 0,
            failed: 0,
            last_problem: None,
        });
        let shared = Arc::new(Shared {
            state: Mutex::new(State { stop: false, finished: false, captures }),
            changed: Condvar::new(),
            heap,
            history,
            #[cfg(feature = "memory")]
            course: crate::course::Course::new(),
            config: config.clone(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("diag".to_owned())
            .stack_size(512 << 10)
            .spawn(move || of_thread.run())
            .map_err(|e| {
                problems.push(Problem {
                    part: "capture".into(),
                    what: format!("the diagnostics' thread could not be started: {e}"),
                    next: "raise the limit of threads; until then no captures are written".into(),
                });
            })
            .ok();
        Self { shared, thread }
    }

    /// Counters, where a directory is set.
    pub(crate) fn capture_stats(&self) -> Option<CaptureStats> {
        self.shared.lock().captures.clone()
    }

    /// The course of the waterline.
    #[cfg(feature = "memory")]
    pub(crate) fn course(&self) -> &crate::course::Course {
        &self.shared.course
    }

    /// Writes a capture on the calling thread.
    pub(crate) fn capture_now(&self) -> io::Result<()> {
        if self.shared.config.capture_dir.is_none() {
            return Err(io::Error::other(
                "no capture directory; set DIAG_CAPTURE_DIR or the builder's capture_dir",
            ));
        }
        self.shared.capture()
    }

    /// Writes the last capture and ends the thread.
    pub(crate) fn finish(self) {
        let mut state = self.shared.lock();
        state.stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread
            && thread.thread().id() != std::thread::current().id()
        {
            let (state, _) = self
                .shared
                .changed
                .wait_timeout_while(state, FINISH_WITHIN, |s| !s.finished)
                .unwrap_or_else(PoisonError::into_inner);
            let finished = state.finished;
            drop(state);
            if finished {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let _unprofiled = Unprofiled::begin();
        let captures = self.config.capture_dir.is_some();
        let mut next_capture = Instant::now();
        let mut wait = FIRST_WAIT.min(self.config.capture_every);
        loop {
            if captures && Instant::now() >= next_capture {
                let _ = self.capture();
                // After a pause of the machine: go on from now rather than catch up.
                next_capture = (next_capture + wait).max(Instant::now());
                wait = (wait * 2).min(self.config.capture_every);
            }
            #[cfg(feature = "memory")]
            self.course.tick(&self.heap);
            if let Ok(heap) = &self.heap {
                heap.refresh_modules();
                if let Some(history) = &self.history {
                    history.tick(heap);
                }
            }
            let state = self.lock();
            let (state, _) = self
                .changed
                .wait_timeout_while(state, REFRESH_EVERY, |s| !s.stop)
                .unwrap_or_else(PoisonError::into_inner);
            if state.stop {
                break;
            }
        }
        // At the end most memory is freed already, and a difference with this capture would mislead. A job that was over
        // before its second capture has nothing better.
        if captures && self.lock().captures.as_ref().is_some_and(|c| c.written < 2) {
            let _ = self.capture();
        }
        self.lock().finished = true;
        self.changed.notify_all();
    }

    /// Writes one capture and counts it.
    fn capture(&self) -> io::Result<()> {
        let _unprofiled = Unprofiled::begin();
        let Some(dir) = &self.config.capture_dir else { return Ok(()) };
        let result = self.write(dir);
        let mut state = self.lock();
        if let Some(stats) = &mut state.captures {
            match &result {
                Ok(()) => {
                    stats.written += 1;
                    stats.last_problem = None;
                }
                Err(e) => {
                    stats.failed += 1;
                    stats.last_problem = Some(Problem {
                        part: "capture".into(),
                        what: format!("the last capture failed: {e}"),
                        next: format!("check that {} is a writable directory with room", dir.display()),
                    });
                }
            }
        }
        result
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir).map_err(|e| on(dir, e))?;
        let stamp = format!("{}-{}", basic_utc(clock::unix_ns()), std::process::id());
        let heap = match &self.heap {
            Ok(heap) => heap.snapshot(&SnapshotOptions::default().with_ages(true)),
            Err(e) => Err(e.clone()),
        };
        let heap = heap.map(|mut profile| {
            profile.annotate(|meta| meta.comments.extend(crate::face::identity(&self.config)));
            pprof::encode_gz(&profile)
        });
        // The waterline is worth having even without a heap profile.
        #[cfg(feature = "memory")]
        {
            let json = serde_json::to_vec(&crate::face::waterline(&self.heap)).map_err(io::Error::other)?;
            write_whole(dir, &format!("memory-{stamp}.json"), &json)?;
        }
        write_whole(dir, &format!("heap-{stamp}.pb.gz"), &heap.map_err(io::Error::other)?)?;
        prune(dir, self.config.capture_keep)
    }
}

fn on(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes under a name that no reader takes for a capture, then renames.
fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = dir.join(format!(".{name}.part"));
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, dir.join(name)));
    written.map_err(|e| {
        let _ = fs::remove_file(&part);
        on(&dir.join(name), e)
    })
}

/// Deletes all but the newest `keep` captures of each kind. Other files are left alone.
fn prune(dir: &Path, keep: usize) -> io::Result<()> {
    for (prefix, suffix) in [("heap-", ".pb.gz"), ("memory-", ".json")] {
        let mut names: Vec<String> = fs::read_dir(dir)
            .map_err(|e| on(dir, e))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix) && name.ends_with(suffix))
            .collect();
        names.sort_unstable();
        let surplus = names.len().saturating_sub(keep);
        for name in names.iter().take(surplus) {
            fs::remove_file(dir.join(name)).map_err(|e| on(&dir.join(name), e))?;
        }
    }
    Ok(())
}

/// `20261121T132500.123Z`: sorts by time. The civil date from days is Howard Hinnant's algorithm.
fn basic_utc(unix_ns: u64) -> String {
    let (s, ms) = (unix_ns / 1_000_000_000, unix_ns / 1_000_000 % 1_000);
    let (days, second_of_day) = (s / 86_400, s % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc_and_sort() {
        assert_eq!(basic_utc(0), "19700101T000000.000Z");
        assert_eq!(basic_utc(1_709_164_799_999_000_000), "20240228T235959.999Z");
        assert_eq!(basic_utc(1_709_251_199_000_000_000), "20240229T235959.000Z");
        assert_eq!(basic_utc(1_709_251_200_000_000_000), "20240301T000000.000Z");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_whole(&dir.path().join("missing"), "heap-x.pb.gz", b"x").is_err());
        fs::create_dir(dir.path().join("heap-y.pb.gz")).unwrap();
        assert!(write_whole(dir.path(), "heap-y.pb.gz", b"x").is_err());
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["heap-y.pb.gz"]);
    }

    #[test]
    fn pruning_keeps_the_newest_and_what_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["heap-1-9.pb.gz", "heap-2-9.pb.gz", "heap-3-9.pb.gz", "notes.txt", "memory-1-9.json"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        prune(dir.path(), 2).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["heap-2-9.pb.gz", "heap-3-9.pb.gz", "memory-1-9.json", "notes.txt"]);
    }
}
