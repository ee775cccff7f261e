//! A profile as plain nested values, without ids: what has to survive a codec.

use std::collections::BTreeMap;

use diag::profile::{LabelValue, Profile};

use crate::proto;

/// Stack and labels to values.
pub(crate) type Samples = BTreeMap<(Vec<Frame>, Vec<Label>), Vec<i64>>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Frame {
    pub mapping: Option<Mapping>,
    pub address: u64,
    /// Function and line, innermost first.
    pub lines: Vec<(Function, i64)>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Mapping {
    pub range: (u64, u64, u64),
    pub file: String,
    pub build_id: String,
    pub flags: [bool; 4],
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Function {
    pub name: String,
    pub system_name: String,
    pub file: String,
    pub start_line: i64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Label {
    Str(String, String),
    Num(String, i64, String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Canon {
    pub(crate) types: Vec<(String, String)>,
    pub default_type: Option<String>,
    pub period: Option<(String, String, i64)>,
    pub time: (i64, i64),
    pub comments: Vec<String>,
    pub losses: Vec<(String, u64)>,
    pub doc_url: String,
    pub mappings: Vec<Mapping>,
    pub samples: Samples,
}

pub(crate) fn of(p: &Profile) -> Canon {
    let s = |id| p.str(id).to_owned();
    let mapping = |m: &diag::profile::Mapping| Mapping {
        range: (m.start, m.limit, m.file_offset),
        file: s(m.file),
        build_id: s(m.build_id),
        flags: [m.symbols.functions, m.symbols.filenames, m.symbols.line_numbers, m.symbols.inline_frames],
    };
    let mut samples = Samples::new();
    for sample in p.samples() {
        let stack = p
            .stack(sample.stack)
            .iter()
            .map(|&id| {
                let l = p.location(id);
                let lines = l.lines.iter().map(|line| {
                    let f = p.function(line.function);
                    let function = Function {
                        name: s(f.name),
                        system_name: s(f.system_name),
                        file: s(f.file),
                        start_line: f.start_line,
                    };
                    (function, line.line)
                });
                Frame {
                    mapping: l.mapping.map(|m| mapping(p.mapping(m))),
                    address: l.address,
                    lines: lines.collect(),
                }
            })
            .collect();
        let labels = p.label_set(sample.labels).iter().map(|l| match l.value {
            LabelValue::Str(v) => Label::Str(s(l.key), s(v)),
            LabelValue::Num(n, unit) => Label::Num(s(l.key), n, s(unit)),
        });
        add(&mut samples, stack, labels.collect(), sample.values);
    }
    let meta = p.meta();
    Canon {
        types: p.sample_types().iter().map(|t| (t.kind.clone(), t.unit.clone())).collect(),
        default_type: meta.default_sample_type.map(|i| p.sample_types()[i].kind.clone()),
        period: meta.period.clone().map(|p| (p.value_type.kind, p.value_type.unit, p.value)),
        time: (meta.time_unix_ns.unwrap_or(0), meta.duration_ns.unwrap_or(0)),
        comments: meta.comments.clone(),
        losses: meta.losses.iter().map(|l| (l.what.clone(), l.count)).collect(),
        doc_url: meta.doc_url.clone(),
        mappings: p.mappings().iter().map(mapping).collect(),
        samples,
    }
}

fn add(samples: &mut Samples, stack: Vec<Frame>, mut labels: Vec<Label>, values: &[i64]) {
    labels.sort();
    labels.dedup();
    let sums = samples.entry((stack, labels)).or_insert_with(|| vec![0; values.len()]);
    for (sum, v) in sums.iter_mut().zip(values) {
        *sum = sum.saturating_add(*v);
    }
}

/// What a valid message says. `address` undoes what the writer did to addresses.
pub(crate) fn of_proto(p: &proto::Profile, address: impl Fn(u64) -> u64) -> Canon {
    let s = |i: i64| p.string_table.get(i as usize).cloned().unwrap_or_default();
    let mapping = |m: &proto::Mapping| Mapping {
        range: (m.memory_start, m.memory_limit, m.file_offset),
        file: s(m.filename),
        build_id: s(m.build_id),
        flags: [m.has_functions, m.has_filenames, m.has_line_numbers, m.has_inline_frames],
    };
    let mut samples = Samples::new();
    for sample in &p.sample {
        let stack = sample.location_id.iter().map(|&id| {
            let l = p.location.iter().find(|l| l.id == id).expect("location");
            let lines = l.line.iter().map(|line| {
                let f = p.function.iter().find(|f| f.id == line.function_id).expect("function");
                let (name, system_name) = (s(f.name), s(f.system_name));
                let system_name = if system_name == name { String::new() } else { system_name };
                (Function { name, system_name, file: s(f.filename), start_line: f.start_line }, line.line)
            });
            Frame {
                mapping: (l.mapping_id != 0)
                    .then(|| mapping(p.mapping.iter().find(|m| m.id == l.mapping_id).expect("mapping"))),
                address: address(l.address),
                lines: lines.collect(),
            }
        });
        let labels = sample.label.iter().map(|l| match l.str {
            0 => Label::Num(s(l.key), l.num, s(l.num_unit)),
            text => Label::Str(s(l.key), s(text)),
        });
        add(&mut samples, stack.collect(), labels.collect(), &sample.value);
    }
    let all: Vec<String> = p.comment.iter().map(|&c| s(c)).collect();
    let loss = |c: &String| {
        let (what, count) = c.strip_prefix("# diag.loss ")?.split_once('=')?;
        Some((what.to_owned(), count.parse().ok()?))
    };
    Canon {
        types: p.sample_type.iter().map(|t| (s(t.kind), s(t.unit))).collect(),
        default_type: Some(s(p.default_sample_type))
            .filter(|d| !d.is_empty() && p.sample_type.iter().any(|t| s(t.kind) == *d)),
        period: match &p.period_type {
            Some(t) => Some((s(t.kind), s(t.unit), p.period)),
            None => (p.period != 0).then(|| (String::new(), String::new(), p.period)),
        },
        time: (p.time_nanos, p.duration_nanos),
        comments: all.iter().filter(|c| loss(c).is_none()).cloned().collect(),
        losses: all.iter().filter_map(loss).collect(),
        doc_url: s(p.doc_url),
        mappings: p.mapping.iter().map(mapping).collect(),
        samples,
    }
}
