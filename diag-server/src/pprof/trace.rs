//! `/debug/pprof/trace`: what the flight recorder holds, or records from now on as Go's runtime does. Not in Go's format: that is for Go's
//! scheduler. Chrome's trace-event JSON, folded stacks, or a pprof profile of the time of spans.
//!
//! Recording forward, the rings are emptied some times a second on a blocking thread; a client that goes away ends it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use diag::Diag;
use diag::profile::pprof;
use diag::recorder::{Recorder, RecorderError, Trace};
use tokio::time::Instant;

use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// The longest recording. What does not fit into the recorder's bound ends it earlier.
const MOST_SECONDS: f64 = 300.0;
/// Go's default.
const DEFAULT: Duration = Duration::from_secs(1);
/// A ring of 10 MiB is written in some 100 ms at the most, by ten threads that do nothing else.
const COLLECT_EVERY: Duration = Duration::from_millis(50);
/// The largest answer; what happened first is left out for it, and the answer says so.
const MOST_JSON_BYTES: usize = 64 << 20;

#[derive(Clone, Copy)]
enum Ask {
    Forward(Duration),
    /// `None` for all that is kept.
    Past(Option<Duration>),
}

#[derive(Clone, Copy)]
enum Format {
    Chrome,
    Folded,
    Pprof,
}

impl Ask {
    /// `seconds=`, or `past=`.
    fn of(query: &Query) -> Result<Self, Failure> {
        match query.get("past") {
            None => {}
            Some(_) if query.get("seconds").is_some() => {
                return Err(Failure::bad_request(
                    "seconds and past do not go together: seconds records from now on, past shows what was recorded",
                ));
            }
            Some("all") => return Ok(Self::Past(None)),
            Some(_) => {
                let wrong =
                    |_| Failure::bad_request("past must be all, or a whole number of seconds from 1 to 3600");
                return Ok(Self::Past(query.seconds("past").map_err(wrong)?));
            }
        }
        // What is no positive number is Go's default, as there.
        let seconds = query.get("seconds").and_then(|v| v.parse::<f64>().ok()).filter(|s| *s > 0.0);
        match seconds {
            None => Ok(Self::Forward(DEFAULT)),
            Some(s) if s <= MOST_SECONDS => Ok(Self::Forward(Duration::from_secs_f64(s))),
            Some(_) => Err(Failure::bad_request(format!("seconds must be at most {MOST_SECONDS}"))),
        }
    }
}

impl Format {
    fn of(query: &Query) -> Result<Self, Failure> {
        match query.get("format") {
            None | Some("chrome") => Ok(Self::Chrome),
            Some("folded") => Ok(Self::Folded),
            Some("pprof") => Ok(Self::Pprof),
            Some(_) => Err(Failure::bad_request("format must be chrome, folded or pprof")),
        }
    }

    fn answer(self, diag: &Diag, trace: Trace) -> Result<Response, Failure> {
        let invalid = |e: diag::profile::ProfileError| Failure::internal(e.to_string());
        Ok(match self {
            Self::Chrome => {
                let json = diag.symbolize_trace(trace).to_chrome_json_at_most(MOST_JSON_BYTES);
                content::attachment("trace.json", content::JSON, json)
            }
            Self::Folded => content::answer(content::TEXT, trace.to_folded().map_err(invalid)?),
            Self::Pprof => content::profile("trace", pprof::encode_gz(&trace.to_profile().map_err(invalid)?)),
        })
    }
}

pub(crate) async fn trace(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let (ask, format) = (Ask::of(&query)?, Format::of(&query)?);
    let recorder =
        Recorder::running().ok_or(RecorderError::NotInstalled).map_err(|e| failure(&shared, &e))?;
    let of = shared.diag.config().service_name.clone();
    match ask {
        Ask::Past(time) => {
            let dumped = shared.heavy(move |diag| match recorder.dump(time) {
                Ok(trace) => Ok(Ok(format.answer(diag, trace.with_service_name(of))?)),
                Err(e) => Ok(Err(e)),
            });
            dumped.await?.map_err(|e| failure(&shared, &e))
        }
        Ask::Forward(length) => {
            let _seat = shared.wait_seat(length)?;
            let recording = recorder.record().map_err(|e| failure(&shared, &e))?;
            let recording = forward(recording, length).await?;
            shared.heavy(move |diag| format.answer(diag, recording.finish().with_service_name(of))).await
        }
    }
}

/// Records for so long, or until there is no room for more.
async fn forward(
    mut recording: diag::recorder::Recording,
    length: Duration,
) -> Result<diag::recorder::Recording, Failure> {
    let until = Instant::now() + length;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(recording);
        }
        tokio::time::sleep(left.min(COLLECT_EVERY)).await;
        let collected = tokio::task::spawn_blocking(move || {
            let has_room = recording.collect();
            (recording, has_room)
        });
        let has_room;
        (recording, has_room) = collected.await.map_err(|_| {
            Failure::internal("the runtime of this process is shutting down; there is no answer")
        })?;
        if !has_room {
            return Ok(recording);
        }
    }
}

fn failure(shared: &Shared, error: &RecorderError) -> Failure {
    match error {
        RecorderError::Busy => shared.limits.refuse(error.to_string(), 5),
        RecorderError::NotInstalled => Failure::new(StatusCode::NOT_IMPLEMENTED, error.to_string()),
        _ => Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
