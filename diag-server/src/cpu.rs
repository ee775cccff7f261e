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
    // With its places in the queues, so that nothing is lost when they are full at the end.
    let seat = shared.wait_seat(length)?;
    // Milliseconds; must not queue behind somebody's symbols.
    let started = seat.light(move |diag| Ok(diag.cpu().and_then(|cpu| cpu.record(&options)))).await?;
    let recording = started.map_err(|e| failure(shared, &e))?;
    tokio::time::sleep(length).await;
    let recorded = seat.light(move |_| Ok(recording.finish())).await?;
    let profile = recorded.map_err(|e| failure(shared, &e))?;
    seat.heavy(move |diag| finish(diag, profile)).await
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::*;
    use crate::routes::tests::shared_with;
    use crate::testing::diag;

    type Waiting = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

    /// Requests that take all places of both queues until they are released, each polled once.
    async fn fill(shared: &Arc<Shared>, wait: Arc<Mutex<Receiver<()>>>) -> Vec<Waiting> {
        let mut full = Vec::new();
        for heavy in [false, true] {
            loop {
                let (of_request, wait) = (Arc::clone(shared), Arc::clone(&wait));
                let mut request: Waiting = Box::pin(async move {
                    let work = move |_: &Diag| {
                        // The sender's end ends the wait.
                        let _ = wait.lock().map(|wait| wait.recv());
                        Ok(())
                    };
                    if heavy { of_request.heavy(work).await } else { of_request.light(work).await }
                });
                let polled =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(request.as_mut().poll(cx))).await;
                match polled {
                    std::task::Poll::Pending => full.push(request),
                    std::task::Poll::Ready(answer) => {
                        assert_eq!(answer.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
                        break;
                    }
                }
            }
        }
        full
    }

    #[tokio::test]
    async fn a_recording_is_not_lost_when_the_queues_are_full_at_its_end() {
        let shared = Arc::new(shared_with(crate::limits::Limits::new()));
        let ask = Ask::of(&Query::of(&"/?seconds=1".parse().unwrap()).unwrap()).unwrap();
        let (length, began) = (ask.length, Instant::now());
        let of_task = Arc::clone(&shared);
        let recorded = tokio::spawn(async move { record(&of_task, ask, |_, profile| Ok(profile)).await });
        while !diag().cpu().unwrap().stats().recording {
            assert!(began.elapsed() < Duration::from_secs(60) && !recorded.is_finished(), "it never began");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (release, wait) = channel::<()>();
        let full = fill(&shared, Arc::new(Mutex::new(wait))).await;
        assert_eq!(full.len(), 18 + 9);
        // Past its end, with some to spare for a late clock.
        tokio::time::sleep(length + Duration::from_millis(300)).await;
        assert!(!recorded.is_finished(), "it waits for its turn");
        drop(release);
        for request in full {
            request.await.unwrap();
        }
        let profile = recorded.await.unwrap().unwrap();
        assert_eq!(profile.sample_types()[1].kind, "cpu");
    }
}
