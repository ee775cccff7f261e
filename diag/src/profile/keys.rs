//! Frames of one or several profiles in one dense id space: equal content has the same key.
//!
//! Everything that compares, sums or nests frames works on these keys, with vectors instead of hash maps. Functions
//! match by name and file. Frames without names match by module (build id, else path) and offset in the file, so
//! that two runs of one binary match although they were loaded at different addresses.
//!
//! Cost: one hash look-up a line of a location; nothing a sample.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::frames::{self, FrameAt, FrameClass, ShownFrame};
use super::{Location, LocationId, MappingId, Profile, StackId, StrId};

/// What counts as one frame.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Grouping {
    /// Functions, by name and file.
    #[default]
    Function,
    /// Source files.
    File,
    /// Crates (C++ namespaces, Go packages), or object files where a name tells none.
    Module,
    /// Functions and line numbers.
    Line,
    /// Code addresses.
    Address,
    /// Values of the label with this key: every stack becomes one frame.
    Label(String),
}

/// The content of a key. Strings are numbered across profiles, 0 is empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Content {
    Name { name: u32, file: u32, line: i64 },
    Offset { module: u32, offset: u64, line: i64 },
}

/// Where a key was first seen, to name it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    profile: u32,
    at: FrameAt,
}

/// The keys of the frames of some profiles.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    profiles: Vec<&'a Profile>,
    grouping: Grouping,
    seen: Vec<Seen>,
    /// Whose code a key is; `None` for frames without a name.
    classes: Vec<Option<FrameClass>>,
    /// For each profile the keys of its locations, innermost first.
    locations: Vec<LocationKeys>,
}

#[derive(Debug)]
struct LocationKeys {
    /// By location: its key, or [`MANY`].
    single: Vec<u32>,
    ends: Vec<u32>,
    keys: Vec<u32>,
}

/// The location has more than one key.
const MANY: u32 = u32::MAX;

impl LocationKeys {
    /// Most locations have one key; those cost one look-up.
    #[inline]
    fn of(&self, location: usize) -> &[u32] {
        let single = &self.single[location..location + 1];
        if single != [MANY] {
            return single;
        }
        let start = if location == 0 { 0 } else { self.ends[location - 1] as usize };
        &self.keys[start..self.ends[location] as usize]
    }
}

