//! [`SpanLayer`]: keeps the current context of each thread.
//!
//! What a span means is worked out when it is made and kept in its extensions; entering and leaving only set a number.
//! After an exit the thread is where the registry says it is, so that spans may be left in any order.

use std::fmt;
use std::sync::Arc;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context as Position, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::bounded::{Bounded, VALUE_LIMIT};
use super::table::{Context, NONE, Named, ROUTE, TABLE, label_name, overlay};
use crate::sys::thread::{Unprofiled, with_state};

/// Chosen fields beside the route; later ones are ignored.
const FIELDS: usize = 8;

/// A `tracing_subscriber` layer that tells the collectors where the code is, so that retained memory and CPU time are
/// charged to a span, a route, a tenant.
///
/// Live samples (`ages=1`, [`SnapshotOptions::ages`](crate::heap::SnapshotOptions::ages)) are labelled `span` with the
/// name of the innermost span they were allocated in, `route`, and each [`field`](Self::field) chosen. Route and fields
/// are inherited by inner spans. Samples of CPU profiles carry the same labels. [`Labels`](crate::Labels) around a span are added to its own. A block that grew by reallocation keeps the labels of its first block, as it keeps its
/// birth.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
/// let subscriber = tracing_subscriber::registry().with(diag::SpanLayer::new().field("tenant"));
/// # drop(subscriber);
/// ```
///
/// The route is the first of the fields `http.route`, `route` and `matched_path` that a span has; see
/// [`route_field`](Self::route_field). Values may be recorded later ([`Span::record`]); inner spans made before that do
/// not learn of it. Futures are right across `.await` when they are instrumented, as for logs; a layer filter keeps
/// spans out.
///
/// Entering and leaving a span takes 40 ns instead of the registry's 10, and 85 ns inside another span; making one 330
/// ns with two fields and 160 without, instead of 175 and 85 (2026-11, `benches/context.rs`). 4,096 combinations are
/// kept, for the life of the process, and 512 KiB of values; fields beyond become `(other)`, then routes, and are
/// counted as the loss `context_table_full`. Values are cut at 128 bytes. Choose fields with few values: a tenant, not a
/// request id.
///
/// [`Span::record`]: https://docs.rs/tracing/latest/tracing/struct.Span.html#method.record
#[derive(Clone, Debug)]
pub struct SpanLayer {
    /// The names of a route's field, the best first.
    routes: Vec<String>,
    /// Field and label.
    fields: Vec<(String, Arc<str>)>,
    route_label: Arc<str>,
}

impl Default for SpanLayer {
    fn default() -> Self {
        Self {
            routes: ["http.route", "route", "matched_path"].map(str::to_owned).to_vec(),
            fields: Vec::new(),
            route_label: ROUTE.into(),
        }
    }
}

impl SpanLayer {
    /// Span and route, and no other field.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a label of this field of spans; at most 8. A name that profiles use themselves (`age`, `born_at`, `bytes`,
    /// `realloc_chain`, `route`, `span`, `thread`) gets the prefix `field.`.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        if self.fields.len() < FIELDS && self.fields.iter().all(|(known, _)| *known != name) {
            let label = label_name(&name);
            self.fields.push((name, label));
        }
        self
    }

    /// Takes the route from this field, before those of the default: `otel.name`, say, where it names routes.
    #[must_use]
    pub fn route_field(mut self, name: impl Into<String>) -> Self {
        self.routes.insert(0, name.into());
        self
    }

    /// Whether a span of this kind may have a value of ours.
    fn has_fields(&self, of: &Metadata<'_>) -> bool {
        of.fields().iter().any(|f| self.slot(f.name()).is_some())
    }

    /// Where a field's value goes: position of the label, 0 for the route, and the rank, the lower the better.
    fn slot(&self, name: &str) -> Option<(usize, usize)> {
        let route = self.routes.iter().position(|r| r == name).map(|rank| (0, rank));
        route.or_else(|| Some((self.fields.iter().position(|(f, _)| f == name)? + 1, 0)))
    }

    fn label(&self, slot: usize) -> Option<&Arc<str>> {
        match slot.checked_sub(1) {
            None => Some(&self.route_label),
            Some(field) => self.fields.get(field).map(|(_, label)| label),
        }
    }

    /// The labels, with the values found put over those there were.
    fn labels(&self, before: Option<&Arc<Context>>, found: &Found<'_>) -> Arc<[Named]> {
        let before = before.map(|context| &context.labels);
        if found.values.is_empty() {
            return before.cloned().unwrap_or_default();
        }
        let before = before.map_or(&[][..], |labels| labels);
        (0..=self.fields.len())
            .filter_map(|slot| {
                let label = self.label(slot)?;
                let new = found.values.iter().find(|v| v.slot == slot).map(|v| Arc::clone(&v.value));
                let old = || before.iter().find(|(l, _)| l == label).map(|(_, value)| Arc::clone(value));
                Some((Arc::clone(label), new.or_else(old)?))
            })
            .collect()
    }
}

