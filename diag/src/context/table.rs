//! The table of contexts, one for the process.
//!
//! Contexts are never forgotten, for live objects refer to them. [`CONTEXTS`] are kept, and [`VALUE_BYTES`] of values,
//! first come, first served. What finds no place loses detail step by step: first the chosen fields become `(other)`,
//! then the route, at last the span. Each step has room that the richer ones may not use, so that a field with
//! countless values costs only the fields. Every loss is counted.
//!
//! The lock is not for hooks: whoever holds it may allocate. Before a fork it is taken ahead of the hooks' locks.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::lock::Lock;
use crate::sys::thread::ThreadState;

/// Contexts kept.
pub(super) const CONTEXTS: usize = 4096;
/// Bytes of label values kept.
const VALUE_BYTES: usize = 512 << 10;
/// Stands for what found no place.
pub(super) const OTHER: &str = "(other)";
/// The label of routes.
pub(super) const ROUTE: &str = "route";
/// Labels that the collectors write themselves.
const TAKEN: [&str; 8] = ["age", "born_at", "bytes", "realloc_chain", ROUTE, "span", "state", "thread"];
/// The context of code that runs in no span.
pub(super) const NONE: u32 = 0;
/// The context of whatever found no place at all.
const OTHER_CONTEXT: u32 = 1;

/// The label for a name of the host's: one that profiles use themselves gets the prefix `field.`.
pub(super) fn label_name(name: &str) -> Arc<str> {
    if TAKEN.contains(&name) { format!("field.{name}").into() } else { name.into() }
}

/// A label and its value.
pub(super) type Named = (Arc<str>, Arc<str>);

/// What a number stands for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Context {
    /// Name of the innermost span, or empty.
    pub(crate) span: &'static str,
    /// Route and chosen fields, in the order of the layer's settings, of the span or inherited; labels around it.
    pub(crate) labels: Arc<[Named]>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Contexts {
    table: Lock<Table>,
    without_place: AtomicU64,
}

#[derive(Debug)]
struct Table {
    /// Position + 2 is the number.
    list: Vec<Arc<Context>>,
    index: HashMap<Arc<Context>, u32, BuildHasherDefault<DefaultHasher>>,
    value_bytes: usize,
    /// Two numbers, a span's and that of labels, and what both together are. At most [`CONTEXTS`].
    overlays: HashMap<(u32, u32), u32, BuildHasherDefault<DefaultHasher>>,
}

/// The table of the process.
pub(crate) static TABLE: Contexts = Contexts::new();

/// The number of a span's context with labels around it: both, the span's own first where they share a name. Numbers keep
/// their meaning, so what a thread has met lately it finds in its own state.
#[inline]
pub(super) fn overlay(state: &ThreadState, span: u32, labels: u32) -> u32 {
    if labels == NONE || span == labels {
        return span;
    }
    if span == NONE {
        return labels;
    }
    let slot = state.overlays.get((span ^ labels.rotate_left(2)) as usize % state.overlays.len());
    if let Some((known_span, known_labels, both)) = slot.map(std::cell::Cell::get)
        && (known_span, known_labels) == (span, labels)
    {
        return both;
    }
    let both = TABLE.overlay(span, labels);
    if let Some(slot) = slot {
        slot.set((span, labels, both));
    }
    both
}

impl Contexts {
    pub(super) const fn new() -> Self {
        let index = HashMap::with_hasher(BuildHasherDefault::new());
        Self {
            table: Lock::new(Table {
                list: Vec::new(),
                index,
                value_bytes: 0,
                overlays: HashMap::with_hasher(BuildHasherDefault::new()),
            }),
            without_place: AtomicU64::new(0),
        }
    }

    /// The number of a context, and the context as it is kept. Allocates when it is new.
    pub(crate) fn intern(&self, wanted: &Context) -> (u32, Arc<Context>) {
        if let Some(found) = self.find_or_add(wanted, CONTEXTS * 3 / 4, VALUE_BYTES * 3 / 4) {
            return found;
        }
        self.without_place.fetch_add(1, Ordering::Relaxed);
        self.find_or_add(&wanted.with_other(|label| label != ROUTE), CONTEXTS * 7 / 8, VALUE_BYTES)
            .or_else(|| self.find_or_add(&wanted.with_other(|_| true), CONTEXTS, usize::MAX))
            .unwrap_or_else(|| (OTHER_CONTEXT, Arc::new(Context { span: OTHER, labels: Arc::default() })))
    }

    fn find_or_add(&self, wanted: &Context, most: usize, most_bytes: usize) -> Option<(u32, Arc<Context>)> {
        let bytes: usize = wanted.labels.iter().map(|(_, value)| value.len()).sum();
        let mut table = self.table.lock();
        if let Some((known, number)) = table.index.get_key_value(wanted) {
            return Some((*number, Arc::clone(known)));
        }
        // Two numbers have a meaning of their own.
        if table.list.len() + 2 >= most || table.value_bytes + bytes > most_bytes {
            return None;
        }
        let number = table.list.len() as u32 + 2;
        let new = Arc::new(wanted.clone());
        table.list.push(Arc::clone(&new));
        table.index.insert(Arc::clone(&new), number);
        table.value_bytes += bytes;
        Some((number, new))
    }

    /// See [`overlay`]. Takes the lock.
    fn overlay(&self, span: u32, labels: u32) -> u32 {
        let (span_context, label_context) = {
            let table = self.table.lock();
            if let Some(known) = table.overlays.get(&(span, labels)) {
                return *known;
            }
            (table.get(span), table.get(labels))
        };
        let (Some(inner), Some(outer)) = (span_context, label_context) else { return span };
        let added = outer.labels.iter().filter(|(name, _)| inner.labels.iter().all(|(own, _)| own != name));
        let both = Context { span: inner.span, labels: inner.labels.iter().chain(added).cloned().collect() };
        let number = self.intern(&both).0;
        let mut table = self.table.lock();
        if table.overlays.len() < CONTEXTS {
            table.overlays.insert((span, labels), number);
        }
        number
    }

    /// What a number stands for; `None` for no span and for what found no place.
    pub(super) fn get(&self, number: u32) -> Option<Arc<Context>> {
        self.table.lock().get(number)
    }

    /// All contexts by number; the first is that of no span.
    pub(crate) fn all(&self) -> Vec<Option<Arc<Context>>> {
        let other = Arc::new(Context { span: OTHER, labels: Arc::default() });
        let mut out = vec![None, Some(other)];
        out.reserve(CONTEXTS);
        out.extend(self.table.lock().list.iter().cloned().map(Some));
        out
    }

    /// Spans that did not get the context they wanted, for want of room.
    pub(crate) fn without_place(&self) -> u64 {
        self.without_place.load(Ordering::Relaxed)
    }

    /// For fork.
    pub(crate) fn acquire(&self) {
        self.table.acquire();
    }

    /// For fork.
    pub(crate) fn release(&self) {
        self.table.release();
    }
}

impl Table {
    fn get(&self, number: u32) -> Option<Arc<Context>> {
        self.list.get(number.checked_sub(2)? as usize).cloned()
    }
}

impl Context {
    /// The same with [`OTHER`] for the labels that `hide` names.
    fn with_other(&self, hide: impl Fn(&str) -> bool) -> Self {
        let labels = self
            .labels
            .iter()
            .map(|(label, value)| (label.clone(), if hide(label) { OTHER.into() } else { value.clone() }))
            .collect();
        Self { span: self.span, labels }
    }
}
