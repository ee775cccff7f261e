//! Writes profile.proto. Borrows the profile, keeps its order, and numbers what samples use from 1.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::wire::Writer;
use super::{LOSS_COMMENT, address::Unique, field};
use crate::profile::ids::{FunctionId, LabelSetId, LocationId, StrId};
use crate::profile::model::{Label, LabelValue, Profile, ValueType};

/// So many bytes are handed on at a time: they stay in the processor's cache, and are no memory to speak of.
const PIECE_BYTES: usize = 64 << 10;

pub(super) fn encode(profile: &Profile) -> Vec<u8> {
    let expected = profile.stacks.item_count() * 2 + profile.sample_count() * 24 + 4096;
    Encoder::new(profile, expected, |_| {}).whole().into_bytes()
}

/// Hands the encoded bytes on in pieces.
pub(super) fn encode_to(profile: &Profile, mut take: impl FnMut(&[u8])) {
    let hand_on = |out: &mut Writer| {
        take(out.part(0, out.len()));
        out.clear();
    };
    let mut encoder = Encoder::new(profile, PIECE_BYTES + PIECE_BYTES / 4, hand_on);
    encoder.write();
    encoder.hand_on();
}

/// The numbers of locations and functions in the file; 0 for those that no sample uses.
struct Used {
    locations: Vec<u32>,
    functions: Vec<u32>,
}

impl Used {
    fn of(profile: &Profile) -> Self {
        let mut locations = vec![0u32; profile.location_count()];
        let mut functions = vec![0u32; profile.functions().len()];
        let mut stacks = vec![false; profile.stack_count()];
        for sample in profile.samples() {
            // Stacks with several label sets occur several times.
            if stacks.get_mut(sample.stack.index()).is_some_and(|seen| !std::mem::replace(seen, true)) {
                for location in profile.stack(sample.stack) {
                    mark(&mut locations, location.index());
                }
            }
        }
        for id in profile.location_ids().filter(|id| number(&locations, id.index()) != 0) {
            for line in profile.location(id).lines {
                mark(&mut functions, line.function.index());
            }
        }
        count_up(&mut locations);
        count_up(&mut functions);
        Self { locations, functions }
    }

    fn location(&self, id: LocationId) -> u64 {
        number(&self.locations, id.index())
    }

    fn function(&self, id: FunctionId) -> u64 {
        number(&self.functions, id.index())
    }
}

fn mark(table: &mut [u32], index: usize) {
    if let Some(slot) = table.get_mut(index) {
        *slot = 1;
    }
}

#[inline]
fn number(table: &[u32], index: usize) -> u64 {
    table.get(index).map_or(0, |&n| u64::from(n))
}

/// Replaces marks by 1..N.
fn count_up(marks: &mut [u32]) {
    let mut next = 0;
    for slot in marks.iter_mut().filter(|slot| **slot != 0) {
        next += 1;
        *slot = next;
    }
}

/// The string table of the file, in order of first use.
struct Texts<'a> {
    profile: &'a Profile,
    /// By the profile's string id; 0 is not used yet (or the empty string).
    numbers: Vec<u32>,
    /// By text, for what is not in the profile's table.
    others: HashMap<&'a str, u32>,
    order: Vec<Cow<'a, str>>,
    second_empty: Option<u32>,
}

impl<'a> Texts<'a> {
    fn new(profile: &'a Profile) -> Self {
        Self {
            profile,
            numbers: vec![0; profile.string_count()],
            others: HashMap::new(),
            order: vec![Cow::Borrowed("")],
            second_empty: None,
        }
    }

    fn id(&mut self, id: StrId) -> u64 {
        if id == StrId::EMPTY {
            return 0;
        }
        let Some(slot) = self.numbers.get_mut(id.index()) else { return 0 };
        if *slot == 0 {
            *slot = self.order.len() as u32;
            self.order.push(Cow::Borrowed(self.profile.str(id)));
        }
        u64::from(*slot)
    }

    fn text(&mut self, text: &'a str) -> u64 {
        if let Some(id) = self.profile.find_str(text) {
            return self.id(id);
        }
        let order = &mut self.order;
        let number = self.others.entry(text).or_insert_with(|| {
            order.push(Cow::Borrowed(text));
            order.len() as u32 - 1
        });
        u64::from(*number)
    }

