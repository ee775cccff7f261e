//! Which span an id stood for at a moment. Ids may be given again, long after; each time a span is made under it.

use std::collections::{BTreeSet, HashMap};

use super::callsites::UNKNOWN;
use super::fields::{self, Value};
use super::record::{self, Head, Kind};
use super::trace::{Site, Span};

/// What is known of one span.
struct Known {
    id: u64,
    /// When it was made; 0 where that was overwritten.
    made_at: u64,
    /// Number of its callsite.
    site: u32,
    fields: Vec<(u8, Value)>,
}

/// All spans of which records were found.
pub(super) struct Spans {
    /// By id, then by time.
    known: Vec<Known>,
    /// Callsites of spans without any record, as the subscriber knows them.
    live: HashMap<u64, u32>,
    /// Which were asked for, and what they are in the trace.
    used: Vec<Span>,
    index: HashMap<(u64, u64), u32>,
}

impl Spans {
    /// From the records about spans, in any order.
    pub(super) fn of(mut records: Vec<(Head, Vec<u8>)>) -> Self {
        records.sort_by_key(|(head, _)| (head.id, head.ticks));
        let mut known: Vec<Known> = Vec::new();
        for (head, text) in records {
            let is_new = head.kind == Kind::New;
            if is_new || known.last().is_none_or(|k| k.id != head.id) {
                let made_at = if is_new { head.ticks } else { 0 };
                known.push(Known { id: head.id, made_at, site: UNKNOWN, fields: Vec::new() });
            }
            let Some(span) = known.last_mut() else { continue };
            if head.callsite != UNKNOWN {
                span.site = head.callsite;
            }
            for (field, value) in fields::decode(&text) {
                match span.fields.iter_mut().find(|(f, _)| *f == field) {
                    Some((_, old)) => *old = value,
                    None => span.fields.push((field, value)),
                }
            }
        }
        Self { known, live: HashMap::new(), used: Vec::new(), index: HashMap::new() }
    }

    /// The ids of which nothing is known, of those that were entered.
    pub(super) fn unknown(&self, entered: &BTreeSet<u64>) -> Vec<u64> {
        entered.iter().copied().filter(|id| self.range(*id).is_empty()).collect()
    }

    /// Says what callsites ids have.
    pub(super) fn learn(&mut self, live: HashMap<u64, u32>) {
        self.live = live;
    }

    fn range(&self, id: u64) -> std::ops::Range<usize> {
        let begin = self.known.partition_point(|k| k.id < id);
        begin..begin + self.known.get(begin..).map_or(0, |rest| rest.partition_point(|k| k.id == id))
    }

    /// The position of the span with this id at this moment.
    pub(super) fn position(&mut self, id: u64, at: u64, sites: &[Site]) -> u32 {
        let of_id = self.known.get(self.range(id)).unwrap_or_default();
        // The latest that was made before. Clocks of two processors may differ by some nanoseconds: then the first.
        let made = of_id.partition_point(|k| k.made_at <= at);
        let known = of_id.get(made.saturating_sub(1));
        let key = (id, known.map_or(u64::MAX, |k| k.made_at));
        if let Some(position) = self.index.get(&key) {
            return *position;
        }
        let number =
            known.map(|k| k.site).filter(|site| *site != UNKNOWN).or_else(|| self.live.get(&id).copied());
        let site = number.and_then(|number| number.checked_sub(1)).filter(|at| (*at as usize) < sites.len());
        let fields = known.map_or_else(Vec::new, |k| named(site, &k.fields, sites));
        let position = self.used.len() as u32;
        self.used.push(Span { id, site, fields });
        self.index.insert(key, position);
        position
    }

    /// Those that were asked for, by position.
    pub(super) fn into_used(self) -> Vec<Span> {
        self.used
    }
}

/// Fields with their names; those that the callsite does not have are left out.
pub(super) fn named(site: Option<u32>, fields: &[(u8, Value)], sites: &[Site]) -> Vec<(&'static str, Value)> {
    let Some(site) = site.and_then(|at| sites.get(at as usize)) else { return Vec::new() };
    let name = |(at, value): &(u8, Value)| Some((*site.fields.get(usize::from(*at))?, value.clone()));
    fields.iter().filter_map(name).collect()
}

/// Whether a record is about a span itself.
pub(super) fn is_about_span(head: &Head) -> bool {
    matches!(head.kind, Kind::New | Kind::Record | Kind::Close)
}

/// The text of a record.
pub(super) fn text_of(head: &Head, text: &[u64]) -> Vec<u8> {
    record::bytes(text, head.text_bytes)
}
