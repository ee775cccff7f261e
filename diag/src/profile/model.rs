//! The profile: immutable tables, made by [`ProfileBuilder`](super::ProfileBuilder).
//!
//! Invariants, checked once when a profile is built:
//! - every id inside a table points at an entry of the same profile;
//! - entries are distinct: two equal strings, stacks or label sets have the same id, and no two samples share
//!   both stack and label set;
//! - every sample has as many values as there are sample types.
//!
//! Order and units:
//! - a stack runs from the leaf (where the sample was taken) to the root;
//! - the lines of a location run from the innermost inlined function outwards, the last one is the function that
//!   the machine code belongs to;
//! - an address is ready for a look-up: for a caller's frame it points into the call instruction, not behind it;
//! - values are totals of the whole population, already unbiased, in the unit of their sample type.

use super::ids::{FunctionId, LabelSetId, LocationId, MappingId, StackId, StrId};
use super::intern::{Slices, Strings, Values};

/// What a column of values counts, and in which unit: `inuse_space`/`bytes`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ValueType {
    /// What is counted: `inuse_space`, `alloc_objects`, `cpu`.
    pub kind: String,
    /// The unit: `bytes`, `count`, `nanoseconds`.
    pub unit: String,
}

impl ValueType {
    /// `ValueType::new("inuse_space", "bytes")`.
    pub fn new(kind: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { kind: kind.into(), unit: unit.into() }
    }
}

/// The mean distance between samples: one sample for every `value` of `value_type`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// What is sampled: `space`/`bytes` for heap profiles, `cpu`/`nanoseconds` for CPU profiles.
    pub value_type: ValueType,
    /// The mean distance, in that unit.
    pub value: i64,
}

/// An object file, mapped into the profiled process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mapping {
    /// First address of the mapping in the process (inclusive).
    pub start: u64,
    /// End of the mapping in the process (exclusive); 0 when unknown.
    pub limit: u64,
    /// Offset in the file that `start` maps.
    pub file_offset: u64,
    /// Path of the file as the process saw it.
    pub file: StrId,
    /// Build id in lower-case hex, or empty.
    pub build_id: StrId,
    /// Whether names, file names, line numbers and inlined frames have been resolved for this mapping.
    pub symbols: MappingSymbols,
}

/// What has been resolved for the addresses of a mapping (the `has_*` flags of profile.proto).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MappingSymbols {
    /// Function names.
    pub functions: bool,
    /// Source file names.
    pub filenames: bool,
    /// Line numbers.
    pub line_numbers: bool,
    /// Inlined frames.
    pub inline_frames: bool,
}

impl MappingSymbols {
    /// Everything was resolved.
    pub const ALL: Self = Self { functions: true, filenames: true, line_numbers: true, inline_frames: true };
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Function {
    /// Demangled name, as shown.
    pub name: StrId,
    /// Symbol name as the linker knows it, or empty. Never equal to a demangled `name`.
    pub system_name: StrId,
    /// Source file, or empty.
    pub file: StrId,
    /// Line the function starts at, or 0.
    pub start_line: i64,
}

/// A place in the source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Line {
    /// The function.
    pub function: FunctionId,
    /// Line number, or 0.
    pub line: i64,
}

/// A code address with what is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location<'a> {
    /// The object file that holds the address.
    pub mapping: Option<MappingId>,
    /// Address in the process, ready for a look-up; 0 when the source had none (folded stacks).
    pub address: u64,
    /// Innermost inlined function first. Empty while not symbolized.
    pub lines: &'a [Line],
}

/// A value of a label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LabelValue {
    /// A text.
    Str(StrId),
    /// A number with a unit; the unit may be empty.
    Num(i64, StrId),
}

/// A key with a value, on a sample.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Label {
    /// The key.
    pub key: StrId,
    /// The value.
    pub value: LabelValue,
}

/// A sample: a stack, labels, and one value a sample type.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The call stack.
    pub stack: StackId,
    /// The labels.
    pub labels: LabelSetId,
    /// As many as [`Profile::sample_types`], in that order. Negative only in differences.
    pub values: &'a [i64],
}

/// Something that was dropped, truncated or skipped while the profile was made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Loss {
    /// What: `live_table_full`, `truncated_stacks`. Lower-case words joined by `_`.
    pub what: String,
    /// How many.
    pub count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct LocationRow {
    pub(crate) mapping: Option<MappingId>,
    pub(crate) address: u64,
    /// Position in the table of line lists.
    pub(crate) lines: u32,
}