    /// A text made for the file.
    fn owned(&mut self, text: String) -> u64 {
        self.order.push(Cow::Owned(text));
        self.order.len() as u64 - 1
    }

    /// For a label whose text is empty: number 0 would say that it has none.
    fn label_text(&mut self, id: StrId) -> u64 {
        if id != StrId::EMPTY {
            return self.id(id);
        }
        let order = &mut self.order;
        let number = *self.second_empty.get_or_insert_with(|| {
            order.push(Cow::Borrowed(""));
            order.len() as u32 - 1
        });
        u64::from(number)
    }
}

/// `F` is shown the output whenever a piece of it is there, and may take it away.
struct Encoder<'a, F> {
    profile: &'a Profile,
    texts: Texts<'a>,
    out: Writer,
    full: F,
    /// A message of the outermost one, and one inside that.
    message: Writer,
    inner: Writer,
    labels: LabelBytes,
}

/// The label sets as they stand in a sample: many samples share a set.
#[derive(Default)]
struct LabelBytes {
    bytes: Writer,
    /// Start and end in `bytes`, by set.
    done: HashMap<LabelSetId, (usize, usize)>,
}

impl<'a, F: FnMut(&mut Writer)> Encoder<'a, F> {
    fn new(profile: &'a Profile, capacity: usize, full: F) -> Self {
        Self {
            profile,
            texts: Texts::new(profile),
            out: Writer::with_capacity(capacity),
            full,
            message: Writer::default(),
            inner: Writer::default(),
            labels: LabelBytes::default(),
        }
    }

    fn whole(mut self) -> Writer {
        self.write();
        self.out
    }

    fn write(&mut self) {
        let used = Used::of(self.profile);
        for sample_type in self.profile.sample_types() {
            self.value_type(field::profile::SAMPLE_TYPE, sample_type);
        }
        self.samples(&used);
        self.mappings();
        self.locations(&used);
        self.functions(&used);
        self.meta();
        for text in &self.texts.order {
            self.out.bytes(field::profile::STRING_TABLE, text.as_bytes());
            if self.out.len() >= PIECE_BYTES {
                (self.full)(&mut self.out);
            }
        }
    }

    fn hand_on(&mut self) {
        (self.full)(&mut self.out);
    }

    /// After each of what there is many of.
    #[inline]
    fn hand_on_if_full(&mut self) {
        if self.out.len() >= PIECE_BYTES {
            self.hand_on();
        }
    }

    fn value_type(&mut self, number: u32, value_type: &'a ValueType) {
        self.message.clear();
        self.message.uint(field::value_type::KIND, self.texts.text(&value_type.kind));
        self.message.uint(field::value_type::UNIT, self.texts.text(&value_type.unit));
        self.out.message(number, &self.message);
    }

    fn samples(&mut self, used: &Used) {
        let profile = self.profile;
        for sample in profile.samples() {
            self.message.clear();
            let stack = profile.stack(sample.stack).iter();
            self.message.packed(field::sample::LOCATION_ID, stack.map(|&id| used.location(id)));
            self.message.packed(field::sample::VALUE, sample.values.iter().map(|&v| v as u64));
            if sample.labels != LabelSetId::EMPTY {
                let (start, end) = self.label_set(sample.labels);
                self.message.append(self.labels.bytes.part(start, end));
            }
            self.out.message(field::profile::SAMPLE, &self.message);
            self.hand_on_if_full();
        }
    }

    /// Where the set stands in `labels.bytes`. Sorted by text, so that the order does not depend on ids.
    fn label_set(&mut self, id: LabelSetId) -> (usize, usize) {
        if let Some(&range) = self.labels.done.get(&id) {
            return range;
        }
        let profile = self.profile;
        let text = |id| profile.str(id);
        let mut labels: Vec<&Label> = profile.label_set(id).iter().collect();
        labels.sort_by_key(|label| match label.value {
            LabelValue::Str(value) => (text(label.key), text(value), 0),
            LabelValue::Num(number, unit) => (text(label.key), text(unit), number),
        });
        let start = self.labels.bytes.len();
        for label in labels {
            self.label(label);
        }
        let range = (start, self.labels.bytes.len());
        self.labels.done.insert(id, range);
        range
    }

