//! Copies parts of profiles into a builder: the base of merge, filter and regroup.
//!
//! Only what samples use is copied, each entry once. Modules of several profiles are laid over each other: the same
//! file part (build id or path, and offset) becomes one mapping, and addresses move with it.

use hashbrown::HashMap;

use super::keys::module_identity;
use super::{
    Function, FunctionId, Label, LabelSetId, LabelValue, Line, LocationId, Mapping, MappingId,
    MappingSymbols, Profile, ProfileBuilder, StackId, StrId,
};

/// A part of an object file, across profiles.
#[derive(PartialEq, Eq, Hash)]
struct PartOfFile {
    identity: String,
    file_offset: u64,
    /// Tells mappings without a name apart; 0 for others.
    start: u64,
}

struct Module {
    start: u64,
    size: u64,
    file_offset: u64,
    file: String,
    build_id: String,
    symbols: MappingSymbols,
}

/// The mappings of some profiles as they are in the result.
pub(crate) struct Modules {
    merged: Vec<Module>,
    /// By profile and mapping: the merged module.
    of: Vec<Vec<usize>>,
}

impl Modules {
    /// Lays the modules of `profiles` over each other. The result does not depend on their order, apart from the
    /// order of the mappings: the first profile's come first.
    pub(crate) fn new(profiles: &[&Profile]) -> Self {
        let mut index: HashMap<PartOfFile, usize> = HashMap::new();
        let mut modules = Self { merged: Vec::new(), of: Vec::new() };
        for profile in profiles {
            let mut of = Vec::new();
            for (i, mapping) in profile.mappings().iter().enumerate() {
                let identity = profile.str(module_identity(profile, MappingId::from_index(i))).to_owned();
                let start = if identity.is_empty() { mapping.start } else { 0 };
                let part = PartOfFile { identity, file_offset: mapping.file_offset, start };
                let at = *index.entry(part).or_insert_with(|| {
                    modules.merged.push(Module::of(profile, mapping));
                    modules.merged.len() - 1
                });
                if let Some(module) = modules.merged.get_mut(at) {
                    module.cover(profile, mapping);
                }
                of.push(at);
            }
            modules.of.push(of);
        }
        modules
    }
}

impl Module {
    fn of(profile: &Profile, mapping: &Mapping) -> Self {
        Self {
            start: mapping.start,
            size: mapping.limit.saturating_sub(mapping.start),
            file_offset: mapping.file_offset,
            file: profile.str(mapping.file).to_owned(),
            build_id: profile.str(mapping.build_id).to_owned(),
            symbols: mapping.symbols,
        }
    }

    fn cover(&mut self, profile: &Profile, mapping: &Mapping) {
        self.start = self.start.min(mapping.start);
        self.size = self.size.max(mapping.limit.saturating_sub(mapping.start));
        let file = profile.str(mapping.file);
        if !file.is_empty() && (self.file.is_empty() || file < self.file.as_str()) {
            self.file = file.to_owned();
        }
        // Resolved means: for all of it.
        self.symbols.functions &= mapping.symbols.functions;
        self.symbols.filenames &= mapping.symbols.filenames;
        self.symbols.line_numbers &= mapping.symbols.line_numbers;
        self.symbols.inline_frames &= mapping.symbols.inline_frames;
    }
}

/// Copies one profile's entries into a builder, remembering what it has copied.
pub(crate) struct Copier<'p> {
    profile: &'p Profile,
    /// Id and distance to the new address, by mapping.
    mappings: Vec<(MappingId, u64)>,
    strings: Vec<Option<StrId>>,
    functions: Vec<Option<FunctionId>>,
    locations: Vec<Option<LocationId>>,
    stacks: Vec<Option<StackId>>,
    label_sets: Vec<Option<LabelSetId>>,
    lines: Vec<Line>,
}

impl<'p> Copier<'p> {
    /// For one profile alone.
    pub(crate) fn alone(profile: &'p Profile, builder: &mut ProfileBuilder) -> Self {
        let mut copier = Self::empty(profile);
        for mapping in profile.mappings() {
            let (file, build_id) =
                (copier.string(builder, mapping.file), copier.string(builder, mapping.build_id));
            copier.mappings.push((builder.mapping(Mapping { file, build_id, ..*mapping }), 0));
        }
        copier
    }