/// In a span's extensions: its context.
struct Here {
    number: u32,
    context: Arc<Context>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, position: Position<'_, S>) {
        let _unprofiled = Unprofiled::begin();
        let Some(span) = position.span(id) else { return };
        let metadata = attributes.metadata();
        let mut found = Found { layer: self, values: Vec::new() };
        if self.has_fields(metadata) {
            attributes.record(&mut found);
        }
        let outer = span.parent().and_then(|p| p.extensions().get::<Here>().map(|h| Arc::clone(&h.context)));
        let wanted = Context { span: metadata.name(), labels: self.labels(outer.as_ref(), &found) };
        let (number, context) = TABLE.intern(&wanted);
        span.extensions_mut().replace(Here { number, context });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, position: Position<'_, S>) {
        let _unprofiled = Unprofiled::begin();
        let mut found = Found { layer: self, values: Vec::new() };
        values.record(&mut found);
        let Some(span) = position.span(id).filter(|_| !found.values.is_empty()) else { return };
        let before = span.extensions().get::<Here>().map(|h| Arc::clone(&h.context));
        let wanted = Context { span: span.name(), labels: self.labels(before.as_ref(), &found) };
        let (number, context) = TABLE.intern(&wanted);
        span.extensions_mut().replace(Here { number, context });
        // Most often the span is the current one.
        set_current(position.lookup_current());
    }

    fn on_enter(&self, id: &Id, position: Position<'_, S>) {
        set_current(position.span(id));
    }

    fn on_exit(&self, _id: &Id, position: Position<'_, S>) {
        set_current(position.lookup_current());
    }
}

#[inline]
fn set_current<S: for<'a> LookupSpan<'a>>(span: Option<SpanRef<'_, S>>) {
    let number = span.and_then(|s| s.extensions().get::<Here>().map(|h| h.number)).unwrap_or(NONE);
    with_state(|state| {
        state.span_context.set(number);
        state.context.set(overlay(state, number, state.label_context.get()));
    });
}

/// The values of a span that are ours.
struct Found<'a> {
    layer: &'a SpanLayer,
    values: Vec<Value>,
}

struct Value {
    slot: usize,
    rank: usize,
    value: Arc<str>,
}

impl Found<'_> {
    /// An empty value is none; of two for one label the better-ranked stays.
    fn put(&mut self, field: &Field, text: impl FnOnce() -> Arc<str>) {
        let Some((slot, rank)) = self.layer.slot(field.name()) else { return };
        let value = text();
        match self.values.iter_mut().find(|v| v.slot == slot) {
            _ if value.is_empty() => {}
            Some(known) if known.rank < rank => {}
            Some(known) => *known = Value { slot, rank, value },
            None => self.values.push(Value { slot, rank, value }),
        }
    }
}

impl Visit for Found<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if value.len() <= VALUE_LIMIT {
            self.put(field, || value.into());
        } else {
            self.put(field, || Bounded::format(format_args!("{value}")));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || Bounded::format(format_args!("{value:?}")));
    }
}