    fn label(&mut self, label: &Label) {
        self.inner.clear();
        self.inner.uint(field::label::KEY, self.texts.id(label.key));
        match label.value {
            LabelValue::Str(text) => self.inner.uint(field::label::STR, self.texts.label_text(text)),
            LabelValue::Num(number, unit) => {
                self.inner.int(field::label::NUM, number);
                self.inner.uint(field::label::NUM_UNIT, self.texts.id(unit));
            }
        }
        self.labels.bytes.message(field::sample::LABEL, &self.inner);
    }

    fn mappings(&mut self) {
        for (mapping, id) in self.profile.mappings().iter().zip(1u64..) {
            let m = &mut self.message;
            m.clear();
            m.uint(field::mapping::ID, id);
            m.uint(field::mapping::START, mapping.start);
            m.uint(field::mapping::LIMIT, mapping.limit);
            m.uint(field::mapping::OFFSET, mapping.file_offset);
            m.uint(field::mapping::FILENAME, self.texts.id(mapping.file));
            m.uint(field::mapping::BUILD_ID, self.texts.id(mapping.build_id));
            m.bool(field::mapping::HAS_FUNCTIONS, mapping.symbols.functions);
            m.bool(field::mapping::HAS_FILENAMES, mapping.symbols.filenames);
            m.bool(field::mapping::HAS_LINE_NUMBERS, mapping.symbols.line_numbers);
            m.bool(field::mapping::HAS_INLINE_FRAMES, mapping.symbols.inline_frames);
            self.out.message(field::profile::MAPPING, m);
        }
    }

    fn locations(&mut self, used: &Used) {
        let mut addresses = Unique::with_capacity(used.locations.len());
        for id in self.profile.location_ids().filter(|&id| used.location(id) != 0) {
            let location = self.profile.location(id);
            self.message.clear();
            self.message.uint(field::location::ID, used.location(id));
            let mapping = location.mapping.map_or(0, |m| m.index() as u64 + 1);
            self.message.uint(field::location::MAPPING_ID, mapping);
            self.message.uint(field::location::ADDRESS, addresses.address(location.address));
            for line in location.lines {
                self.inner.clear();
                self.inner.uint(field::line::FUNCTION_ID, used.function(line.function));
                self.inner.int(field::line::LINE, line.line);
                self.message.message(field::location::LINE, &self.inner);
            }
            self.out.message(field::profile::LOCATION, &self.message);
            self.hand_on_if_full();
        }
    }

    fn functions(&mut self, used: &Used) {
        for (function, &id) in
            self.profile.functions().iter().zip(&used.functions).filter(|(_, id)| **id != 0)
        {
            let system_name =
                if function.system_name == function.name { StrId::EMPTY } else { function.system_name };
            let m = &mut self.message;
            m.clear();
            m.uint(field::function::ID, u64::from(id));
            m.uint(field::function::NAME, self.texts.id(function.name));
            m.uint(field::function::SYSTEM_NAME, self.texts.id(system_name));
            m.uint(field::function::FILENAME, self.texts.id(function.file));
            m.int(field::function::START_LINE, function.start_line);
            self.out.message(field::profile::FUNCTION, m);
            self.hand_on_if_full();
        }
    }

    fn meta(&mut self) {
        let profile = self.profile;
        let meta = profile.meta();
        self.out.int(field::profile::TIME_NANOS, meta.time_unix_ns.unwrap_or(0));
        self.out.int(field::profile::DURATION_NANOS, meta.duration_ns.unwrap_or(0));
        if let Some(period) = &meta.period {
            self.value_type(field::profile::PERIOD_TYPE, &period.value_type);
            self.out.int(field::profile::PERIOD, period.value);
        }
        let own = meta.comments.iter().map(|c| self.texts.text(c));
        let mut comments: Vec<u64> = own.collect();
        for loss in &meta.losses {
            comments.push(self.texts.owned(format!("{LOSS_COMMENT}{}={}", loss.what, loss.count)));
        }
        self.out.packed(field::profile::COMMENT, comments.iter().copied());
        let default = meta.default_sample_type.and_then(|i| profile.sample_types().get(i));
        if let Some(default) = default {
            self.out.uint(field::profile::DEFAULT_SAMPLE_TYPE, self.texts.text(&default.kind));
        }
        self.out.uint(field::profile::DOC_URL, self.texts.text(&meta.doc_url));
    }
}