/// Descriptive data of a profile, apart from its tables.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// Which sample type a viewer shows first, as an index.
    pub default_sample_type: Option<usize>,
    /// Mean distance between samples.
    pub period: Option<Period>,
    /// When the profile was taken (end of the window), nanoseconds since the Unix epoch.
    pub time_unix_ns: Option<i64>,
    /// Length of the window the values cover, nanoseconds.
    pub duration_ns: Option<i64>,
    /// Free-form remarks. Viewers hide those that start with `#`.
    pub comments: Vec<String>,
    /// Where the profile type is explained.
    pub doc_url: String,
    /// What was lost on the way, sorted by name.
    pub losses: Vec<Loss>,
}

/// A profile. See the module for its invariants.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) sample_types: Vec<ValueType>,
    pub(super) meta: Meta,
    pub(super) strings: Strings,
    pub(super) mappings: Values<Mapping>,
    pub(super) functions: Values<Function>,
    pub(super) line_lists: Slices<Line>,
    pub(super) locations: Values<LocationRow>,
    pub(super) stacks: Slices<LocationId>,
    pub(super) label_sets: Slices<Label>,
    /// Columns: the stack, label set and values (row by row) of each sample.
    pub(super) sample_keys: Vec<(StackId, LabelSetId)>,
    pub(super) sample_values: Vec<i64>,
}

impl Profile {
    /// What the values count, in order.
    pub fn sample_types(&self) -> &[ValueType] {
        &self.sample_types
    }

    /// The index of the sample type of this kind (`inuse_space`).
    pub fn sample_type_index(&self, kind: &str) -> Option<usize> {
        self.sample_types.iter().position(|t| t.kind == kind)
    }

    /// Period, time, comments, losses.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Changes the descriptive data. A default sample type that does not exist is dropped.
    pub fn annotate(&mut self, change: impl FnOnce(&mut Meta)) {
        change(&mut self.meta);
        self.meta.losses.sort();
        self.meta.default_sample_type =
            self.meta.default_sample_type.filter(|t| *t < self.sample_types.len());
    }

    /// The sample type a viewer shows first: the stated default, else the last one, as pprof does.
    pub fn default_sample_type(&self) -> usize {
        self.meta.default_sample_type.unwrap_or(self.sample_types.len().saturating_sub(1))
    }

    /// The text of a string.
    #[inline]
    pub fn str(&self, id: StrId) -> &str {
        self.strings.get(id.index())
    }

    /// The id of a text, if the profile has it.
    pub fn find_str(&self, s: &str) -> Option<StrId> {
        self.strings.find(s).map(StrId::from_index)
    }

    /// How many strings there are.
    pub fn string_count(&self) -> usize {
        self.strings.len()
    }

    /// All mappings, in the order of their ids.
    pub fn mappings(&self) -> &[Mapping] {
        self.mappings.as_slice()
    }

    /// A mapping.
    #[inline]
    pub fn mapping(&self, id: MappingId) -> &Mapping {
        &self.mappings.as_slice()[id.index()]
    }

    /// All functions, in the order of their ids.
    pub fn functions(&self) -> &[Function] {
        self.functions.as_slice()
    }

    /// A function.
    #[inline]
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions.as_slice()[id.index()]
    }

    /// How many locations there are.
    pub fn location_count(&self) -> usize {
        self.locations.as_slice().len()
    }

    /// The ids of all locations.
    pub fn location_ids(&self) -> impl ExactSizeIterator<Item = LocationId> + use<> {
        (0..self.location_count()).map(LocationId::from_index)
    }

    /// A location.
    #[inline]
    pub fn location(&self, id: LocationId) -> Location<'_> {
        let row = &self.locations.as_slice()[id.index()];
        Location {
            mapping: row.mapping,
            address: row.address,
            lines: self.line_lists.get(row.lines as usize),
        }
    }

    /// How many stacks there are, the empty one included.
    pub fn stack_count(&self) -> usize {
        self.stacks.len()
    }

    /// The locations of a stack, leaf first.
    #[inline]
    pub fn stack(&self, id: StackId) -> &[LocationId] {
        self.stacks.get(id.index())
    }

    /// How many label sets there are, the empty one included.
    pub fn label_set_count(&self) -> usize {
        self.label_sets.len()
    }

    /// The labels of a set, sorted by key id.
    #[inline]
    pub fn label_set(&self, id: LabelSetId) -> &[Label] {
        self.label_sets.get(id.index())
    }

    /// How many samples there are.
    pub fn sample_count(&self) -> usize {
        self.sample_keys.len()
    }

    /// The samples, in the order they were added.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = Sample<'_>> {
        let width = self.sample_types.len();
        self.sample_keys.iter().enumerate().map(move |(i, &(stack, labels))| Sample {
            stack,
            labels,
            values: &self.sample_values[i * width..(i + 1) * width],
        })
    }

    /// The sum of a column, saturating. `type_index` must be below `sample_types().len()`.
    pub fn total(&self, type_index: usize) -> i64 {
        self.samples().fold(0i64, |sum, s| sum.saturating_add(s.values[type_index]))
    }
}
