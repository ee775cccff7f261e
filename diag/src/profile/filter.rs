//! Parts of a profile: samples by their frames and labels, and frames by their names.
//!
//! Samples are chosen first (focus, ignore, labels), on all frames; then frames are taken out of what is left (show,
//! hide, runtime). A name matches when the function, its file, or for a frame without a name its module matches.
//! Taking frames out never loses a value: a stack that loses its last frame keeps its samples, as an empty stack.

use std::str::FromStr;

use super::copy::Copier;
use super::frames::{self, FrameAt, FrameClass, FrameClasses};
use super::select::value_text;
use super::{LabelSetId, LabelValue, LocationId, Pattern, Profile, ProfileBuilder, ProfileError, StackId};

/// What to keep. The default keeps all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Keep samples with a frame that matches.
    pub focus: Option<Pattern>,
    /// Drop samples with a frame that matches.
    pub ignore: Option<Pattern>,
    /// Take out frames that match.
    pub hide: Option<Pattern>,
    /// Take out frames that do not match.
    pub show: Option<Pattern>,
    /// Take out frames of runtimes and of the allocator. A stack of nothing else keeps its site's frame.
    pub hide_runtime: bool,
    /// Keep samples that match all of these.
    pub label_focus: Vec<LabelMatch>,
    /// Drop samples that match any of these.
    pub label_ignore: Vec<LabelMatch>,
}

/// A condition on a label: `age=10-60m|1-6h` (regular expression on the text) or `bytes=1024:4096` (a range, either
/// end may be missing, both inclusive).
#[derive(Clone, Debug)]
pub struct LabelMatch {
    key: String,
    value: ValueMatch,
}

#[derive(Clone, Debug)]
enum ValueMatch {
    Text(Pattern),
    Range(i64, i64),
}

impl FromStr for LabelMatch {
    type Err = ProfileError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (key, value) = s.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            ProfileError::BadPattern { pattern: s.to_owned(), why: "write key=value".to_owned() }
        })?;
        let end = |text: &str, missing| if text.is_empty() { Some(missing) } else { text.parse().ok() };
        let range = value
            .split_once(':')
            .filter(|_| value != ":")
            .and_then(|(from, to)| end(from, i64::MIN).zip(end(to, i64::MAX)));
        let value = match range {
            Some((from, to)) => ValueMatch::Range(from, to),
            None => ValueMatch::Text(Pattern::new(value)?),
        };
        Ok(Self { key: key.to_owned(), value })
    }
}

impl LabelMatch {
    fn matches(&self, profile: &Profile, set: LabelSetId) -> bool {
        profile.label_set(set).iter().any(|label| {
            profile.str(label.key) == self.key
                && match (&self.value, label.value) {
                    (ValueMatch::Text(pattern), value) => pattern.matches(&value_text(profile, value)),
                    (&ValueMatch::Range(from, to), LabelValue::Num(n, _)) => (from..=to).contains(&n),
                    (ValueMatch::Range(..), LabelValue::Str(_)) => false,
                }
        })
    }
}

impl Filter {
    /// Whether everything is kept.
    pub fn is_empty(&self) -> bool {
        let patterns = [&self.focus, &self.ignore, &self.hide, &self.show];
        patterns.iter().all(|p| p.is_none())
            && !self.hide_runtime
            && self.label_focus.is_empty()
            && self.label_ignore.is_empty()
    }

    /// The profile with only what is kept.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`] when the result outgrows a table.
    pub fn apply(&self, profile: &Profile) -> Result<Profile, ProfileError> {
        if self.is_empty() {
            return Ok(profile.clone());
        }
        let mut builder = ProfileBuilder::new(profile.sample_types().to_vec());
        *builder.meta_mut() = profile.meta().clone();
        let mut copier = Copier::alone(profile, &mut builder);
        let wanted_stack = self.wanted_stacks(profile);
        let wanted_set: Vec<bool> = (0..profile.label_set_count())
            .map(LabelSetId::from_index)
            .map(|set| {
                self.label_focus.iter().all(|m| m.matches(profile, set))
                    && !self.label_ignore.iter().any(|m| m.matches(profile, set))
            })
            .collect();
        let mut cut = Cut::new(self, profile);
        let mut cut_stacks: Vec<Option<StackId>> = vec![None; profile.stack_count()];
        for sample in profile.samples() {
            if !wanted_stack[sample.stack.index()] || !wanted_set[sample.labels.index()] {
                continue;
            }
            let stack = match (&mut cut, cut_stacks[sample.stack.index()]) {
                (None, _) => copier.stack(&mut builder, sample.stack),
                (Some(_), Some(stack)) => stack,
                (Some(cut), None) => {
                    let stack = cut.stack(sample.stack, &mut copier, &mut builder);
                    cut_stacks[sample.stack.index()] = Some(stack);
                    stack
                }
            };
            let labels = copier.labels(&mut builder, sample.labels);
            builder.sample(stack, labels, sample.values);
        }
        builder.finish()
    }