    /// For each of the profiles that `modules` was made of.
    pub(crate) fn together(
        profiles: &[&'p Profile],
        modules: &Modules,
        builder: &mut ProfileBuilder,
    ) -> Vec<Self> {
        let ids: Vec<(MappingId, u64)> = modules
            .merged
            .iter()
            .map(|m| {
                let (file, build_id) = (builder.str(&m.file), builder.str(&m.build_id));
                let limit = if m.size == 0 { 0 } else { m.start.saturating_add(m.size) };
                let mapping = Mapping {
                    start: m.start,
                    limit,
                    file_offset: m.file_offset,
                    file,
                    build_id,
                    symbols: m.symbols,
                };
                (builder.mapping(mapping), m.start)
            })
            .collect();
        let copier = |(profile, of): (&&'p Profile, &Vec<usize>)| {
            let moved = profile.mappings().iter().zip(of).filter_map(|(mapping, &at)| {
                let &(id, start) = ids.get(at)?;
                Some((id, start.wrapping_sub(mapping.start)))
            });
            Self { mappings: moved.collect(), ..Self::empty(profile) }
        };
        profiles.iter().zip(&modules.of).map(copier).collect()
    }

    fn empty(profile: &'p Profile) -> Self {
        Self {
            profile,
            mappings: Vec::new(),
            strings: vec![None; profile.string_count()],
            functions: vec![None; profile.functions().len()],
            locations: vec![None; profile.location_count()],
            stacks: vec![None; profile.stack_count()],
            label_sets: vec![None; profile.label_set_count()],
            lines: Vec::new(),
        }
    }

    pub(crate) fn string(&mut self, builder: &mut ProfileBuilder, id: StrId) -> StrId {
        *self.strings[id.index()].get_or_insert_with(|| builder.str(self.profile.str(id)))
    }

    pub(crate) fn function(&mut self, builder: &mut ProfileBuilder, id: FunctionId) -> FunctionId {
        if let Some(copied) = self.functions[id.index()] {
            return copied;
        }
        let function = *self.profile.function(id);
        let copy = Function {
            name: self.string(builder, function.name),
            system_name: self.string(builder, function.system_name),
            file: self.string(builder, function.file),
            start_line: function.start_line,
        };
        let copied = builder.function(copy);
        self.functions[id.index()] = Some(copied);
        copied
    }

    /// A location with those of its lines that `keep` wants; by position, innermost first. Not remembered.
    pub(crate) fn location_with(
        &mut self,
        builder: &mut ProfileBuilder,
        id: LocationId,
        keep: impl Fn(usize) -> bool,
    ) -> LocationId {
        let location = self.profile.location(id);
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for (_, line) in location.lines.iter().enumerate().filter(|(i, _)| keep(*i)) {
            lines.push(Line { function: self.function(builder, line.function), line: line.line });
        }
        let mapping = location.mapping.map(|m| self.mappings[m.index()]);
        let address = location.address.wrapping_add(mapping.map_or(0, |m| m.1));
        let copied = builder.location(mapping.map(|m| m.0), address, &lines);
        self.lines = lines;
        copied
    }

    pub(crate) fn location(&mut self, builder: &mut ProfileBuilder, id: LocationId) -> LocationId {
        if let Some(copied) = self.locations[id.index()] {
            return copied;
        }
        let copied = self.location_with(builder, id, |_| true);
        self.locations[id.index()] = Some(copied);
        copied
    }

    pub(crate) fn stack(&mut self, builder: &mut ProfileBuilder, id: StackId) -> StackId {
        if let Some(copied) = self.stacks[id.index()] {
            return copied;
        }
        let locations: Vec<LocationId> =
            self.profile.stack(id).iter().map(|&l| self.location(builder, l)).collect();
        let copied = builder.stack(&locations);
        self.stacks[id.index()] = Some(copied);
        copied
    }

    pub(crate) fn labels(&mut self, builder: &mut ProfileBuilder, id: LabelSetId) -> LabelSetId {
        if let Some(copied) = self.label_sets[id.index()] {
            return copied;
        }
        let labels: Vec<Label> = self
            .profile
            .label_set(id)
            .iter()
            .map(|label| Label {
                key: self.string(builder, label.key),
                value: match label.value {
                    LabelValue::Str(s) => LabelValue::Str(self.string(builder, s)),
                    LabelValue::Num(n, unit) => LabelValue::Num(n, self.string(builder, unit)),
                },
            })
            .collect();
        let copied = builder.labels(&labels);
        self.label_sets[id.index()] = Some(copied);
        copied
    }
}
