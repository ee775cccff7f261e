//! [`RecorderLayer`]: what `tracing` tells, into the ring of the thread.
//!
//! Entering and leaving a span write a record each and look nothing up. What a span is called is written when it is made, with its
//! fields, and again when it ends; of a span that lives when a dump is made, the subscriber is asked.

use std::collections::HashMap;
use std::fmt;

use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanData as _};

use super::Recorder;
use super::callsites::Callsites;
use super::fields::Buffer;
use super::local;

/// A `tracing_subscriber` layer that keeps the last seconds of spans and events.
///
/// Made by [`Recorder::builder`]; see the [module](super) for an example. Which spans and events it sees is for layer filters to say.
#[derive(Clone, Debug)]
pub struct RecorderLayer {
    recorder: Recorder,
    callsites: &'static Callsites,
}

impl RecorderLayer {
    pub(super) fn new(recorder: Recorder) -> Self {
        Self { recorder, callsites: Callsites::of_process() }
    }

    /// The recorder it writes to.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl fmt::Debug for Callsites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callsites")
    }
}

/// Finds what a span is called, in whatever subscriber it lives.
#[derive(Clone)]
pub(super) struct Directory {
    subscriber: tracing_core::dispatcher::WeakDispatch,
    metadata: fn(&Dispatch, &Id) -> Option<&'static Metadata<'static>>,
}

impl Directory {
    /// The callsites of those of these spans that live.
    pub(super) fn callsites(&self, ids: &[u64]) -> HashMap<u64, u32> {
        let Some(subscriber) = self.subscriber.upgrade() else { return HashMap::new() };
        let find = |id: &u64| {
            let of = (self.metadata)(&subscriber, &Id::from_non_zero_u64((*id).try_into().ok()?))?;
            Some((*id, Callsites::of_process().number(of)))
        };
        ids.iter().filter_map(find).collect()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory")
    }
}

fn metadata<S>(subscriber: &Dispatch, id: &Id) -> Option<&'static Metadata<'static>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Some(subscriber.downcast_ref::<S>()?.span_data(id)?.metadata())
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RecorderLayer {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.recorder
            .set_directory(Directory { subscriber: subscriber.downgrade(), metadata: metadata::<S> });
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if !local::is_active() {
            return;
        }
        let callsite = self.callsites.number(attributes.metadata());
        if attributes.metadata().fields().is_empty() {
            local::new(id.into_u64(), callsite, None);
        } else {
            let mut fields = Buffer::new();
            attributes.record(&mut fields);
            local::new(id.into_u64(), callsite, Some(&fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if local::is_active() {
            let mut fields = Buffer::new();
            values.record(&mut fields);
            local::record(id.into_u64(), &fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if local::is_active() {
            let mut fields = Buffer::new();
            event.record(&mut fields);
            local::event(self.callsites.number(event.metadata()), Some(&fields));
        }
    }

    #[inline]
    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        if local::is_active() {
            local::enter(id.into_u64());
        }
    }

    #[inline]
    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if local::is_active() {
            local::exit(id.into_u64());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if local::is_active() {
            local::close(id.into_u64(), || Some(self.callsites.number(context.metadata(&id)?)));
        }
    }
}
