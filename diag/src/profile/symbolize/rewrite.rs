//! Copies a profile, with names for its addresses and without the frames at the leaves that only measured.

use hashbrown::{HashMap, HashSet};

use super::{Frame, Module, SymbolSource};
use crate::profile::frames::{is_allocator, is_lock};
use crate::profile::{
    Function, FunctionId, Label, LabelSetId, LabelValue, Line, LocationId, Mapping, MappingId,
    MappingSymbols, Profile, ProfileBuilder, ProfileError, StackId, StrId,
};

/// See [`super::symbolize`].
pub(super) fn rewrite(profile: &Profile, source: &mut dyn SymbolSource) -> Result<Profile, ProfileError> {
    let mut tables = Tables::new(profile);
    let (found, symbols) = resolve(&mut tables, source);
    let mappings = tables.mappings(&symbols);
    let lines = tables.lines(found);
    let locations = Locations::new(profile, mappings, lines, &tables.is_own);
    tables.samples(locations);
    *tables.builder.meta_mut() = profile.meta().clone();
    tables.builder.finish()
}

/// Which frames say nothing at the leaf: where values are about memory the allocator's, where they are about locks those of the locks.
/// In CPU profiles all say something.
fn own_at_leaf(profile: &Profile) -> fn(&str) -> bool {
    let types = profile.sample_types();
    if types.iter().any(|t| t.unit == "bytes") {
        is_allocator
    } else if types.iter().any(|t| t.kind == "contentions") {
        is_lock
    } else {
        |_| false
    }
}

/// The lines found for locations of the old profile, in ids of the new one.
type Found = HashMap<LocationId, Vec<Line>>;

/// Asks the source for every location that has an address and no lines, one mapping after the other.
fn resolve(tables: &mut Tables<'_>, source: &mut dyn SymbolSource) -> (Found, Vec<MappingSymbols>) {
    let from = tables.from;
    let mut found = Found::new();
    let mut symbols = Vec::with_capacity(from.mappings().len());
    let mut wanted = wanted(from);
    for (index, mapping) in from.mappings().iter().enumerate() {
        let mut flags = mapping.symbols;
        let list = wanted.get_mut(index).map(std::mem::take).unwrap_or_default();
        let mut offsets: Vec<u64> = list.iter().map(|(offset, _)| *offset).collect();
        offsets.dedup();
        if !offsets.is_empty() {
            let module = Module {
                file: from.str(mapping.file),
                build_id: from.str(mapping.build_id),
                is_main: index == 0,
                file_offset: mapping.file_offset,
                size_bytes: mapping.limit.saturating_sub(mapping.start),
            };
            source.resolve(&module, &offsets, &mut |at, frames| {
                let Some(&offset) = offsets.get(at) else { return };
                let lines: Vec<Line> = frames.iter().map(|f| tables.line(f)).collect();
                if lines.is_empty() {
                    return;
                }
                flags.functions |= frames.iter().any(|f| !f.name.is_empty());
                flags.filenames |= frames.iter().any(|f| !f.file.is_empty());
                flags.line_numbers |= frames.iter().any(|f| f.line != 0);
                // Inlined functions and lines have one source: where there are lines, both were looked at.
                flags.inline_frames |= flags.line_numbers;
                let first = list.partition_point(|(o, _)| *o < offset);
                for (_, id) in list.iter().skip(first).take_while(|(o, _)| *o == offset) {
                    found.insert(*id, lines.clone());
                }
            });
        }
        symbols.push(flags);
    }
    (found, symbols)
}

/// For each mapping, the offsets in its file to look up, ascending, with their locations.
fn wanted(from: &Profile) -> Vec<Vec<(u64, LocationId)>> {
    let mut wanted = vec![Vec::new(); from.mappings().len()];
    for id in from.location_ids() {
        let location = from.location(id);
        let Some(mapping_id) = location.mapping else { continue };
        if location.address == 0 || !location.lines.is_empty() {
            continue;
        }
        let mapping = from.mapping(mapping_id);
        // An address outside its mapping has no offset in the file.
        if mapping.limit != 0 && location.address >= mapping.limit {
            continue;
        }
        let offset =
            location.address.checked_sub(mapping.start).and_then(|o| o.checked_add(mapping.file_offset));
        if let (Some(offset), Some(list)) = (offset, wanted.get_mut(mapping_id.index())) {
            list.push((offset, id));
        }
    }
    for list in &mut wanted {
        list.sort_unstable();
    }
    wanted
}

