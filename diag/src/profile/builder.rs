//! Makes profiles: interns on add, checks once at the end.

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use std::hash::BuildHasher;

use super::error::ProfileError;
use super::ids::{FunctionId, LabelSetId, LocationId, MappingId, StackId, StrId};
use super::intern::{Slices, Strings, Values};
use super::model::{Function, Label, Line, LocationRow, Mapping, Meta, Profile, ValueType};

/// Collects the parts of a [`Profile`]. Equal parts get equal ids, and samples with the same stack and labels are
/// added up (saturating).
///
/// Ids must come from the same builder; [`finish`](Self::finish) reports those that do not exist.
#[derive(Clone, Debug)]
pub struct ProfileBuilder {
    profile: Profile,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    wrong_width: bool,
    scratch_labels: Vec<Label>,
}

impl ProfileBuilder {
    /// An empty profile with these columns.
    pub fn new(sample_types: Vec<ValueType>) -> Self {
        Self {
            profile: Profile {
                sample_types,
                meta: Meta::default(),
                strings: Strings::new(),
                mappings: Values::new(),
                functions: Values::new(),
                line_lists: Slices::new(),
                locations: Values::new(),
                stacks: Slices::new(),
                label_sets: Slices::new(),
                sample_keys: Vec::new(),
                sample_values: Vec::new(),
            },
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            wrong_width: false,
            scratch_labels: Vec::new(),
        }
    }

    /// Period, time, comments, losses.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.profile.meta
    }

    /// Makes room for this many samples with stacks of their own, of so many frames in all (0 when not known).
    pub(crate) fn reserve_samples(&mut self, count: usize, frames: usize) {
        let keys = &self.profile.sample_keys;
        let hasher = &self.hasher;
        self.index.reserve(count, |&i| hasher.hash_one(keys[i as usize]));
        self.profile.stacks.reserve_index(count);
        self.reserve_new_samples(count, frames);
    }

    /// The same for samples and stacks that are known to be new.
    pub(crate) fn reserve_new_samples(&mut self, count: usize, frames: usize) {
        self.profile.sample_keys.reserve(count);
        self.profile.sample_values.reserve(count.saturating_mul(self.profile.sample_types.len()));
        self.profile.stacks.reserve(count, frames);
    }

    /// The index of the sample type of this kind.
    pub(crate) fn sample_type_index(&self, kind: &str) -> Option<usize> {
        self.profile.sample_type_index(kind)
    }

    /// The id of a text.
    pub fn str(&mut self, s: &str) -> StrId {
        StrId::from_index(self.profile.strings.intern(s))
    }

    /// The id of a mapping.
    pub fn mapping(&mut self, mapping: Mapping) -> MappingId {
        MappingId::from_index(self.profile.mappings.intern(mapping).0)
    }

    /// The id of a function.
    pub fn function(&mut self, function: Function) -> FunctionId {
        FunctionId::from_index(self.profile.functions.intern(function).0)
    }

    /// The id of a location. `lines` run from the innermost inlined function outwards.
    pub fn location(&mut self, mapping: Option<MappingId>, address: u64, lines: &[Line]) -> LocationId {
        let lines = self.profile.line_lists.intern(lines) as u32;
        LocationId::from_index(self.profile.locations.intern(LocationRow { mapping, address, lines }).0)
    }

    /// The id of a stack, leaf first.
    pub fn stack(&mut self, leaf_first: &[LocationId]) -> StackId {
        StackId::from_index(self.profile.stacks.intern(leaf_first))
    }

    /// The same for a stack that the caller knows to be new, without looking.
    #[cfg(all(feature = "heap", target_os = "linux"))]
    pub(crate) fn new_stack(&mut self, leaf_first: impl Iterator<Item = LocationId>) -> StackId {
        self.profile.stacks.push(leaf_first).map_or(StackId::EMPTY, StackId::from_index)
    }

    /// The id of a set of labels. Order does not matter; an exact repetition is dropped.
    pub fn labels(&mut self, labels: &[Label]) -> LabelSetId {
        self.scratch_labels.clear();
        self.scratch_labels.extend_from_slice(labels);
        self.scratch_labels.sort_unstable();
        self.scratch_labels.dedup();
        LabelSetId::from_index(self.profile.label_sets.intern(&self.scratch_labels))
    }

    /// Adds a sample, or adds its values to the sample with the same stack and labels.
    pub fn sample(&mut self, stack: StackId, labels: LabelSetId, values: &[i64]) {
        let width = self.profile.sample_types.len();
        if values.len() != width {
            self.wrong_width = true;
            return;
        }
        let keys = &mut self.profile.sample_keys;
        let hash = self.hasher.hash_one((stack, labels));
        let hasher = &self.hasher;
        match self.index.entry(
            hash,
            |&i| keys[i as usize] == (stack, labels),
            |&i| hasher.hash_one(keys[i as usize]),
        ) {
            Entry::Occupied(e) => {
                let at = *e.get() as usize * width;
                for (sum, v) in self.profile.sample_values[at..at + width].iter_mut().zip(values) {
                    *sum = sum.saturating_add(*v);
                }
            }
            Entry::Vacant(e) => {
                e.insert(keys.len() as u32);
                keys.push((stack, labels));
                self.profile.sample_values.extend_from_slice(values);
            }
        }
    }

    /// Adds a sample whose stack and labels no other has, as the caller knows, without looking.
    #[cfg(all(feature = "heap", target_os = "linux"))]
    pub(crate) fn new_sample(&mut self, stack: StackId, labels: LabelSetId, values: &[i64]) {
        self.wrong_width |= values.len() != self.profile.sample_types.len();
        self.profile.sample_keys.push((stack, labels));
        self.profile.sample_values.extend_from_slice(values);
    }

    /// Checks the whole and gives the profile.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`] when an id points nowhere, a sample has the wrong number of values, or a table has
    /// outgrown its 32-bit ids.
    pub fn finish(mut self) -> Result<Profile, ProfileError> {
        if self.wrong_width {
            return Err(invalid("a sample has not as many values as there are sample types"));
        }
        self.profile.meta.losses.sort();
        check(&self.profile)?;
        Ok(self.profile)
    }
}

