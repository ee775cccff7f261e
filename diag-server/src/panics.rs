//! A panic costs one request: it is caught, counted and told, and the listener goes on.
//!
//! The program's panic hook prints it as it prints all. A program that is built with `panic = "abort"` ends, as it asked to.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::failure::Failure;
use crate::limits::Shared;

/// Runs before every route and its guard.
pub(crate) async fn catch(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut answer = Box::pin(next.run(request));
    // A handler that panicked is not polled again; what it shares with others is behind locks that are never poisoned for long.
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(response)) => Poll::Ready(Ok(response)),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    caught.await.unwrap_or_else(|panic| failure(&shared, panic.as_ref()).into_response())
}

/// Counts a panic, and tells it.
pub(crate) fn failure(shared: &Shared, panic: &(dyn Any + Send)) -> Failure {
    shared.limits.panics.fetch_add(1, Ordering::Relaxed);
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    let said: String = said.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Failure::internal(format!(
        "diag panicked over this request, which is a bug ({said}); the process and all other requests go on; \
         /debug/diag/api/v1/status tells what runs"
    ))
}
