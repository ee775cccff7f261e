//! Small profiles for tests.

use super::{
    Function, Label, LabelSetId, LabelValue, Line, Mapping, MappingId, Profile, ProfileBuilder, StrId,
    ValueType,
};

/// Builds profiles from texts like `main;f;g|inlined`: root first, `|` in front of an inlined frame.
pub(crate) struct Stacks {
    builder: ProfileBuilder,
    mapping: Option<MappingId>,
}

impl Stacks {
    /// `&["inuse_objects/count", "inuse_space/bytes"]`.
    pub(crate) fn new(types: &[&str]) -> Self {
        let types = types.iter().map(|t| {
            let (kind, unit) = t.split_once('/').unwrap();
            ValueType::new(kind, unit)
        });
        Self { builder: ProfileBuilder::new(types.collect()), mapping: None }
    }

    /// Sets time, period and so on.
    pub(crate) fn meta(mut self, set: impl FnOnce(&mut crate::profile::Meta)) -> Self {
        set(self.builder.meta_mut());
        self
    }

    /// Addresses of the stacks that follow (`0x1234`) lie in this module.
    pub(crate) fn module(mut self, start: u64, file: &str, build_id: &str) -> Self {
        let (file, build_id) = (self.builder.str(file), self.builder.str(build_id));
        let mapping = Mapping {
            start,
            limit: start + 0x10_0000,
            file_offset: 0x1000,
            file,
            build_id,
            symbols: Default::default(),
        };
        self.mapping = Some(self.builder.mapping(mapping));
        self
    }

    pub(crate) fn add(self, root_first: &str, values: &[i64]) -> Self {
        self.add_labelled(root_first, &[], values)
    }

    /// Labels whose value is a number get the unit `bytes`.
    pub(crate) fn add_labelled(mut self, root_first: &str, labels: &[(&str, &str)], values: &[i64]) -> Self {
        let b = &mut self.builder;
        let mut stack = Vec::new();
        for place in root_first.split(';').rev().filter(|p| !p.is_empty()) {
            if let Some(hex) = place.strip_prefix("0x") {
                stack.push(b.location(self.mapping, u64::from_str_radix(hex, 16).unwrap(), &[]));
                continue;
            }
            let mut lines = Vec::new();
            for name in place.split('|').rev() {
                let (name, line) =
                    name.rsplit_once(':').filter(|(_, l)| l.parse::<i64>().is_ok()).unwrap_or((name, "0"));
                let (name, file) = (b.str(name), b.str("src/lib.rs"));
                let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 0 });
                lines.push(Line { function, line: line.parse().unwrap() });
            }
            stack.push(b.location(None, 0, &lines));
        }
        let stack = b.stack(&stack);
        let labels: Vec<Label> = labels
            .iter()
            .map(|&(key, value)| {
                let value = match value.parse() {
                    Ok(n) => LabelValue::Num(n, b.str("bytes")),
                    Err(_) => LabelValue::Str(b.str(value)),
                };
                Label { key: b.str(key), value }
            })
            .collect();
        let labels = if labels.is_empty() { LabelSetId::EMPTY } else { b.labels(&labels) };
        b.sample(stack, labels, values);
        self
    }

    pub(crate) fn build(self) -> Profile {
        self.builder.finish().unwrap()
    }
}

/// A profile with the one column `inuse_space/bytes`.
pub(crate) fn named(stacks: &[(&str, i64)]) -> Profile {
    let add = |s: Stacks, &(stack, value): &(&str, i64)| s.add(stack, &[value]);
    stacks.iter().fold(Stacks::new(&["inuse_space/bytes"]), add).build()
}

/// What a profile says, in an order of its own: a text a sample, `root;..;leaf {labels} [values]`.
pub(crate) fn canonical(profile: &Profile) -> Vec<String> {
    let mut rows: Vec<String> = profile
        .samples()
        .map(|sample| {
            let mut frames: Vec<String> = super::frames::leaf_first(profile, sample.stack)
                .map(|at| match (at.line, super::frames::show(profile, at)) {
                    (Some(_), f) => format!("{}@{}:{}", f.function, f.file, f.line),
                    (None, f) => f.function,
                })
                .collect();
            frames.reverse();
            let mut labels: Vec<String> = profile
                .label_set(sample.labels)
                .iter()
                .map(|l| format!("{}={}", profile.str(l.key), super::select::value_text(profile, l.value)))
                .collect();
            labels.sort();
            format!("{} {{{}}} {:?}", frames.join(";"), labels.join(","), sample.values)
        })
        .collect();
    rows.sort();
    rows
}
