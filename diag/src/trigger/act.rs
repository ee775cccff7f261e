//! Does what a rule wants. The heap first: the kernel may end the process at any moment, and each file is whole by itself.

use std::io;
use std::sync::Arc;

use super::call::{Call, Caller};
use crate::capture::{Captures, Stamp};
use crate::config::Config;
use crate::face::Diag;
use crate::heap::{Heap, HeapError};
use crate::leaks::LeakOptions;
use crate::memory;
use crate::rules::{Do, Firing, Hook, Observed, Rule};
use crate::sys::clock;

const SCHEMA: &str = "diag.event/1";
/// From this share of the limit on no names are resolved in the process.
const SHORT_OF_MEMORY: f64 = 0.8;

/// The largest trace: what happened first is left out for it, and the file says so.
#[cfg(feature = "recorder")]
const MOST_TRACE_BYTES: usize = 64 << 20;

/// Whether a rule writes files.
pub(super) fn writes_files(rule: &Rule) -> bool {
    let file = |a: &Do| matches!(a, Do::Heap | Do::Memory | Do::Leaks | Do::Tasks | Do::Trace | Do::Cpu(_));
    rule.actions.iter().any(file)
}

/// A CPU profile under way.
#[cfg(feature = "cpu")]
pub(super) struct Recording {
    recording: crate::cpu::Recording,
    until_ns: u64,
    stamp: Stamp,
    firing: Firing,
}

#[cfg(feature = "cpu")]
impl Recording {
    pub(super) fn until_ns(&self) -> u64 {
        self.until_ns
    }
}

/// What acting needs.
pub(super) struct Actor {
    pub(super) captures: Option<Arc<Captures>>,
    pub(super) heap: Result<Heap, HeapError>,
    pub(super) config: Config,
    pub(super) caller: Caller,
    /// CPU profiles under way: one, or none.
    #[cfg(feature = "cpu")]
    pub(super) recording: Option<Recording>,
}

impl Actor {
    /// Does all that the rule wants. `free_bytes` is what may still be allocated below the limit, with what was set aside.
    pub(super) fn act(
        &mut self,
        rule: &Rule,
        why: &str,
        observed: &Observed,
        free_bytes: Option<u64>,
    ) -> Firing {
        let mut firing = Firing {
            schema: SCHEMA,
            rule: rule.name.clone(),
            why: why.to_owned(),
            at_unix_ns: clock::unix_ns(),
            service_name: self.config.service_name.clone(),
            pid: std::process::id(),
            limit_bytes: observed.limit_bytes,
            working_set_bytes: observed.working_set_bytes,
            rss_bytes: observed.rss_bytes,
            dir: self.captures.as_ref().map(|c| c.dir().to_path_buf()),
            ..Firing::default()
        };
        let wants = |what: fn(&Do) -> bool| rule.actions.iter().any(what);
        let stamp = self.begin(rule, &mut firing);
        if let Some((captures, stamp)) = &stamp {
            if wants(|a| matches!(a, Do::Heap)) {
                let file = self.write_heap(captures, stamp, &mut firing, free_bytes);
                note(&mut firing, file);
            }
            // So that the reason is there though the rest may never be.
            if let Err(e) = captures.put_json(stamp, "event", &firing) {
                firing.problems.push(e.to_string());
            }
            if wants(|a| matches!(a, Do::Memory)) {
                // The walk of the page tables would take longest just now.
                let file = captures
                    .put_waterline(stamp, &crate::face::with_own_bytes(memory::read_quick(), &self.heap));
                note(&mut firing, file);
            }
            if wants(|a| matches!(a, Do::Trace)) {
                let file = self.write_trace(captures, stamp);
                note(&mut firing, file);
            }
        }
        if wants(|a| matches!(a, Do::Purge))
            && let Err(why) = memory::give_back()
        {
            firing.problems.push(why);
        }
        self.call_hooks(rule, &mut firing);
        if let Some((captures, stamp)) = &stamp {
            if wants(|a| matches!(a, Do::Tasks)) {
                let file = write_tasks(captures, stamp);
                note(&mut firing, file);
            }
            if wants(|a| matches!(a, Do::Leaks)) {
                let file = write_leaks(captures, stamp, observed);
                note(&mut firing, file);
            }
            if let Some(Do::Cpu(time)) = rule.actions.iter().find(|a| matches!(a, Do::Cpu(_))) {
                self.record_cpu(*time, stamp, &mut firing);
            }
            captures.count(&finish(captures, stamp, &firing), true);
        }
        firing
    }

    fn begin(&self, rule: &Rule, firing: &mut Firing) -> Option<(Arc<Captures>, Stamp)> {
        if !writes_files(rule) {
            return None;
        }
        let Some(captures) = &self.captures else {
            firing.problems.push("no capture directory is set; set DIAG_CAPTURE_DIR".to_owned());
            return None;
        };
        match captures.begin(Some(&rule.name)) {
            Ok(stamp) => Some((Arc::clone(captures), stamp)),
            Err(e) => {
                firing.problems.push(e.to_string());
                captures.count(&Err(e), true);
                None
            }
        }
    }