impl<'a> Keys<'a> {
    /// Numbers the frames of `profiles`. [`Grouping::Label`] is not about frames: it is taken as `Function`.
    pub(crate) fn new(profiles: &[&'a Profile], grouping: &Grouping) -> Self {
        let grouping = match grouping {
            Grouping::Label(_) => Grouping::Function,
            other => other.clone(),
        };
        let mut numbering = Numbering::default();
        let mut keys = Self {
            profiles: profiles.to_vec(),
            grouping,
            seen: Vec::new(),
            classes: Vec::new(),
            locations: Vec::new(),
        };
        for (number, profile) in profiles.iter().enumerate() {
            let row = keys.number(&mut numbering, number, profile);
            keys.locations.push(row);
        }
        keys
    }

    fn number(&mut self, numbering: &mut Numbering, number: usize, profile: &Profile) -> LocationKeys {
        let classes = frames::FrameClasses::new(profile);
        let mut view = View { profile, numbering, strings: vec![u32::MAX; profile.string_count()] };
        let count = profile.location_count();
        let mut row = LocationKeys {
            single: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            keys: Vec::with_capacity(count),
        };
        for id in profile.location_ids() {
            let location = profile.location(id);
            let from = row.keys.len();
            for i in 0..location.lines.len().max(1) {
                let at = FrameAt { location: id, line: (i < location.lines.len()).then_some(i) };
                let content = view.content(&self.grouping, &location, at);
                let key = view.numbering.key(content);
                if key as usize == self.seen.len() {
                    self.seen.push(Seen { profile: number as u32, at });
                    let class = location.lines.get(i).map(|l| classes.of(l.function));
                    self.classes.push(class);
                }
                // Coarse groups: a run of inlined frames of one file or crate is one frame.
                let repeats = row.keys.len() > from && row.keys.last() == Some(&key);
                if !(repeats && self.is_coarse()) {
                    row.keys.push(key);
                }
            }
            row.ends.push(row.keys.len() as u32);
            row.single.push(match row.keys.get(from..) {
                Some(&[key]) => key,
                _ => MANY,
            });
        }
        row
    }

    /// Whether a run of equal frames in a stack is one frame: files and modules, but not functions, where it is a
    /// recursion.
    pub(crate) fn is_coarse(&self) -> bool {
        matches!(self.grouping, Grouping::File | Grouping::Module)
    }

    /// How many keys there are: they run from 0.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// The class of the first frame seen with this key; meaningful for functions, lines and addresses. Frames
    /// without a name count as the user's.
    #[inline]
    pub(crate) fn class(&self, key: u32) -> FrameClass {
        self.classes[key as usize].unwrap_or(FrameClass::User)
    }

    /// The key of a stack's site; see [`frames::FrameClasses::site`]. `None` for the empty stack.
    pub(crate) fn site(&self, profile: usize, stack: StackId) -> Option<u32> {
        frames::pick_site(self.stack(profile, stack).map(|key| (key, self.classes[key as usize])))
    }

    /// The keys of a location, innermost first.
    #[inline]
    pub(crate) fn location(&self, profile: usize, location: LocationId) -> &[u32] {
        self.locations[profile].of(location.index())
    }

    /// The keys of a stack, leaf first, inlined frames expanded.
    #[inline]
    pub(crate) fn stack(&self, profile: usize, stack: StackId) -> impl Iterator<Item = u32> + '_ {
        let row = &self.locations[profile];
        self.profiles[profile].stack(stack).iter().flat_map(move |l| row.of(l.index()).iter().copied())
    }

    /// Puts the keys of a stack into `out`, leaf first, runs of one coarse group once.
    pub(crate) fn stack_into(&self, profile: usize, stack: StackId, out: &mut Vec<u32>) {
        out.clear();
        let row = &self.locations[profile];
        for location in self.profiles[profile].stack(stack) {
            out.extend_from_slice(row.of(location.index()));
        }
        if self.is_coarse() {
            out.dedup();
        }
    }

    /// The name of a key: what [`Grouping`] says.
    pub(crate) fn name(&self, key: u32) -> String {
        let (profile, at) = self.seen_at(key);
        match self.grouping {
            Grouping::File => match frames::show(profile, at).file {
                file if file.is_empty() => "(unknown file)".to_owned(),
                file => file,
            },
            Grouping::Module => module_name(profile, at),
            _ => frames::name(profile, at),
        }
    }

    /// A key with its place in the source. The line is 0 for functions, the file empty for modules.
    pub(crate) fn show(&self, key: u32) -> ShownFrame {
        let (profile, at) = self.seen_at(key);
        let shown = frames::show(profile, at);
        match self.grouping {
            Grouping::Line | Grouping::Address => shown,
            Grouping::Function | Grouping::Label(_) => ShownFrame { line: 0, ..shown },
            Grouping::File => {
                ShownFrame { function: self.name(key), line: 0, inlined: false, file: shown.file }
            }
            Grouping::Module => {
                ShownFrame { function: self.name(key), file: String::new(), line: 0, inlined: false }
            }
        }
    }

    /// A frame with this key.
    pub(crate) fn seen_at(&self, key: u32) -> (&'a Profile, FrameAt) {
        let seen = self.seen[key as usize];
        (self.profiles[seen.profile as usize], seen.at)
    }
}