/// The new profile in the making, and the way from old ids to new ones.
struct Tables<'p> {
    from: &'p Profile,
    builder: ProfileBuilder,
    strings: Vec<Option<StrId>>,
    own_at_leaf: fn(&str) -> bool,
    /// For each function of the new profile.
    is_own: Vec<bool>,
}

impl<'p> Tables<'p> {
    fn new(from: &'p Profile) -> Self {
        Self {
            from,
            builder: ProfileBuilder::new(from.sample_types().to_vec()),
            strings: vec![None; from.string_count()],
            own_at_leaf: own_at_leaf(from),
            is_own: Vec::new(),
        }
    }

    fn str(&mut self, id: StrId) -> StrId {
        if let Some(Some(known)) = self.strings.get(id.index()) {
            return *known;
        }
        let new = self.builder.str(self.from.str(id));
        if let Some(slot) = self.strings.get_mut(id.index()) {
            *slot = Some(new);
        }
        new
    }

    fn function(&mut self, function: Function, name: &str) -> FunctionId {
        let id = self.builder.function(function);
        if id.index() == self.is_own.len() {
            self.is_own.push((self.own_at_leaf)(name));
        }
        id
    }

    fn line(&mut self, frame: &Frame<'_>) -> Line {
        let system_name = if frame.system_name == frame.name { "" } else { frame.system_name };
        let function = Function {
            name: self.builder.str(frame.name),
            system_name: self.builder.str(system_name),
            file: self.builder.str(frame.file),
            start_line: i64::from(frame.start_line),
        };
        Line { function: self.function(function, frame.name), line: i64::from(frame.line) }
    }

    fn mappings(&mut self, symbols: &[MappingSymbols]) -> Vec<MappingId> {
        let from = self.from;
        let mut ids = Vec::with_capacity(symbols.len());
        for (mapping, &symbols) in from.mappings().iter().zip(symbols) {
            let (file, build_id) = (self.str(mapping.file), self.str(mapping.build_id));
            ids.push(self.builder.mapping(Mapping { file, build_id, symbols, ..*mapping }));
        }
        ids
    }

    /// For each location of the old profile: the lines found, or those it had.
    fn lines(&mut self, mut found: Found) -> Vec<Vec<Line>> {
        let from = self.from;
        let mut functions = Vec::with_capacity(from.functions().len());
        for function in from.functions() {
            let (name, system_name, file) =
                (self.str(function.name), self.str(function.system_name), self.str(function.file));
            let new = Function { name, system_name, file, start_line: function.start_line };
            functions.push(self.function(new, from.str(function.name)));
        }
        let kept = |id| {
            let lines = from.location(id).lines.iter();
            lines.filter_map(|l| Some(Line { function: *functions.get(l.function.index())?, ..*l })).collect()
        };
        from.location_ids().map(|id| found.remove(&id).unwrap_or_else(|| kept(id))).collect()
    }

    fn labels(&mut self, labels: &[Label]) -> LabelSetId {
        let mut new = Vec::with_capacity(labels.len());
        for label in labels {
            let key = self.str(label.key);
            let value = match label.value {
                LabelValue::Str(text) => LabelValue::Str(self.str(text)),
                LabelValue::Num(number, unit) => LabelValue::Num(number, self.str(unit)),
            };
            new.push(Label { key, value });
        }
        self.builder.labels(&new)
    }

    fn samples(&mut self, mut locations: Locations<'p>) {
        let from = self.from;
        let mut stacks: Vec<Option<StackId>> = vec![None; from.stack_count()];
        let mut sets: Vec<Option<LabelSetId>> = vec![None; from.label_set_count()];
        for sample in from.samples() {
            let known = stacks.get(sample.stack.index()).copied().flatten();
            let stack = known.unwrap_or_else(|| locations.stack(&mut self.builder, sample.stack));
            if let Some(slot) = stacks.get_mut(sample.stack.index()) {
                *slot = Some(stack);
            }
            let known = sets.get(sample.labels.index()).copied().flatten();
            let labels = known.unwrap_or_else(|| self.labels(from.label_set(sample.labels)));
            if let Some(slot) = sets.get_mut(sample.labels.index()) {
                *slot = Some(labels);
            }
            self.builder.sample(stack, labels, sample.values);
        }
    }
}

