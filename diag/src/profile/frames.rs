//! What a frame is: the allocator's own, the runtime's, or the user's code; and the site of a stack.
//!
//! Decided on demangled names, so that it works on every profile, whoever made it, and on source files where they are
//! known: names tell the runtime, files tell the crates that came from a registry. Rust names in both manglings
//! (`alloc::vec::Vec<T>::push`, `<alloc::vec::Vec<T>>::push`, with or without crate disambiguators), C, C++ and Go.
//! It is a heuristic with a list; what it does not know is the user's.
//!
//! Allocator frames may be removed from the leaf end of a stack only: further out the same name is information
//! (a `realloc` that called back, a container that wraps an allocator).

mod names;

use serde::Serialize;

use super::{FunctionId, LocationId, Profile, StackId};

pub use names::{classify, is_allocator, is_lock, is_runtime, module_of_name};

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameClass {
    /// The allocator, its Rust shims, and this crate's hooks.
    Allocator,
    /// Standard libraries, async runtimes, web frameworks, thread and process start.
    Runtime,
    /// Crates and packages from a registry or a Git checkout.
    Dependency,
    /// Everything else.
    User,
}

impl FrameClass {
    /// Whether `hide_runtime` hides it: the allocator and the runtime.
    pub fn is_hidden(self) -> bool {
        matches!(self, Self::Allocator | Self::Runtime)
    }
}

/// The class of a function by its demangled name and source file; either may be empty.
pub fn classify_in(name: &str, file: &str) -> FrameClass {
    let lies_in = |parts: &[&str]| parts.iter().any(|part| file.contains(part));
    match classify(name) {
        FrameClass::User if lies_in(&["/rustc/", "/lib/rustlib/src/"]) => FrameClass::Runtime,
        FrameClass::User if lies_in(&["/.cargo/registry/", "/.cargo/git/", "/vendor/", "/pkg/mod/"]) => {
            FrameClass::Dependency
        }
        class => class,
    }
}

/// One frame of a location: an inlined function, or the function the machine code belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct FrameAt {
    /// The location.
    pub location: LocationId,
    /// Position in the location's lines, innermost first; `None` when the location has no names.
    pub line: Option<usize>,
}

/// A frame for people and scripts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ShownFrame {
    /// Demangled name; `module+0x1f2e` (offset in the file) without symbols.
    pub function: String,
    /// Source file, or empty.
    pub file: String,
    /// Line number, or 0.
    pub line: i64,
    /// Whether it was inlined into the frame after it.
    pub inlined: bool,
}

/// The classes of all functions of a profile, worked out once.
#[derive(Clone, Debug)]
pub struct FrameClasses(Vec<FrameClass>);

impl FrameClasses {
    /// Classifies every function: O(functions).
    pub fn new(profile: &Profile) -> Self {
        let class = |f: &super::Function| classify_in(profile.str(f.name), profile.str(f.file));
        Self(profile.functions().iter().map(class).collect())
    }

    /// The class of a function of that profile.
    #[inline]
    pub fn of(&self, function: FunctionId) -> FrameClass {
        self.0.get(function.index()).copied().unwrap_or(FrameClass::User)
    }

    /// The site of a stack: the first frame of the user's own code from the leaf, else of a dependency, else the first
    /// frame that is not the allocator's (one without a name included), else the leaf. `None` for the empty stack.
    pub fn site(&self, profile: &Profile, stack: StackId) -> Option<FrameAt> {
        pick_site(leaf_first(profile, stack).map(|at| (at, function_of(profile, at).map(|f| self.of(f)))))
    }

    /// How many frames at the leaf end are the allocator's; never all of them.
    pub fn allocator_frames_at_leaf(&self, profile: &Profile, stack: StackId) -> usize {
        let total = leaf_first(profile, stack).count();
        let own = leaf_first(profile, stack)
            .take_while(|&at| function_of(profile, at).is_some_and(|f| self.of(f) == FrameClass::Allocator))
            .count();
        if own == total { 0 } else { own }
    }

    /// The frames of a stack from the allocation (or the sampled code) outwards, without the allocator's own at the
    /// leaf.
    pub fn shown(&self, profile: &Profile, stack: StackId) -> Vec<ShownFrame> {
        leaf_first(profile, stack)
            .skip(self.allocator_frames_at_leaf(profile, stack))
            .map(|at| show(profile, at))
            .collect()
    }
}

/// The rule behind [`FrameClasses::site`], over frames from the leaf with their class (`None` without a name).
pub(crate) fn pick_site<T: Copy>(leaf_first: impl Iterator<Item = (T, Option<FrameClass>)>) -> Option<T> {
    let (mut leaf, mut fallback, mut dependency) = (None, None, None);
    for (frame, class) in leaf_first {
        leaf = leaf.or(Some(frame));
        match class {
            Some(FrameClass::User) => return Some(frame),
            Some(FrameClass::Dependency) => dependency = dependency.or(Some(frame)),
            Some(FrameClass::Allocator) => {}
            Some(FrameClass::Runtime) | None => fallback = fallback.or(Some(frame)),
        }
    }
    dependency.or(fallback).or(leaf)
}

/// The frames of a stack, inlined ones expanded, leaf first.
pub fn leaf_first(profile: &Profile, stack: StackId) -> impl Iterator<Item = FrameAt> + '_ {
    profile.stack(stack).iter().flat_map(move |&location| {
        let named = profile.location(location).lines.len();
        (0..named.max(1)).map(move |i| FrameAt { location, line: (named > 0).then_some(i) })
    })
}

/// The name of a stack's site; empty for the empty stack. See [`FrameClasses::site`] for many stacks.
pub fn site(profile: &Profile, stack: StackId) -> String {
    FrameClasses::new(profile).site(profile, stack).map(|at| name(profile, at)).unwrap_or_default()
}

/// The function of a frame, if its name is known.
pub fn function_of(profile: &Profile, at: FrameAt) -> Option<FunctionId> {
    profile.location(at.location).lines.get(at.line?).map(|l| l.function)
}

/// The name of a frame: the demangled function, or the address in its module.
pub fn name(profile: &Profile, at: FrameAt) -> String {
    match function_of(profile, at) {
        Some(function) => profile.str(profile.function(function).name).to_owned(),
        None => address_name(profile, at.location),
    }
}

/// `module+0x1f2e`: the offset in the file a module was mapped from; `0x7f...` when there is no module.
pub fn address_name(profile: &Profile, location: LocationId) -> String {
    let location = profile.location(location);
    match location.mapping.map(|id| profile.mapping(id)) {
        Some(m) if m.file.index() != 0 => {
            let path = profile.str(m.file);
            let file = path.rsplit('/').next().unwrap_or(path);
            format!("{file}+{:#x}", location.address.wrapping_sub(m.start).wrapping_add(m.file_offset))
        }
        _ => format!("{:#x}", location.address),
    }
}

/// A frame with its place in the source.
pub fn show(profile: &Profile, at: FrameAt) -> ShownFrame {
    let lines = profile.location(at.location).lines;
    match at.line.and_then(|i| lines.get(i)) {
        Some(line) => {
            let function = profile.function(line.function);
            ShownFrame {
                function: profile.str(function.name).to_owned(),
                file: profile.str(function.file).to_owned(),
                line: line.line,
                inlined: at.line.is_some_and(|i| i + 1 < lines.len()),
            }
        }
        None => ShownFrame {
            function: address_name(profile, at.location),
            file: String::new(),
            line: 0,
            inlined: false,
        },
    }
}

#[cfg(test)]
mod tests;
