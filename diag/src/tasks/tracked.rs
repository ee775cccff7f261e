//! [`Tracked`]: the future that counts what another one does.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::live::Entry;
use super::sites::{Kind, Origin, site};
#[cfg(feature = "tokio")]
use crate::sys::thread::Unprofiled;

pin_project_lite::pin_project! {
    /// A future that is listed among the live tasks until it is dropped; see [`track`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Tracked<F> {
        #[pin]
        future: F,
        // Made of the entry; `None` where wakers are not counted. Before the entry, so that it goes first.
        waker: Option<Waker>,
        // After the future: its drop belongs to the task.
        entry: Entry,
    }
}

/// Lists a future among the live tasks ([`snapshot`](super::snapshot)) until it is dropped, for executors other than tokio, and
/// for long-lived futures inside of a task. Its place is the caller's.
///
/// Two readings of the clock a poll, some 35 ns in all, and about 105 bytes while it lives. Its wakers are not counted: to count
/// them the executor's waker has to be kept, and an executor that ends tasks which nobody can wake would not end this one.
#[track_caller]
pub fn track<F: Future>(future: F) -> Tracked<F> {
    Tracked::new(future, Location::caller(), Kind::Other, None, 0)
}

/// [`track`], with a name. Choose one of few: it stands for a kind of task, not for one.
#[track_caller]
pub fn track_named<F: Future>(name: &str, future: F) -> Tracked<F> {
    Tracked::new(future, Location::caller(), Kind::Other, Some(name), 0)
}

impl<F: Future> Tracked<F> {
    pub(super) fn new(
        future: F,
        at: &'static Location<'static>,
        kind: Kind,
        name: Option<&str>,
        runtime: u16,
    ) -> Self {
        let origin =
            Origin { at, future: std::any::type_name::<F>(), future_bytes: size_of::<F>(), kind, name };
        let entry = Entry::new(site(origin), runtime);
        // tokio keeps a task until it ends or its runtime does, whoever holds wakers.
        let counted = matches!(kind, Kind::Task | Kind::Local);
        let waker = counted.then(|| Waker::from(Arc::clone(&entry.0)));
        Self { future, waker, entry }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let record = &this.entry.0;
        #[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
        let _labelled = record.site.labels.enter();
        let mut polling = record.begin_poll();
        let polled = match this.waker {
            Some(waker) if record.stands_for(context.waker()) => {
                this.future.poll(&mut Context::from_waker(waker))
            }
            _ => this.future.poll(context),
        };
        if polled.is_ready() {
            polling.complete();
        }
        polled
    }
}

/// Runs blocking code as a task that was listed when it was queued.
#[cfg(feature = "tokio")]
pub(super) fn blocking<R>(entry: Entry, code: impl FnOnce() -> R) -> R {
    // Whatever ends the code, the entry goes after it.
    let entry = entry;
    #[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
    let _labelled = entry.0.site.labels.enter();
    let mut polling = entry.0.begin_poll();
    let done = code();
    polling.complete();
    drop(polling);
    done
}

/// An entry for blocking code.
#[cfg(feature = "tokio")]
pub(super) fn queue<C>(at: &'static Location<'static>, name: Option<&str>, runtime: u16) -> Entry {
    let _unprofiled = Unprofiled::begin();
    let (future, future_bytes) = (std::any::type_name::<C>(), size_of::<C>());
    Entry::new(site(Origin { at, future, future_bytes, kind: Kind::Blocking, name }), runtime)
}