    /// With ages, unless there is no memory for so much; then by site, which is a part of it.
    fn write_heap(
        &self,
        captures: &Captures,
        stamp: &Stamp,
        firing: &mut Firing,
        free_bytes: Option<u64>,
    ) -> io::Result<String> {
        let bound = self.heap.as_ref().map_or(0, |heap| heap.snapshot_bound_bytes(true));
        let ages = free_bytes.is_none_or(|free| bound <= free);
        if !ages {
            firing.problems.push(format!(
                "a heap profile with ages may need {} MiB and there is no room for that: it is without; \
                 a larger sampling period makes fewer samples",
                bound >> 20
            ));
        }
        let reason = format!("{}{}: {}", crate::capture::REASON_COMMENT, firing.rule, firing.why);
        captures.put_heap(stamp, ages, &[reason])
    }

    /// All that the flight recorder holds.
    #[cfg(feature = "recorder")]
    fn write_trace(&self, captures: &Captures, stamp: &Stamp) -> io::Result<String> {
        use crate::recorder::{Recorder, RecorderError};
        let recorder = Recorder::running().ok_or_else(|| io::Error::other(RecorderError::NotInstalled))?;
        let trace = recorder.dump(None).map_err(io::Error::other)?;
        let trace = crate::tasks::name_polls(trace).with_service_name(&self.config.service_name);
        captures.put(stamp, "trace", "json", &trace.to_chrome_json_at_most(MOST_TRACE_BYTES))
    }

    #[cfg(not(feature = "recorder"))]
    fn write_trace(&self, _captures: &Captures, _stamp: &Stamp) -> io::Result<String> {
        Err(io::Error::other("no trace was written: diag was built without its feature `recorder`"))
    }

    fn call_hooks(&self, rule: &Rule, firing: &mut Firing) {
        for action in &rule.actions {
            let call = match action {
                Do::Hook(hook) => Call::Hook(Hook(Arc::clone(&hook.0)), firing.clone()),
                Do::Webhook(url) => Call::Webhook(url.clone(), firing.clone()),
                _ => continue,
            };
            if let Err(why) = self.caller.call(call) {
                firing.problems.push(why);
            }
        }
    }

    #[cfg(feature = "cpu")]
    fn record_cpu(&mut self, time: std::time::Duration, stamp: &Stamp, firing: &mut Firing) {
        if self.recording.is_some() {
            firing.problems.push("another rule records a CPU profile already".to_owned());
            return;
        }
        let started = crate::cpu::Cpu::new().record(&crate::cpu::CpuOptions::default());
        match started {
            Ok(recording) => {
                let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                self.recording = Some(Recording {
                    recording,
                    until_ns: clock::monotonic_ns().saturating_add(ns),
                    stamp: stamp.clone(),
                    firing: firing.clone(),
                });
            }
            Err(e) => firing.problems.push(e.to_string()),
        }
    }

    #[cfg(not(feature = "cpu"))]
    fn record_cpu(&mut self, _time: std::time::Duration, _stamp: &Stamp, firing: &mut Firing) {
        firing.problems.push("diag was built without its feature `cpu`".to_owned());
    }

    /// Writes the CPU profile whose time is over, and gives its firing.
    #[cfg(feature = "cpu")]
    pub(super) fn finish_recording(&mut self, now_ns: u64) -> Option<Firing> {
        let done = self.recording.take_if(|r| now_ns >= r.until_ns)?;
        let captures = self.captures.as_ref()?;
        let mut firing = done.firing;
        let reason = format!("{}{}: {}", crate::capture::REASON_COMMENT, firing.rule, firing.why);
        let file = done
            .recording
            .finish()
            .map_err(io::Error::other)
            .and_then(|profile| captures.put_profile(&done.stamp, "cpu", profile, &[reason]));
        note(&mut firing, file);
        // Counted when it fired.
        if let Err(e) = finish(captures, &done.stamp, &firing) {
            firing.problems.push(e.to_string());
        }
        Some(firing)
    }
}

/// The verdict of now; short of memory without names.
fn write_leaks(captures: &Captures, stamp: &Stamp, observed: &Observed) -> io::Result<String> {
    let diag = Diag::running().ok_or_else(|| io::Error::other("the diagnostics are ending"))?;
    let short = observed
        .working_set_bytes
        .zip(observed.limit_bytes)
        .is_some_and(|(used, limit)| used as f64 >= limit as f64 * SHORT_OF_MEMORY);
    let report = diag.leaks_named(&LeakOptions::default(), !short).map_err(io::Error::other)?;
    captures.put_json(stamp, "leaks", &report)
}

/// The tasks of now, judged.
#[cfg(feature = "tasks")]
fn write_tasks(captures: &Captures, stamp: &Stamp) -> io::Result<String> {
    let diag = Diag::running().ok_or_else(|| io::Error::other("the diagnostics are ending"))?;
    captures.put_json(stamp, "tasks", &diag.tasks())
}

#[cfg(not(feature = "tasks"))]
fn write_tasks(_captures: &Captures, _stamp: &Stamp) -> io::Result<String> {
    Err(io::Error::other("diag was built without its feature `tasks`"))
}

fn note(firing: &mut Firing, file: io::Result<String>) {
    match file {
        Ok(name) => firing.files.push(name),
        Err(e) => firing.problems.push(e.to_string()),
    }
}

/// The event as it ended, and the directory in its bounds. What a rule could not do is its own problem; a directory that cannot be
/// written at all is the capture's.
fn finish(captures: &Captures, stamp: &Stamp, firing: &Firing) -> io::Result<()> {
    captures.put_json(stamp, "event", firing).and_then(|_| captures.prune())
}
