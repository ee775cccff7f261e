//! [`Acquire`]: a future that gets a lock, and the time it takes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::task::coop;

use crate::sync::waits::{Waiting, Waits};
use crate::sync::{record, switch};

pin_project_lite::pin_project! {
    /// Polls the inner future; from its first `Pending` on somebody waits.
    pub(super) struct Acquire<'a, F> {
        // Before the wait ends: a lock that it was given, and did not take, goes to the next.
        #[pin]
        future: F,
        waits: &'a Waits,
        waiting: Option<Waiting<'a>>,
    }
}

impl<'a, F> Acquire<'a, F> {
    pub(super) fn new(waits: &'a Waits, future: F) -> Self {
        Self { future, waits, waiting: None }
    }
}

impl<F: Future> Future for Acquire<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, waking: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.future.poll(waking) {
            Poll::Ready(guard) => {
                *this.waiting = None;
                Poll::Ready(guard)
            }
            Poll::Pending => {
                if this.waiting.is_none() && switch::is_on() && coop::has_budget_remaining() {
                    *this.waiting = Some(Waiting::begin(this.waits, record::waiting_site()));
                }
                Poll::Pending
            }
        }
    }
}