/// The crate of a frame's function, or its object file, or `(unknown)`.
pub(crate) fn module_name(profile: &Profile, at: FrameAt) -> String {
    let function = frames::function_of(profile, at);
    let of_name = function
        .and_then(|f| frames::module_of_name(profile.str(profile.function(f).name)).map(str::to_owned));
    of_name.unwrap_or_else(|| {
        let mapping = profile.location(at.location).mapping.map(|m| profile.mapping(m));
        match mapping.map(|m| profile.str(m.file)) {
            Some(path) if !path.is_empty() => path.rsplit('/').next().unwrap_or(path).to_owned(),
            _ => "(unknown)".to_owned(),
        }
    })
}

/// What identifies an object file across processes: the build id, else the path.
pub(crate) fn module_identity(profile: &Profile, mapping: MappingId) -> StrId {
    let mapping = profile.mapping(mapping);
    if mapping.build_id == StrId::EMPTY { mapping.file } else { mapping.build_id }
}

/// Offset of an address in the file its module was mapped from.
pub(crate) fn offset_in_file(profile: &Profile, location: &Location<'_>) -> u64 {
    match location.mapping.map(|m| profile.mapping(m)) {
        Some(m) => location.address.wrapping_sub(m.start).wrapping_add(m.file_offset),
        None => location.address,
    }
}

/// Strings and contents over all profiles.
#[derive(Default)]
struct Numbering {
    strings: hashbrown::HashMap<Box<str>, u32>,
    contents: Vec<Content>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Numbering {
    fn string(&mut self, s: &str) -> u32 {
        if s.is_empty() {
            return 0;
        }
        if let Some(&n) = self.strings.get(s) {
            return n;
        }
        let n = self.strings.len() as u32 + 1;
        self.strings.insert(s.into(), n);
        n
    }

    fn key(&mut self, content: Content) -> u32 {
        let (contents, hasher) = (&self.contents, &self.hasher);
        let entry = self.index.entry(
            hasher.hash_one(content),
            |&i| contents[i as usize] == content,
            |&i| hasher.hash_one(contents[i as usize]),
        );
        match entry {
            Entry::Occupied(e) => *e.get(),
            Entry::Vacant(e) => {
                let key = self.contents.len() as u32;
                e.insert(key);
                self.contents.push(content);
                key
            }
        }
    }
}

/// One profile's view of the numbering.
struct View<'p, 'n> {
    profile: &'p Profile,
    numbering: &'n mut Numbering,
    /// Number of each string of the profile, once it was asked for.
    strings: Vec<u32>,
}

impl View<'_, '_> {
    fn string(&mut self, id: StrId) -> u32 {
        if self.strings[id.index()] == u32::MAX {
            self.strings[id.index()] = self.numbering.string(self.profile.str(id));
        }
        self.strings[id.index()]
    }

    fn content(&mut self, grouping: &Grouping, location: &Location<'_>, at: FrameAt) -> Content {
        let line = at.line.and_then(|i| location.lines.get(i));
        if *grouping == Grouping::Module {
            let name = self.numbering.string(&module_name(self.profile, at));
            return Content::Name { name, file: 0, line: 0 };
        }
        let by_address = *grouping == Grouping::Address && location.address != 0;
        match line {
            Some(line) if !by_address => {
                let function = self.profile.function(line.function);
                let file = self.string(function.file);
                match grouping {
                    Grouping::File => Content::Name { name: 0, file, line: 0 },
                    Grouping::Function | Grouping::Label(_) | Grouping::Module => {
                        Content::Name { name: self.string(function.name), file, line: 0 }
                    }
                    Grouping::Line | Grouping::Address => {
                        Content::Name { name: self.string(function.name), file, line: line.line }
                    }
                }
            }
            _ if *grouping == Grouping::File => Content::Name { name: 0, file: 0, line: 0 },
            _ => {
                let module = location.mapping.map_or(0, |m| self.string(module_identity(self.profile, m)));
                let line = at.line.map_or(-1, |i| i as i64);
                Content::Offset { module, offset: offset_in_file(self.profile, location), line }
            }
        }
    }
}
