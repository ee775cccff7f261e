//! [`Labels`]: what the host calls what it is doing, without `tracing`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use super::bounded::Bounded;
use super::table::{Context, Named, TABLE, label_name, overlay};
use crate::sys::thread::{Unprofiled, with_state};

/// Labels for the samples of some code, as Go's `pprof.Do` gives them: CPU time, and live memory with ages, is charged to
/// them.
///
/// ```
/// let labels = diag::Labels::new([("task", "indexer"), ("tenant", "acme")]);
/// let sum: u64 = labels.run(|| (1..10).sum());
/// # async fn index() {}
/// let task = labels.around(index()); // a future: across `.await`, on whichever thread it is polled
/// # drop(task); assert_eq!(sum, 45);
/// ```
///
/// Labels that hold where these are made are inherited; of two with one name the inner wins. Spans of a
/// `SpanLayer` inside are labelled with both, threads and tasks that the code starts are not.
///
/// Making them takes a lock and, when they are new, allocates; running code under them costs some nanoseconds, and in a
/// span about 50. They are kept in the table of contexts for the life of the process: 4,096 combinations with those of
/// spans, beyond which values become `(other)`. Use names of tasks and tenants, not of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Labels {
    number: u32,
}

impl Labels {
    /// Makes them. A name that profiles use themselves (`thread`, `span`, `route`, ...) gets the prefix `field.`; values
    /// are cut at 128 bytes.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let _unprofiled = Unprofiled::begin();
        let around = TABLE.get(with_state(|state| state.label_context.get()));
        let mut all: Vec<Named> = around.map(|context| context.labels.to_vec()).unwrap_or_default();
        for (name, value) in labels {
            let (name, value) = (label_name(name), Bounded::format(format_args!("{value}")));
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => all.push((name, value)),
            }
        }
        Self { number: TABLE.intern(&Context { span: "", labels: all.into() }).0 }
    }

    /// One label, whatever holds where it is made.
    #[cfg(feature = "tasks")]
    pub(crate) fn alone(name: &str, value: &str) -> Self {
        let _unprofiled = Unprofiled::begin();
        let labels: [Named; 1] = [(name.into(), Bounded::format(format_args!("{value}")))];
        Self { number: TABLE.intern(&Context { span: "", labels: labels.into() }).0 }
    }

    /// The thread is under them until the drop.
    #[cfg(feature = "tasks")]
    #[inline]
    pub(crate) fn enter(&self) -> Inside {
        Inside::begin(self.number)
    }

    /// Runs code under them, on this thread.
    pub fn run<R>(&self, code: impl FnOnce() -> R) -> R {
        let _inside = Inside::begin(self.number);
        code()
    }

    /// A future that runs under them whenever it is polled.
    pub fn around<F: Future>(&self, future: F) -> Labelled<F> {
        Labelled { future, labels: *self }
    }
}

/// The thread is under labels while this lives.
#[must_use]
pub(crate) struct Inside {
    before: u32,
}

impl Inside {
    #[inline]
    fn begin(number: u32) -> Self {
        Self { before: set(number) }
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        set(self.before);
    }
}

#[inline]
fn set(number: u32) -> u32 {
    with_state(|state| {
        state.context.set(overlay(state, state.span_context.get(), number));
        state.label_context.replace(number)
    })
}

pin_project_lite::pin_project! {
    /// A future under labels; see [`Labels::around`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Labelled<F> {
        #[pin]
        future: F,
        labels: Labels,
    }
}

impl<F: Future> Future for Labelled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _inside = Inside::begin(this.labels.number);
        this.future.poll(waking)
    }
}
