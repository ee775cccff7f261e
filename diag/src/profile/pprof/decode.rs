//! Reads profile.proto.
//!
//! The top level is walked once to sort the fields (a length is read, the content skipped), then the content is read
//! once, in the order in which it refers to itself: strings, mappings, functions, locations, samples. Samples are not
//! collected but walked again, and go straight into the builder through three reused buffers, so that a sample costs
//! no allocation. Memory beyond the profile itself: 24 bytes a string, function, location and mapping.

use hashbrown::HashMap;

use super::wire::{Field, Reader, fault};
use super::{DecodeLimits, LOSS_COMMENT, address, field};
use crate::profile::error::{PprofFault, ProfileError};
use crate::profile::ids::{FunctionId, LocationId, MappingId, StrId};
use crate::profile::model::{
    Function, Label, LabelValue, Line, Loss, Mapping, MappingSymbols, Period, Profile, ValueType,
};
use crate::profile::{ProfileBuilder, text};

/// Room is made beforehand for at most this many samples; what a file claims is not believed beyond that.
const RESERVED_SAMPLES: usize = 1 << 18;

/// Bytes of one sample or location. What is read of it is up to eight times as large, before it can be counted.
const MESSAGE_BYTES: usize = 16 << 20;

pub(super) fn decode(buffer: &[u8], limits: &DecodeLimits) -> Result<Profile, ProfileError> {
    let top = TopLevel::read(buffer, limits.table_entries)?;
    let mut strings = Strings { raw: &top.strings, ids: vec![None; top.strings.len()], repaired: 0 };
    if strings.raw.first().is_some_and(|(_, s)| !s.is_empty()) {
        return Err(fault(strings.raw.first().map_or(0, |(at, _)| *at), PprofFault::FirstString));
    }
    let mut types = Vec::with_capacity(top.sample_types.len());
    for &message in &top.sample_types {
        types.push(strings.value_type(message)?);
    }
    if types.is_empty() {
        return Err(fault(0, PprofFault::NoSampleType));
    }
    let width = types.len();
    let items = Items { limit: limits.list_items, found: 0 };
    let mut decoder = Decoder { builder: ProfileBuilder::new(types), strings, items };
    decoder.builder.reserve_samples(top.sample_count.min(RESERVED_SAMPLES), 0);
    let mappings = decoder.mappings(&top.mappings)?;
    let functions = decoder.functions(&top.functions)?;
    let locations = decoder.locations(&top.locations, &mappings, &functions)?;
    drop((mappings, functions));
    if let Some(samples) = top.samples {
        decoder.samples(samples, width, &locations)?;
    }
    decoder.meta(&top)?;
    decoder.builder.finish()
}

/// The fields of the outermost message, sorted by kind, not yet read.
#[derive(Default)]
struct TopLevel<'a> {
    sample_types: Vec<Reader<'a>>,
    /// From the first sample to the end of the buffer.
    samples: Option<Reader<'a>>,
    sample_count: usize,
    mappings: Vec<Reader<'a>>,
    locations: Vec<Reader<'a>>,
    functions: Vec<Reader<'a>>,
    /// With the offset of the field.
    strings: Vec<(usize, &'a [u8])>,
    time_nanos: i64,
    duration_nanos: i64,
    period_type: Option<Reader<'a>>,
    period: i64,
    /// String indices with the offset of the field.
    comments: Vec<(usize, u64)>,
    default_sample_type: (usize, u64),
    doc_url: (usize, u64),
}

