//! How much is done at once. Work goes to blocking threads, so that no async worker of the host ever waits for it.
//!
//! A permit travels with the work: it comes back when the work is done, also when the client went away before, or was told
//! that it takes too long.
//!
//! Who waits for the end of its `seconds=` has a [`Seat`], and with it a place in every queue: what was recorded for a minute is not thrown
//! away because others fill the queue when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diag::Diag;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::kept::Kept;
use crate::{outgoing, panics};

/// Snapshots, symbols and drawings at once. More would fight over the processor that the host needs.
const HEAVY: usize = 1;
/// Requests that may wait for it: a person, a scraper of several kinds, and some to spare.
const HEAVY_QUEUE: usize = 8;
/// Status, memory and metrics at once; milliseconds each.
const LIGHT: usize = 2;
const LIGHT_QUEUE: usize = 16;
/// Requests that wait for the end of their `seconds=`, each of which holds a snapshot; so many may stand in a queue beyond its places.
const WAITING: usize = 4;
/// In the queue, and then for the work. Together little more than what `go tool pprof` waits for.
const QUEUE_PATIENCE: Duration = Duration::from_secs(20);
const WORK_PATIENCE: Duration = Duration::from_secs(60);

/// Work of one sort: a few at once, some in the queue, the rest refused.
#[derive(Debug)]
struct Lane {
    seats: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Lane {
    fn new(at_once: usize, queue: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(at_once + queue)), turns: Arc::new(Semaphore::new(at_once)) }
    }

    /// A seat in the queue and then a turn; `None` when the queue is full.
    async fn enter(&self) -> Option<Permits> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        self.turn(Some(seat)).await
    }

    /// A turn, for who has a place already.
    async fn turn(&self, seat: Option<OwnedSemaphorePermit>) -> Option<Permits> {
        // The semaphores are never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        Some(Permits { _seat: seat, _turn: turn })
    }
}

/// What travels with the work.
struct Permits {
    _seat: Option<OwnedSemaphorePermit>,
    _turn: OwnedSemaphorePermit,
}

/// The bounds of one router.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Requests refused because too many were under way.
    refused: AtomicU64,
    /// Requests that ended in a panic.
    pub(crate) panics: AtomicU64,
    /// Bytes of answers under way.
    pub(crate) outgoing: Arc<Semaphore>,
    pub(crate) queue_patience: Duration,
    pub(crate) work_patience: Duration,
    heavy: Lane,
    light: Lane,
    waiting: Arc<Semaphore>,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            outgoing: outgoing::budget(),
            queue_patience: QUEUE_PATIENCE,
            work_patience: WORK_PATIENCE,
            heavy: Lane::new(HEAVY, HEAVY_QUEUE),
            light: Lane::new(LIGHT, LIGHT_QUEUE),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

impl Limits {
    /// How many requests were refused because too many were under way.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a refusal, and makes it.
    pub(crate) fn refuse(&self, text: impl Into<String>, retry_after_s: u32) -> Failure {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Failure::busy(text, retry_after_s)
    }
}

/// What every handler has.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) diag: Diag,
    pub(crate) limits: Limits,
    pub(crate) kept: Kept,
    /// What changes something in the process is refused (`guard`); here for those who show it.
    pub(crate) read_only: bool,
}

impl Shared {
    /// Does something expensive, one at a time.
    pub(crate) async fn heavy<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Diag) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Limits { heavy, queue_patience, .. } = &self.limits;
        let permits = self.patiently(*queue_patience, heavy.enter()).await?;
        self.run(permits, work).await
    }

    /// Does something that reads a few files.
    pub(crate) async fn light<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Diag) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Limits { light, queue_patience, .. } = &self.limits;
        let permits = self.patiently(*queue_patience, light.enter()).await?;
        self.run(permits, work).await
    }

    async fn patiently(
        &self,
        patience: Duration,
        entering: impl Future<Output = Option<Permits>>,
    ) -> Result<Permits, Failure> {
        let entered = timeout(patience, entering).await.map_err(|_| {
            let seconds = patience.as_secs();
            self.limits.refuse(format!("waited {seconds} s behind other requests; try again later"), 10)
        })?;
        entered.ok_or_else(|| {
            self.limits.refuse("too many requests wait here already; try again in a few seconds", 5)
        })
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        permits: Permits,
        work: impl FnOnce(&Diag) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let work_patience = &self.limits.work_patience;
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _permits = permits;
            // What the answer itself takes is no news about the host.
            let _unprofiled = diag::Unprofiled::begin();
            work(&shared.diag)
        });
        match timeout(*work_patience, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(ended)) => Err(match ended.try_into_panic() {
                Ok(panic) => panics::failure(self, panic.as_ref()),
                Err(_) => {
                    Failure::internal("the runtime of this process is shutting down; there is no answer")
                }
            }),
            Err(_) => {
                let seconds = work_patience.as_secs();
                let text = format!(
                    "this takes longer than {seconds} s; it is finished all the same, and what was read for names is kept: \
                     try again, or ask with symbolize=false"
                );
                Err(self.limits.refuse(text, 30))
            }
        }
    }

    /// Reserves a place for a request that waits; the place is free again when the result is dropped.
    pub(crate) fn wait_seat(self: &Arc<Self>, wait: Duration) -> Result<Seat, Failure> {
        let permit = Arc::clone(&self.limits.waiting).try_acquire_owned().map_err(|_| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
            self.limits.refuse(
                format!(
                    "{WAITING} requests with seconds= are under way already; try again when they are done"
                ),
                seconds,
            )
        })?;
        Ok(Seat { shared: Arc::clone(self), _permit: permit })
    }
}

/// The place of a request that waits, and its place in both queues before and after.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// As [`Shared::heavy`], in its turn and never refused for a full queue.
    pub(crate) async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Diag) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.run(&self.shared.limits.heavy, work).await
    }

    /// As [`Shared::light`], likewise.
    pub(crate) async fn light<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Diag) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.run(&self.shared.limits.light, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: &Lane,
        work: impl FnOnce(&Diag) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        // Who has waited for a minute may stand in the queue for another.
        let patience = self.shared.limits.work_patience;
        let permits = self.shared.patiently(patience, lane.turn(None)).await?;
        self.shared.run(permits, work).await
    }
}
