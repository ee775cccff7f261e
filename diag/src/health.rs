//! Whether the diagnostics themselves are well: what a probe asks. What runs and why is `status`; this is one word, with reasons.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::face::Diag;

const SCHEMA: &str = "diag.health/1";
/// A thread that comes round each second and has not for so long is stuck, or the machine is.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// One word for a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Does what it should.
    Ok,
    /// Is not wanted, or has nothing to do.
    Off,
    /// Should work and does not.
    Broken,
}

/// A part of the diagnostics.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PartHealth {
    /// `heap`, `cpu`, `captures`, `rules`, `thread`.
    pub part: &'static str,
    /// How it is.
    pub state: PartState,
    /// Why it is not ok; empty when it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How the diagnostics are; serializes as `diag.health/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// `diag.health/1`.
    pub schema: &'static str,
    /// `broken` when any part is.
    pub state: PartState,
    /// The parts.
    pub parts: Vec<PartHealth>,
    /// Seconds since the last census for leak verdicts; absent where none are taken.
    pub last_census_age_s: Option<f64>,
    /// Where captures go, when they do.
    pub capture_dir: Option<PathBuf>,
    /// Whether a file could be made there just now.
    pub capture_dir_writable: Option<bool>,
    /// How much of the memory limit is in use, 1 for all of it; absent without a limit.
    pub limit_share: Option<f64>,
}

impl Diag {
    /// How the diagnostics are. Reads some small files, and makes one in the capture directory.
    pub fn health(&self) -> Health {
        let _unprofiled = crate::Unprofiled::begin();
        let mut parts = vec![heap(self), thread(self)];
        #[cfg(feature = "cpu")]
        parts.push(cpu(self));
        let captures = self.captures();
        let writable = captures.map(crate::capture::Captures::check_writable);
        parts.push(match &writable {
            None => part("captures", PartState::Off, "no directory is set (DIAG_CAPTURE_DIR)"),
            Some(Ok(())) => part("captures", PartState::Ok, ""),
            Some(Err(e)) => part("captures", PartState::Broken, format!("no file can be made: {e}")),
        });
        #[cfg(feature = "triggers")]
        parts.push(rules(self));
        let broken = parts.iter().any(|p| p.state == PartState::Broken);
        Health {
            schema: SCHEMA,
            state: if broken { PartState::Broken } else { PartState::Ok },
            parts,
            last_census_age_s: self.history().and_then(|h| h.last_census_age(self.heap().ok()?)),
            capture_dir: captures.map(|c| c.dir().to_path_buf()),
            capture_dir_writable: writable.map(|w| w.is_ok()),
            limit_share: limit_share(),
        }
    }
}

fn part(part: &'static str, state: PartState, why: impl Into<String>) -> PartHealth {
    PartHealth { part, state, why: why.into() }
}

fn heap(diag: &Diag) -> PartHealth {
    match diag.heap() {
        _ if diag.config().disabled => part("heap", PartState::Off, "the diagnostics are disabled"),
        Err(e) if cfg!(not(target_os = "linux")) => part("heap", PartState::Off, e.to_string()),
        Ok(heap) if heap.stats().active => part("heap", PartState::Ok, ""),
        Ok(_) => part("heap", PartState::Off, "sampling is switched off"),
        Err(e) => part("heap", PartState::Broken, e.to_string()),
    }
}

#[cfg(feature = "cpu")]
fn cpu(diag: &Diag) -> PartHealth {
    match diag.cpu() {
        Ok(_) => part("cpu", PartState::Ok, ""),
        // Refused only when all is switched off.
        Err(e) => part("cpu", PartState::Off, e.to_string()),
    }
}

fn thread(diag: &Diag) -> PartHealth {
    match diag.worker().map(crate::worker::Worker::silent_for) {
        None => part("thread", PartState::Off, "the diagnostics are disabled"),
        Some(silent) if silent < STUCK_AFTER => part("thread", PartState::Ok, ""),
        Some(silent) => part(
            "thread",
            PartState::Broken,
            format!("the diagnostics' thread has not come round for {} s", silent.as_secs()),
        ),
    }
}

#[cfg(feature = "triggers")]
fn rules(diag: &Diag) -> PartHealth {
    let Some(triggers) = diag.triggers() else { return part("rules", PartState::Off, "there are no rules") };
    let silent = triggers.silent_for();
    if silent >= STUCK_AFTER {
        let why = format!("the rules were not looked at for {} s", silent.as_secs());
        return part("rules", PartState::Broken, why);
    }
    match triggers.stats().problems.first() {
        None => part("rules", PartState::Ok, ""),
        Some(problem) => part("rules", PartState::Broken, problem.what.clone()),
    }
}

#[cfg(feature = "memory")]
fn limit_share() -> Option<f64> {
    let waterline = crate::memory::read_quick();
    let cgroup = waterline.cgroup.known()?;
    let limit = cgroup.limit_bytes.value()?.bytes()?;
    // Where another cgroup sets the limit, what counts there.
    let charged = cgroup.limited_by.as_ref().and_then(|l| l.current_bytes.value());
    let own = cgroup.current_bytes.value()?;
    let cache = own.saturating_sub(cgroup.working_set_bytes.value()?);
    Some(charged.unwrap_or(own).saturating_sub(cache) as f64 / limit.max(1) as f64)
}

#[cfg(not(feature = "memory"))]
fn limit_share() -> Option<f64> {
    None
}