impl<'a> TopLevel<'a> {
    fn read(buffer: &'a [u8], table_entries: u64) -> Result<Self, ProfileError> {
        let mut top = Self::default();
        let mut reader = Reader::new(buffer);
        loop {
            let here = reader;
            let Some(f) = reader.field()? else { return Ok(top) };
            match f.number {
                field::profile::SAMPLE_TYPE => {
                    push(&mut top.sample_types, f.message()?, "sample types", SAMPLE_TYPES)?
                }
                field::profile::SAMPLE => {
                    f.message()?;
                    top.samples.get_or_insert(here);
                    top.sample_count += 1;
                    at_most(top.sample_count, table_entries, "samples")?;
                }
                field::profile::MAPPING => push(&mut top.mappings, f.message()?, "mappings", table_entries)?,
                field::profile::LOCATION => {
                    push(&mut top.locations, f.message()?, "locations", table_entries)?
                }
                field::profile::FUNCTION => {
                    push(&mut top.functions, f.message()?, "functions", table_entries)?
                }
                field::profile::STRING_TABLE => {
                    push(&mut top.strings, (f.offset, f.message()?.bytes()), "strings", table_entries)?;
                }
                field::profile::TIME_NANOS if top.time_nanos != 0 => {
                    return Err(fault(f.offset, PprofFault::Concatenated));
                }
                field::profile::TIME_NANOS => top.time_nanos = f.scalar()? as i64,
                field::profile::DURATION_NANOS => top.duration_nanos = f.scalar()? as i64,
                field::profile::PERIOD_TYPE => top.period_type = Some(f.message()?),
                field::profile::PERIOD => top.period = f.scalar()? as i64,
                field::profile::COMMENT => {
                    f.each(|i| push(&mut top.comments, (f.offset, i), "comments", table_entries))?;
                }
                field::profile::DEFAULT_SAMPLE_TYPE => top.default_sample_type = (f.offset, f.scalar()?),
                field::profile::DOC_URL => top.doc_url = (f.offset, f.scalar()?),
                _ => {}
            }
        }
    }
}

/// More than any profile has, and few enough for a row of values each sample.
const SAMPLE_TYPES: u64 = 1024;

fn push<T>(table: &mut Vec<T>, entry: T, what: &'static str, limit: u64) -> Result<(), ProfileError> {
    table.push(entry);
    at_most(table.len(), limit, what)
}

#[inline]
fn at_most(count: usize, limit: u64, what: &'static str) -> Result<(), ProfileError> {
    if count as u64 > limit { Err(ProfileError::TooMany { what, limit }) } else { Ok(()) }
}

/// Counts what lists hold in all.
struct Items {
    limit: u64,
    found: u64,
}

impl Items {
    /// Before a message is read.
    fn fits(message: &Reader<'_>) -> Result<(), ProfileError> {
        at_most(message.bytes().len(), MESSAGE_BYTES as u64, "bytes in a sample or location")
    }

    fn add(&mut self, count: usize) -> Result<(), ProfileError> {
        self.found += count as u64;
        let limit = self.limit;
        if self.found > limit {
            return Err(ProfileError::TooMany { what: "frames, lines and labels", limit });
        }
        Ok(())
    }
}

/// The file's string table. Strings are checked and interned when something refers to them.
struct Strings<'a> {
    raw: &'a [(usize, &'a [u8])],
    ids: Vec<Option<StrId>>,
    /// How many were not UTF-8.
    repaired: u64,
}

impl<'a> Strings<'a> {
    fn raw(&self, offset: usize, index: u64) -> Result<&'a [u8], ProfileError> {
        let count = self.raw.len() as u64;
        match usize::try_from(index).ok().and_then(|i| self.raw.get(i)) {
            Some((_, s)) => Ok(s),
            // A file without any string table: index 0 is still the empty string.
            None if index == 0 => Ok(&[]),
            None => Err(fault(offset, PprofFault::StringIndex { index, count })),
        }
    }

    /// The text, for what does not go into the profile's string table.
    fn text(&mut self, offset: usize, index: u64) -> Result<String, ProfileError> {
        let raw = self.raw(offset, index)?;
        Ok(text::repair(raw, &mut self.repaired).into_owned())
    }

    fn intern(
        &mut self,
        builder: &mut ProfileBuilder,
        offset: usize,
        index: u64,
    ) -> Result<StrId, ProfileError> {
        if index == 0 {
            return Ok(StrId::EMPTY);
        }
        let raw = self.raw(offset, index)?;
        let Some(slot) = self.ids.get_mut(index as usize) else { return Ok(StrId::EMPTY) };
        if let Some(id) = *slot {
            return Ok(id);
        }
        let id = builder.str(&text::repair(raw, &mut self.repaired));
        *slot = Some(id);
        Ok(id)
    }

    fn value_type(&mut self, mut message: Reader<'_>) -> Result<ValueType, ProfileError> {
        let mut value_type = ValueType::new("", "");
        while let Some(f) = message.field()? {
            match f.number {
                field::value_type::KIND => value_type.kind = self.text(f.offset, f.scalar()?)?,
                field::value_type::UNIT => value_type.unit = self.text(f.offset, f.scalar()?)?,
                _ => {}
            }
        }
        Ok(value_type)
    }
}

