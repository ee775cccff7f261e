//! [`WorkLayer`]: counts the requests of a tower service.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Counts each call of a service as one unit of [`work`](crate::work()), for any tower service: axum, tonic, hyper.
///
/// A call counts once, when its response future ends, however it ends: with a response, with an error, or dropped on
/// the way (the client has gone, a timeout, a panic). All of them have done work and may have left something behind. A
/// body that streams on afterwards does not count again.
///
/// ```
/// # fn app() -> axum::Router {
/// axum::Router::new()
///     .route("/orders", axum::routing::post(|| async { "thanks" }))
///     .layer(diag::WorkLayer::new())
/// # }
/// ```
///
/// In axum, put it on the routes that are the service's work, before diag's own are merged: being asked is no work.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WorkLayer {}

impl WorkLayer {
    /// The layer. It has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for WorkLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner }
    }
}

/// A service whose calls count as work: what [`WorkLayer`] makes.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Before the call: if that panics, it counts too.
        let unit = Unit { open: true };
        CountedFuture { inner: self.inner.call(request), unit }
    }
}

pin_project! {
    /// The response future of [`Counted`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct CountedFuture<F> {
        #[pin]
        inner: F,
        unit: Unit,
    }
}

impl<F: Future> Future for CountedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.inner.poll(cx);
        if polled.is_ready() {
            // Now, not at the drop: whoever holds the future may keep it for long.
            this.unit.close();
        }
        polled
    }
}

/// One call, counted when it ends.
#[derive(Debug)]
struct Unit {
    open: bool,
}

impl Unit {
    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            super::work(1);
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.close();
    }
}
