//! Records a CPU profile for a request: samples while the request sleeps, finishes on a blocking thread.
//!
//! A client that goes away drops the future, and with it the recording, which ends the sampling.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use diag::Diag;
use diag::cpu::{CpuError, CpuOptions, MOST_HZ, Mode};
use diag::profile::Profile;

use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// A recording goes on for at most so long after its time, when the work that finishes it has to queue.
const LATE: Duration = Duration::from_secs(1);

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    length: Duration,
    options: CpuOptions,
    /// With names.
    pub(crate) symbolize: bool,
}

impl Ask {
    /// `seconds=`, `hz=`, `mode=cpu|wall`, `symbolize=`.
    pub(crate) fn of(query: &Query) -> Result<Self, Failure> {
        let length = query.seconds_or_30("seconds")?;
        let mode = match query.get("mode") {
            None | Some("cpu") => Mode::Cpu,
            Some("wall") => Mode::Wall,
            Some(_) => return Err(Failure::bad_request("mode must be cpu or wall")),
        };
        let mut options = CpuOptions::default().mode(mode).at_most(length + LATE);
        options.hz = query.rate("hz", MOST_HZ)?;
        Ok(Self { length, options, symbolize: query.flag("symbolize", true)? })
    }

    /// The sample types that the profile will have.
    pub(crate) fn types(&self) -> [&'static str; 2] {
        match self.options.mode {
            Mode::Wall => ["wall", "samples"],
            _ => ["cpu", "samples"],
        }
    }
}

/// Records what is asked for and finishes it.
pub(crate) async fn record<T: Send + 'static>(
    shared: &Arc<Shared>,
    ask: Ask,
    finish: impl FnOnce(&Diag, Profile) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let Ask { length, options, .. } = ask;
    let seat = shared.wait_seat(length)?;
    // Milliseconds; must not queue behind somebody's symbols.
    let started = shared.light(move |diag| Ok(diag.cpu().and_then(|cpu| cpu.record(&options)))).await?;
    let recording = started.map_err(|e| failure(shared, &e))?;
    tokio::time::sleep(length).await;
    let recorded = shared.light(move |_| Ok(recording.finish())).await?;
    let profile = recorded.map_err(|e| failure(shared, &e))?;
    let done = shared.heavy(move |diag| finish(diag, profile)).await;
    drop(seat);
    done
}

fn failure(shared: &Shared, error: &CpuError) -> Failure {
    match error {
        CpuError::Busy { ends_in } => {
            let seconds = u32::try_from(ends_in.as_secs()).unwrap_or(u32::MAX).max(1);
            shared.limits.refuse(format!("{error}; try again in {seconds} s"), seconds)
        }
        CpuError::Rate { .. } => Failure::bad_request(error.to_string()),
        CpuError::Unavailable { .. } => Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        _ => Failure::internal(error.to_string()),
    }
}