/// The ids of a table in the file, to positions in ours. Ids are usually 1..N and then found by indexing.
struct Ids {
    table: &'static str,
    dense: Vec<u32>,
    sparse: HashMap<u64, u32>,
}

const ABSENT: u32 = u32::MAX;

impl Ids {
    fn new(table: &'static str, count: usize) -> Self {
        Self { table, dense: vec![ABSENT; count + 1], sparse: HashMap::new() }
    }

    fn insert(&mut self, offset: usize, id: u64, index: usize) -> Result<(), ProfileError> {
        if id == 0 {
            return Err(fault(offset, PprofFault::ZeroId { table: self.table }));
        }
        let before = match usize::try_from(id).ok().and_then(|i| self.dense.get_mut(i)) {
            Some(slot) => std::mem::replace(slot, index as u32),
            None => self.sparse.insert(id, index as u32).unwrap_or(ABSENT),
        };
        if before == ABSENT {
            Ok(())
        } else {
            Err(fault(offset, PprofFault::DuplicateId { table: self.table, id }))
        }
    }

    #[inline]
    fn get(&self, id: u64) -> Option<usize> {
        match self.dense.get(id as usize) {
            Some(&index) if index != ABSENT => Some(index as usize),
            _ => self.sparse.get(&id).map(|&i| i as usize),
        }
    }

    fn find(&self, from: &'static str, offset: usize, id: u64) -> Result<usize, ProfileError> {
        self.get(id).ok_or_else(|| self.dangling(from, offset, id))
    }

    #[cold]
    fn dangling(&self, from: &'static str, offset: usize, id: u64) -> ProfileError {
        fault(offset, PprofFault::DanglingId { from, table: self.table, id })
    }
}

struct Decoder<'a> {
    builder: ProfileBuilder,
    strings: Strings<'a>,
    items: Items,
}