    fn wanted_stacks(&self, profile: &Profile) -> Vec<bool> {
        let any_line = |pattern: &Pattern| -> Vec<bool> {
            let names = Names::new(profile, pattern);
            profile.location_ids().map(|id| names.any(id)).collect()
        };
        let focus = self.focus.as_ref().map(any_line);
        let ignore = self.ignore.as_ref().map(any_line);
        let has =
            |stack: StackId, matching: &[bool]| profile.stack(stack).iter().any(|l| matching[l.index()]);
        (0..profile.stack_count())
            .map(StackId::from_index)
            .map(|stack| {
                focus.as_ref().is_none_or(|m| has(stack, m))
                    && !ignore.as_ref().is_some_and(|m| has(stack, m))
            })
            .collect()
    }
}

/// Which frames a pattern matches, worked out once a function.
struct Names<'p> {
    profile: &'p Profile,
    functions: Vec<bool>,
    nameless: Vec<bool>,
}

impl<'p> Names<'p> {
    fn new(profile: &'p Profile, pattern: &Pattern) -> Self {
        let function = |f: &super::Function| {
            pattern.matches(profile.str(f.name)) || pattern.matches(profile.str(f.file))
        };
        let nameless = |id: LocationId| {
            let location = profile.location(id);
            let module = location.mapping.map(|m| profile.str(profile.mapping(m).file));
            location.lines.is_empty()
                && (module.is_some_and(|m| pattern.matches(m))
                    || pattern.matches(&frames::address_name(profile, id)))
        };
        Self {
            profile,
            functions: profile.functions().iter().map(function).collect(),
            nameless: profile.location_ids().map(nameless).collect(),
        }
    }

    fn matches(&self, at: FrameAt) -> bool {
        match frames::function_of(self.profile, at) {
            Some(function) => self.functions[function.index()],
            None => self.nameless[at.location.index()],
        }
    }

    fn any(&self, location: LocationId) -> bool {
        let lines = self.profile.location(location).lines;
        self.nameless[location.index()] || lines.iter().any(|l| self.functions[l.function.index()])
    }
}

/// Takes frames out of stacks. What stays of a location is worked out once, but for stacks of nothing but runtime.
struct Cut<'p> {
    profile: &'p Profile,
    hide: Option<Names<'p>>,
    show: Option<Names<'p>>,
    hide_runtime: bool,
    classes: FrameClasses,
    locations: Vec<Kept>,
    kept: Vec<LocationId>,
}

/// What stays of a location.
#[derive(Clone, Copy)]
enum Kept {
    NotYetKnown,
    Nothing,
    As(LocationId),
}

impl<'p> Cut<'p> {
    fn new(filter: &Filter, profile: &'p Profile) -> Option<Self> {
        let names = |p: &Option<Pattern>| p.as_ref().map(|p| Names::new(profile, p));
        (filter.hide.is_some() || filter.show.is_some() || filter.hide_runtime).then(|| Self {
            profile,
            hide: names(&filter.hide),
            show: names(&filter.show),
            hide_runtime: filter.hide_runtime,
            classes: FrameClasses::new(profile),
            locations: vec![Kept::NotYetKnown; profile.location_count()],
            kept: Vec::new(),
        })
    }

    fn keeps_name(&self, at: FrameAt) -> bool {
        !self.hide.as_ref().is_some_and(|n| n.matches(at)) && self.show.as_ref().is_none_or(|n| n.matches(at))
    }

    fn class(&self, at: FrameAt) -> Option<FrameClass> {
        frames::function_of(self.profile, at).map(|f| self.classes.of(f))
    }

    fn keeps(&self, at: FrameAt) -> bool {
        self.keeps_name(at) && (!self.hide_runtime || self.class(at).is_none_or(|class| !class.is_hidden()))
    }

    fn location(&self, location: LocationId, copier: &mut Copier<'p>, builder: &mut ProfileBuilder) -> Kept {
        let lines = self.profile.location(location).lines.len();
        let keeps = |i: usize| self.keeps(FrameAt { location, line: (lines > 0).then_some(i) });
        if (0..lines.max(1)).any(keeps) {
            Kept::As(copier.location_with(builder, location, keeps))
        } else {
            Kept::Nothing
        }
    }

    fn stack(&mut self, stack: StackId, copier: &mut Copier<'p>, builder: &mut ProfileBuilder) -> StackId {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        for &location in self.profile.stack(stack) {
            if let Kept::NotYetKnown = self.locations[location.index()] {
                self.locations[location.index()] = self.location(location, copier, builder);
            }
            if let Kept::As(location) = self.locations[location.index()] {
                kept.push(location);
            }
        }
        if kept.is_empty() && self.hide_runtime {
            let named = frames::leaf_first(self.profile, stack).filter(|&at| self.keeps_name(at));
            if let Some(site) = frames::pick_site(named.map(|at| (at, self.class(at)))) {
                kept.push(copier.location_with(builder, site.location, |i| site.line == Some(i)));
            }
        }
        let stack = builder.stack(&kept);
        self.kept = kept;
        stack
    }
}

#[cfg(test)]
mod tests;
