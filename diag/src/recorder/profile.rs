//! A [`Trace`] as a profile: where the time of spans goes, for flame graphs. Pure.
//!
//! Sample types `entered/count` and `span/nanoseconds`. A stack is the spans that a thread was in, outermost last as in every profile; a
//! frame is `target::name` with the place in the source. The time of a stack is that in which nothing further in was entered, running or
//! waiting; time outside of all spans is in no sample. Each sample has the label `thread`.

use std::collections::HashMap;

use super::trace::{Slice, Trace, UNKNOWN};
use crate::profile::{
    Function, Label, LabelSetId, LabelValue, Line, LocationId, Loss, Profile, ProfileBuilder, ProfileError,
    StrId, ValueType, folded,
};

/// Kind and unit of the time.
const SPAN: &str = "span";
const ENTERED: &str = "entered";

impl Trace {
    /// The time of spans by stack.
    ///
    /// # Errors
    /// When it would not be a valid profile.
    pub fn to_profile(&self) -> Result<Profile, ProfileError> {
        let types = vec![ValueType::new(ENTERED, "count"), ValueType::new(SPAN, "nanoseconds")];
        let mut maker = Maker {
            builder: ProfileBuilder::new(types),
            trace: self,
            locations: HashMap::new(),
            labels: HashMap::new(),
        };
        let mut path: Vec<Open<'_>> = Vec::new();
        for slice in &self.slices {
            // The slices around this one are those that are less deep, on the same thread, and not over.
            while path.last().is_some_and(|open| !open.holds(slice)) {
                maker.leave(&mut path);
            }
            path.push(Open { slice, inner_ns: 0 });
        }
        while !path.is_empty() {
            maker.leave(&mut path);
        }
        let meta = maker.builder.meta_mut();
        meta.default_sample_type = Some(1);
        meta.time_unix_ns = i64::try_from(self.began_unix_ns.saturating_add(self.length_ns)).ok();
        meta.duration_ns = i64::try_from(self.length_ns).ok();
        let losses = self.losses.iter().map(|(what, count)| Loss { what: (*what).to_owned(), count: *count });
        meta.losses.extend(losses);
        if self.missing_ns > 0 {
            let missing_s = self.missing_ns as f64 / 1e9;
            meta.comments.push(format!("the first {missing_s:.3} s have gaps: they were overwritten"));
        }
        maker.builder.finish()
    }

    /// The time of spans as folded stacks, in nanoseconds.
    ///
    /// # Errors
    /// When it would not be a valid profile.
    pub fn to_folded(&self) -> Result<String, ProfileError> {
        Ok(folded::write(&self.to_profile()?, 1))
    }
}

struct Open<'a> {
    slice: &'a Slice,
    /// Time of the slices directly in it.
    inner_ns: u64,
}

impl Open<'_> {
    fn holds(&self, slice: &Slice) -> bool {
        self.slice.thread == slice.thread
            && self.slice.depth < slice.depth
            && self.slice.end_ns >= slice.end_ns
    }
}

struct Maker<'a> {
    builder: ProfileBuilder,
    trace: &'a Trace,
    /// By place, or `None` for spans of which nothing is known.
    locations: HashMap<Option<u32>, LocationId>,
    labels: HashMap<u32, LabelSetId>,
}

impl Maker<'_> {
    /// Adds the innermost slice of the path, and takes it off.
    fn leave(&mut self, path: &mut Vec<Open<'_>>) {
        let stack: Vec<LocationId> = path.iter().rev().map(|open| self.location(open.slice.span)).collect();
        let Some(open) = path.pop() else { return };
        let length = open.slice.end_ns.saturating_sub(open.slice.begin_ns);
        if let Some(around) = path.last_mut() {
            around.inner_ns += length;
        }
        let own_ns = i64::try_from(length.saturating_sub(open.inner_ns)).unwrap_or(i64::MAX);
        // The rest of one that was cut is no second time.
        let entered = i64::from(!open.slice.ends.continued);
        let (stack, labels) = (self.builder.stack(&stack), self.thread(open.slice.thread));
        self.builder.sample(stack, labels, &[entered, own_ns]);
    }

    fn location(&mut self, span: u32) -> LocationId {
        let trace = self.trace;
        let number = trace.spans.get(span as usize).and_then(|span| span.site);
        if let Some(known) = self.locations.get(&number) {
            return *known;
        }
        let builder = &mut self.builder;
        let (name, file, line) = match trace.site(number) {
            Some(site) if site.target.is_empty() => (site.name.to_owned(), site.file, site.line),
            Some(site) => (format!("{}::{}", site.target, site.name), site.file, site.line),
            None => (UNKNOWN.to_owned(), "", 0),
        };
        let (name, file) = (builder.str(&name), builder.str(file));
        let start_line = i64::from(line);
        let function = builder.function(Function { name, system_name: StrId::EMPTY, file, start_line });
        let location = builder.location(None, 0, &[Line { function, line: start_line }]);
        self.locations.insert(number, location);
        location
    }

    fn thread(&mut self, position: u32) -> LabelSetId {
        let (builder, trace) = (&mut self.builder, self.trace);
        *self.labels.entry(position).or_insert_with(|| {
            let name = trace.threads.get(position as usize).map_or("", |thread| thread.name.as_str());
            let (key, value) = (builder.str("thread"), LabelValue::Str(builder.str(name)));
            builder.labels(&[Label { key, value }])
        })
    }
}