impl Decoder<'_> {
    fn str(&mut self, f: &Field<'_>) -> Result<StrId, ProfileError> {
        self.strings.intern(&mut self.builder, f.offset, f.scalar()?)
    }

    fn mappings(&mut self, messages: &[Reader<'_>]) -> Result<Ids, ProfileError> {
        let mut ids = Ids::new("mapping", messages.len());
        for &message in messages {
            let mut reader = message;
            let mut id = 0;
            let mut symbols = MappingSymbols::default();
            let (mut start, mut limit, mut file_offset) = (0, 0, 0);
            let (mut file, mut build_id) = (StrId::EMPTY, StrId::EMPTY);
            while let Some(f) = reader.field()? {
                match f.number {
                    field::mapping::ID => id = f.scalar()?,
                    field::mapping::START => start = f.scalar()?,
                    field::mapping::LIMIT => limit = f.scalar()?,
                    field::mapping::OFFSET => file_offset = f.scalar()?,
                    field::mapping::FILENAME => file = self.str(&f)?,
                    field::mapping::BUILD_ID => build_id = self.str(&f)?,
                    field::mapping::HAS_FUNCTIONS => symbols.functions = f.scalar()? != 0,
                    field::mapping::HAS_FILENAMES => symbols.filenames = f.scalar()? != 0,
                    field::mapping::HAS_LINE_NUMBERS => symbols.line_numbers = f.scalar()? != 0,
                    field::mapping::HAS_INLINE_FRAMES => symbols.inline_frames = f.scalar()? != 0,
                    _ => {}
                }
            }
            let mapping = Mapping { start, limit, file_offset, file, build_id, symbols };
            ids.insert(message.offset(), id, self.builder.mapping(mapping).index())?;
        }
        Ok(ids)
    }

    fn functions(&mut self, messages: &[Reader<'_>]) -> Result<Ids, ProfileError> {
        let mut ids = Ids::new("function", messages.len());
        for &message in messages {
            let mut reader = message;
            let mut id = 0;
            let (mut name, mut system_name, mut file) = (StrId::EMPTY, StrId::EMPTY, StrId::EMPTY);
            let mut start_line = 0;
            while let Some(f) = reader.field()? {
                match f.number {
                    field::function::ID => id = f.scalar()?,
                    field::function::NAME => name = self.str(&f)?,
                    field::function::SYSTEM_NAME => system_name = self.str(&f)?,
                    field::function::FILENAME => file = self.str(&f)?,
                    field::function::START_LINE => start_line = f.scalar()? as i64,
                    _ => {}
                }
            }
            if name == StrId::EMPTY {
                name = system_name;
            }
            if system_name == name {
                system_name = StrId::EMPTY;
            }
            let function = self.builder.function(Function { name, system_name, file, start_line });
            ids.insert(message.offset(), id, function.index())?;
        }
        Ok(ids)
    }

    fn locations(
        &mut self,
        messages: &[Reader<'_>],
        mappings: &Ids,
        functions: &Ids,
    ) -> Result<Ids, ProfileError> {
        let mut ids = Ids::new("location", messages.len());
        let mut lines: Vec<Line> = Vec::new();
        for &message in messages {
            let mut reader = message;
            let (mut id, mut written, mut mapping) = (0, 0, None);
            lines.clear();
            Items::fits(&message)?;
            while let Some(f) = reader.field()? {
                match f.number {
                    field::location::ID => id = f.scalar()?,
                    field::location::MAPPING_ID => {
                        mapping = match f.scalar()? {
                            0 => None,
                            m => Some(MappingId::from_index(mappings.find("location", f.offset, m)?)),
                        };
                    }
                    field::location::ADDRESS => written = f.scalar()?,
                    field::location::LINE => lines.extend(self.line(f.message()?, functions)?),
                    _ => {}
                }
            }
            self.items.add(lines.len())?;
            let location = self.builder.location(mapping, address::original(written), &lines);
            ids.insert(message.offset(), id, location.index())?;
        }
        Ok(ids)
    }

    /// A line; `None` when it says nothing at all.
    fn line(&mut self, mut message: Reader<'_>, functions: &Ids) -> Result<Option<Line>, ProfileError> {
        let mut function = None;
        let mut line = 0;
        while let Some(f) = message.field()? {
            match f.number {
                field::line::FUNCTION_ID => {
                    function = match f.scalar()? {
                        0 => None,
                        id => Some(FunctionId::from_index(functions.find("line", f.offset, id)?)),
                    };
                }
                field::line::LINE => line = f.scalar()? as i64,
                _ => {}
            }
        }
        if function.is_none() && line == 0 {
            return Ok(None);
        }
        let function = function.unwrap_or_else(|| {
            let (name, start_line) = (StrId::EMPTY, 0);
            self.builder.function(Function { name, system_name: name, file: name, start_line })
        });
        Ok(Some(Line { function, line }))
    }

    fn samples(&mut self, mut reader: Reader<'_>, width: usize, locations: &Ids) -> Result<(), ProfileError> {
        let mut stack: Vec<LocationId> = Vec::new();
        let mut values: Vec<i64> = Vec::new();
        let mut labels: Vec<Label> = Vec::new();
        while let Some(f) = reader.field()? {
            if f.number != field::profile::SAMPLE {
                continue;
            }
            let offset = f.offset;
            let mut sample = f.message()?;
            Items::fits(&sample)?;
            stack.clear();
            values.clear();
            labels.clear();
            while let Some(f) = sample.field()? {
                match f.number {
                    field::sample::LOCATION_ID => f.each(|id| {
                        let index = locations.find("sample", f.offset, id)?;
                        stack.push(LocationId::from_index(index));
                        Ok(())
                    })?,
                    field::sample::VALUE => f.each(|v| {
                        values.push(v as i64);
                        Ok(())
                    })?,
                    field::sample::LABEL => labels.push(self.label(f.message()?)?),
                    _ => {}
                }
            }
            if values.len() != width {
                let fault_here = PprofFault::ValueCount { expected: width, found: values.len() };
                return Err(fault(offset, fault_here));
            }
            self.items.add(stack.len() + labels.len())?;
            let stack = self.builder.stack(&stack);
            let labels = self.builder.labels(&labels);
            self.builder.sample(stack, labels, &values);
        }
        Ok(())
    }

    fn label(&mut self, mut message: Reader<'_>) -> Result<Label, ProfileError> {
        let mut key = StrId::EMPTY;
        let mut text = None;
        let (mut number, mut unit) = (0, StrId::EMPTY);
        while let Some(f) = message.field()? {
            match f.number {
                field::label::KEY => key = self.str(&f)?,
                // String 0 says "no text"; an empty text is another, empty string.
                field::label::STR => text = if f.scalar()? == 0 { None } else { Some(self.str(&f)?) },
                field::label::NUM => number = f.scalar()? as i64,
                field::label::NUM_UNIT => unit = self.str(&f)?,
                _ => {}
            }
        }
        Ok(Label { key, value: text.map_or(LabelValue::Num(number, unit), LabelValue::Str) })
    }

    fn meta(&mut self, top: &TopLevel<'_>) -> Result<(), ProfileError> {
        let period_type = match top.period_type {
            Some(message) => Some(self.strings.value_type(message)?),
            None if top.period != 0 => Some(ValueType::new("", "")),
            None => None,
        };
        let mut comments = Vec::new();
        let mut losses: Vec<Loss> = Vec::new();
        for &(offset, index) in &top.comments {
            let comment = self.strings.text(offset, index)?;
            match loss(&comment) {
                Some(loss) => losses.push(loss),
                None => comments.push(comment),
            }
        }
        let (offset, index_of_default) = top.default_sample_type;
        let default = self.strings.text(offset, index_of_default)?;
        let (offset, index) = top.doc_url;
        let doc_url = self.strings.text(offset, index)?;
        let repaired = self.strings.repaired;
        if repaired > 0 {
            losses.push(Loss { what: text::NON_UTF8.to_owned(), count: repaired });
        }
        let default_sample_type =
            if index_of_default == 0 { None } else { self.builder.sample_type_index(&default) };
        let meta = self.builder.meta_mut();
        meta.default_sample_type = default_sample_type;
        meta.period = period_type.map(|value_type| Period { value_type, value: top.period });
        meta.time_unix_ns = Some(top.time_nanos).filter(|&t| t != 0);
        meta.duration_ns = Some(top.duration_nanos).filter(|&t| t != 0);
        meta.comments = comments;
        meta.doc_url = doc_url;
        meta.losses = add_up(losses);
        Ok(())
    }
}

fn loss(comment: &str) -> Option<Loss> {
    let (what, count) = comment.strip_prefix(LOSS_COMMENT)?.split_once('=')?;
    Some(Loss { what: what.to_owned(), count: count.parse().ok()? })
}

/// One entry a name: merged files repeat them.
fn add_up(mut losses: Vec<Loss>) -> Vec<Loss> {
    losses.sort();
    losses.dedup_by(|later, first| {
        let same = later.what == first.what;
        if same {
            first.count = first.count.saturating_add(later.count);
        }
        same
    });
    losses
}
