//! Takes profiles for a request: one now, or two with a wait between them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use diag::Diag;
use diag::heap::SnapshotOptions;
use diag::profile::{Profile, delta};

use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Two profiles, so far apart.
    pub(crate) wait: Option<Duration>,
    /// Samples by age.
    pub(crate) ages: bool,
    /// With names.
    pub(crate) symbolize: bool,
}

impl Ask {
    pub(crate) fn of(uri: &Uri) -> Result<(Self, Query), Failure> {
        let query = Query::of(uri)?;
        let ask = Self {
            wait: query.seconds("seconds")?,
            ages: query.flag("ages", false)?,
            symbolize: query.flag("symbolize", true)?,
        };
        if ask.wait.is_some() && ask.ages {
            return Err(Failure::bad_request(
                "seconds and ages do not go together: between two moments every sample changes its age",
            ));
        }
        Ok((ask, query))
    }
}

/// What was taken.
pub(crate) struct Taken {
    /// The earlier one, when two were asked for.
    pub(crate) base: Option<Profile>,
    pub(crate) new: Profile,
}

impl Taken {
    /// What came between the two, or the one.
    pub(crate) fn change(self) -> Result<Profile, Failure> {
        match self.base {
            Some(base) => delta(&base, &self.new).map_err(|e| Failure::internal(e.to_string())),
            None => Ok(self.new),
        }
    }
}

/// Takes the heap profiles that are asked for, and finishes them.
pub(crate) async fn collect<T: Send + 'static>(
    shared: &Arc<Shared>,
    ask: Ask,
    finish: impl FnOnce(&Diag, Taken) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ages = ask.ages;
    taken_by(shared, ask.wait, move |diag| snapshot(diag, ages), finish).await
}

/// Takes a profile, or with `wait` two, and finishes them, on a blocking thread. Dropping the future ends the wait.
pub(crate) async fn taken_by<T: Send + 'static>(
    shared: &Arc<Shared>,
    wait: Option<Duration>,
    take: impl Fn(&Diag) -> Result<Profile, Failure> + Clone + Send + 'static,
    finish: impl FnOnce(&Diag, Taken) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let Some(wait) = wait else {
        return shared.heavy(move |diag| finish(diag, Taken { base: None, new: take(diag)? })).await;
    };
    let seat = shared.wait_seat(wait)?;
    let first = take.clone();
    let base = Some(seat.heavy(move |diag| first(diag)).await?);
    tokio::time::sleep(wait).await;
    seat.heavy(move |diag| finish(diag, Taken { base, new: take(diag)? })).await
}

fn snapshot(diag: &Diag, ages: bool) -> Result<Profile, Failure> {
    diag.heap()
        .and_then(|heap| heap.snapshot(&SnapshotOptions::default().with_ages(ages)))
        .map_err(|e| Failure::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))
}

/// Names for the addresses, if wanted.
pub(crate) fn with_names(diag: &Diag, profile: Profile, wanted: bool) -> Result<Profile, Failure> {
    if !wanted {
        return Ok(profile);
    }
    diag.symbolize(&profile).map_err(|e| Failure::internal(format!("{e}; symbolize=false gives addresses")))
}