/// The locations of the new profile, made when a stack first needs them.
struct Locations<'p> {
    from: &'p Profile,
    mappings: Vec<MappingId>,
    /// For each old location: its new lines.
    lines: Vec<Vec<Line>>,
    /// For each old location: how many of its innermost lines are to be taken off at a leaf.
    own_lines: Vec<usize>,
    /// For each old location: the new one with all lines, and the one without those.
    whole: Vec<Option<LocationId>>,
    rest: Vec<Option<LocationId>>,
    /// Old locations that some stack needs with all lines.
    needed_whole: Vec<bool>,
    /// Addresses in use.
    taken: HashSet<(Option<MappingId>, u64)>,
}

impl<'p> Locations<'p> {
    fn new(from: &'p Profile, mappings: Vec<MappingId>, lines: Vec<Vec<Line>>, is_own: &[bool]) -> Self {
        let own = |l: &&Line| is_own.get(l.function.index()).copied().unwrap_or(false);
        let own_lines = lines.iter().map(|l| l.iter().take_while(own).count()).collect();
        let count = lines.len();
        let mut locations = Self {
            from,
            taken: from.location_ids().map(|id| from.location(id)).map(|l| (l.mapping, l.address)).collect(),
            mappings,
            lines,
            own_lines,
            whole: vec![None; count],
            rest: vec![None; count],
            needed_whole: vec![false; count],
        };
        for sample in from.samples() {
            let (_, whole) = locations.split(from.stack(sample.stack));
            for location in whole {
                if let Some(needed) = locations.needed_whole.get_mut(location.index()) {
                    *needed = true;
                }
            }
        }
        locations
    }

    /// A stack without what is to be taken off its leaf: the location of which only the outer lines count, and the locations
    /// that count whole.
    fn split(&self, stack: &'p [LocationId]) -> (Option<LocationId>, &'p [LocationId]) {
        for (at, id) in stack.iter().enumerate() {
            let lines = self.lines.get(id.index()).map_or(0, Vec::len);
            let skip = self.own_lines.get(id.index()).copied().unwrap_or(0);
            if skip == 0 {
                return (None, stack.get(at..).unwrap_or_default());
            }
            if skip < lines {
                return (Some(*id), stack.get(at + 1..).unwrap_or_default());
            }
        }
        // Nothing but that: better than nothing.
        (None, stack)
    }

    fn stack(&mut self, builder: &mut ProfileBuilder, stack: StackId) -> StackId {
        let (leaf, whole) = self.split(self.from.stack(stack));
        let mut ids = Vec::with_capacity(whole.len() + 1);
        ids.extend(leaf.map(|id| self.rest(builder, id)));
        for &id in whole {
            ids.push(self.whole(builder, id));
        }
        builder.stack(&ids)
    }

    fn mapping_of(&self, id: LocationId) -> Option<MappingId> {
        self.from.location(id).mapping.and_then(|m| self.mappings.get(m.index()).copied())
    }

    fn whole(&mut self, builder: &mut ProfileBuilder, id: LocationId) -> LocationId {
        if let Some(Some(known)) = self.whole.get(id.index()) {
            return *known;
        }
        let lines = self.lines.get(id.index()).map_or(&[][..], Vec::as_slice);
        let new = builder.location(self.mapping_of(id), self.from.location(id).address, lines);
        if let Some(slot) = self.whole.get_mut(id.index()) {
            *slot = Some(new);
        }
        new
    }

    fn rest(&mut self, builder: &mut ProfileBuilder, id: LocationId) -> LocationId {
        if let Some(Some(known)) = self.rest.get(id.index()) {
            return *known;
        }
        let old = self.from.location(id);
        let mut address = old.address;
        if address != 0 && self.needed_whole.get(id.index()).copied().unwrap_or(false) {
            // Both forms are in use. A call instruction is longer than a byte, so that one byte down is still the same
            // place.
            while address > 1 && !self.taken.insert((old.mapping, address)) {
                address -= 1;
            }
        }
        let skip = self.own_lines.get(id.index()).copied().unwrap_or(0);
        let lines = self.lines.get(id.index()).and_then(|l| l.get(skip..)).unwrap_or_default();
        let new = builder.location(self.mapping_of(id), address, lines);
        if let Some(slot) = self.rest.get_mut(id.index()) {
            *slot = Some(new);
        }
        new
    }
}