fn check(p: &Profile) -> Result<(), ProfileError> {
    let limit = u32::MAX as usize;
    if p.strings.text_bytes() >= limit
        || p.stacks.item_count() >= limit
        || p.label_sets.item_count() >= limit
        || p.line_lists.item_count() >= limit
        || p.sample_keys.len() >= limit
    {
        return Err(invalid("a table has more than 4 Gi entries"));
    }
    if p.sample_types.is_empty() {
        return Err(invalid("there is no sample type"));
    }
    if p.meta.default_sample_type.is_some_and(|t| t >= p.sample_types.len()) {
        return Err(invalid("the default sample type does not exist"));
    }
    let str_ok = |s: StrId| s.index() < p.strings.len();
    let all = |ok: bool, what| if ok { Ok(()) } else { Err(invalid(what)) };
    all(
        p.mappings().iter().all(|m| str_ok(m.file) && str_ok(m.build_id)),
        "a mapping names a string that does not exist",
    )?;
    all(
        p.functions().iter().all(|f| str_ok(f.name) && str_ok(f.system_name) && str_ok(f.file)),
        "a function names a string that does not exist",
    )?;
    let (mappings, functions) = (p.mappings().len(), p.functions().len());
    all(
        p.location_ids().map(|id| p.location(id)).all(|l| {
            l.mapping.is_none_or(|m| m.index() < mappings)
                && l.lines.iter().all(|line| line.function.index() < functions)
        }),
        "a location names a mapping or function that does not exist",
    )?;
    let locations = p.location_count();
    all(
        (0..p.stack_count()).all(|s| p.stacks.get(s).iter().all(|l| l.index() < locations)),
        "a stack names a location that does not exist",
    )?;
    all(
        (0..p.label_set_count()).all(|s| {
            p.label_sets.get(s).iter().all(|l| {
                str_ok(l.key)
                    && match l.value {
                        super::LabelValue::Str(s) | super::LabelValue::Num(_, s) => str_ok(s),
                    }
            })
        }),
        "a label names a string that does not exist",
    )?;
    let (stacks, sets) = (p.stack_count(), p.label_set_count());
    all(
        p.sample_keys.iter().all(|(s, l)| s.index() < stacks && l.index() < sets),
        "a sample names a stack or label set that does not exist",
    )
}

fn invalid(what: &'static str) -> ProfileError {
    ProfileError::Invalid { what }
}
