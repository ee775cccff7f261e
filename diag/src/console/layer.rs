//! console-subscriber's layer, fed with what there is room for.
//!
//! A span that has no place is not made known to it. It then finds nothing of its own in the span's extensions and passes over the
//! span's later events (console-subscriber 0.5, `on_enter`, `on_event`, `on_close`).

use std::sync::Arc;
use std::time::Instant;

use console_subscriber::ConsoleLayer;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Interest, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::Shared;
use super::budget::Budget;

pub(super) struct Bounded(Option<(ConsoleLayer, Arc<Shared>)>);

/// In a span's extensions: it has a place, and of which kind.
#[derive(Clone, Copy)]
enum Place {
    Task,
    Other,
}

impl Bounded {
    pub(super) fn new(inner: ConsoleLayer, shared: Arc<Shared>) -> Self {
        Self(Some((inner, shared)))
    }

    /// A layer that does nothing.
    pub(super) fn nothing() -> Self {
        Self(None)
    }

    pub(super) fn shared(&self) -> Option<Arc<Shared>> {
        self.0.as_ref().map(|(_, shared)| Arc::clone(shared))
    }
}

impl Place {
    /// What console-subscriber keeps something for; `None` for spans that it passes over.
    fn of(metadata: &Metadata<'_>) -> Option<Self> {
        match (metadata.name(), metadata.target()) {
            ("runtime.spawn", _) | ("task", "tokio::task") => Some(Self::Task),
            ("runtime.resource" | "runtime.resource.async_op", _) => Some(Self::Other),
            _ => None,
        }
    }

    fn budget(self, shared: &Shared) -> &Budget {
        match self {
            Self::Task => &shared.tasks,
            Self::Other => &shared.others,
        }
    }
}

impl<S> Layer<S> for Bounded
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match &self.0 {
            Some((inner, _)) => Layer::<S>::register_callsite(inner, metadata),
            None => Interest::never(),
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some((inner, shared)) = &self.0 else { return };
        if let Some(place) = Place::of(attributes.metadata()) {
            let Some(span) = context.span(id) else { return };
            if !place.budget(shared).begin(Instant::now()) {
                return;
            }
            span.extensions_mut().replace(place);
        }
        inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some((inner, _)) = &self.0 {
            inner.on_record(id, values, context);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some((inner, _)) = &self.0 {
            inner.on_event(event, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some((inner, _)) = &self.0 {
            inner.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some((inner, _)) = &self.0 {
            inner.on_exit(id, context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some((inner, shared)) = &self.0 else { return };
        let place = context.span(&id).and_then(|span| span.extensions().get::<Place>().copied());
        inner.on_close(id, context);
        if let Some(place) = place {
            place.budget(shared).end(Instant::now());
        }
    }
}
