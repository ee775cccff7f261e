//! Random profiles, made through the builder, and random messages.

use diag::profile::{
    Function, Label, LabelValue, Line, Loss, Mapping, MappingSymbols, Period, Profile, ProfileBuilder, StrId,
    ValueType,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::proto;

/// Few distinct texts, so that they meet; some that a codec may stumble over.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "main", "<alloc::vec::Vec<T> as core::iter::FromIterator<T>>::from_iter", "a;b", "/usr/lib/libc.so.6",
            "inuse_space", "bytes", "größe", "# hash", "x y 12", "",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), Just(i64::MAX), Just(i64::MIN), -1000i64..1000, any::<i64>()]
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1u64..4, 0x5555_0000_0000u64..0x5555_0000_0010, Just(u64::MAX)]
}

/// A location: mapping, address, and lines as (function, line).
type LocationPlan = (Option<usize>, u64, Vec<(usize, i64)>);
/// Locations, labels as (key, text or number, unit), values.
type SamplePlan = (Vec<usize>, Vec<(String, Result<String, i64>, String)>, Vec<i64>);

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    types: Vec<(String, String)>,
    mappings: Vec<((u64, u64, u64), String, String, [bool; 4])>,
    functions: Vec<(String, String, String, i64)>,
    locations: Vec<LocationPlan>,
    samples: Vec<SamplePlan>,
    meta: (Option<usize>, Option<(String, String, i64)>, i64, i64, Vec<String>, String, Vec<(String, u64)>),
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    (1usize..5, 0usize..4, 1usize..6, 0usize..8).prop_flat_map(|(types, mappings, functions, locations)| {
        let location = (
            prop::option::of(0..mappings.max(1)).prop_map(move |m| m.filter(|_| mappings > 0)),
            address(),
            vec((0..functions, number()), 0..3),
        );
        let value = prop_oneof![text().prop_map(Ok), number().prop_map(Err)];
        let stack = vec(0..locations.max(1), 0..6).prop_map(move |s| if locations == 0 { vec![] } else { s });
        let sample = (stack, vec((text(), value, text()), 0..3), vec(number(), types));
        let meta = (
            prop::option::of(0..types),
            prop::option::of((text(), text(), number())),
            number(),
            number(),
            vec(text(), 0..3),
            text(),
            vec(("[a-z_]{1,8}", any::<u64>()), 0..3),
        );
        (
            vec((text(), text()), types),
            vec(((address(), address(), address()), text(), text(), any::<[bool; 4]>()), mappings),
            vec((text(), text(), text(), number()), functions),
            vec(location, locations),
            vec(sample, 0..8),
            meta,
        )
            .prop_map(|(types, mappings, functions, locations, samples, meta)| Plan {
                types,
                mappings,
                functions,
                locations,
                samples,
                meta,
            })
    })
}

impl Plan {
    /// The profile, made by the builder.
    pub(crate) fn profile(&self) -> Profile {
        let types = self.types.iter().map(|(k, u)| ValueType::new(k, u)).collect();
        let mut b = ProfileBuilder::new(types);
        let mappings: Vec<_> = self
            .mappings
            .iter()
            .map(|&((start, limit, file_offset), ref file, ref build_id, [f, n, l, i])| {
                let (file, build_id) = (b.str(file), b.str(build_id));
                let symbols =
                    MappingSymbols { functions: f, filenames: n, line_numbers: l, inline_frames: i };
                b.mapping(Mapping { start, limit, file_offset, file, build_id, symbols })
            })
            .collect();
        let functions: Vec<_> = self
            .functions
            .iter()
            .map(|(name, system_name, file, start_line)| {
                let (name, system_name, file) = (b.str(name), b.str(system_name), b.str(file));
                // The model allows both; a file says each thing once.
                let name = if name == StrId::EMPTY { system_name } else { name };
                let system_name = if system_name == name { StrId::EMPTY } else { system_name };
                b.function(Function { name, system_name, file, start_line: *start_line })
            })
            .collect();
        let locations: Vec<_> = self
            .locations
            .iter()
            .map(|(mapping, address, lines)| {
                let lines: Vec<Line> =
                    lines.iter().map(|&(f, line)| Line { function: functions[f], line }).collect();
                b.location(mapping.map(|m| mappings[m]), *address, &lines)
            })
            .collect();
        for (stack, labels, values) in &self.samples {
            let stack: Vec<_> = stack.iter().map(|&l| locations[l]).collect();
            let labels: Vec<Label> = labels
                .iter()
                .map(|(key, value, unit)| {
                    let key = b.str(key);
                    let value = match value {
                        Ok(text) => LabelValue::Str(b.str(text)),
                        Err(n) => LabelValue::Num(*n, b.str(unit)),
                    };
                    Label { key, value }
                })
                .collect();
            let (stack, labels) = (b.stack(&stack), b.labels(&labels));
            b.sample(stack, labels, values);
        }
        let (default, period, time, duration, comments, doc_url, losses) = self.meta.clone();
        let meta = b.meta_mut();
        // By kind, a file can only name the first of several types, and none without a kind.
        meta.default_sample_type = default
            .filter(|&d| !self.types[d].0.is_empty())
            .and_then(|d| self.types.iter().position(|t| t.0 == self.types[d].0));
        meta.period =
            period.map(|(kind, unit, value)| Period { value_type: ValueType::new(kind, unit), value });
        meta.time_unix_ns = Some(time).filter(|&t| t != 0);
        meta.duration_ns = Some(duration).filter(|&t| t != 0);
        meta.comments = comments;
        meta.doc_url = doc_url;
        let mut seen = std::collections::BTreeMap::new();
        for (what, count) in losses {
            seen.insert(what, count);
        }
        meta.losses = seen.into_iter().map(|(what, count)| Loss { what, count }).collect();
        b.finish().expect("a valid plan")
    }

    /// The same as a message, with ids made by `id` from positions.
    pub(crate) fn message(&self, id: impl Fn(usize) -> u64) -> proto::Profile {
        let mut table = vec![String::new()];
        let mut s = |text: &str| -> i64 {
            let at = table.iter().position(|t| t == text);
            at.unwrap_or_else(|| {
                table.push(text.to_owned());
                table.len() - 1
            }) as i64
        };
        let (default, period, time, duration, comments, doc_url, _) = &self.meta;
        let mut message = proto::Profile {
            sample_type: self
                .types
                .iter()
                .map(|(k, u)| proto::ValueType { kind: s(k), unit: s(u) })
                .collect(),
            time_nanos: *time,
            duration_nanos: *duration,
            period_type: period.as_ref().map(|(k, u, _)| proto::ValueType { kind: s(k), unit: s(u) }),
            period: period.as_ref().map_or(0, |p| p.2),
            comment: comments.iter().map(|c| s(c)).collect(),
            default_sample_type: default.map_or(0, |d| s(&self.types[d].0)),
            doc_url: s(doc_url),
            ..Default::default()
        };
        for (i, &((start, limit, offset), ref file, ref build, flags)) in self.mappings.iter().enumerate() {
            message.mapping.push(proto::Mapping {
                id: id(i),
                memory_start: start,
                memory_limit: limit,
                file_offset: offset,
                filename: s(file),
                build_id: s(build),
                has_functions: flags[0],
                has_filenames: flags[1],
                has_line_numbers: flags[2],
                has_inline_frames: flags[3],
            });
        }
        for (i, (name, system_name, file, start_line)) in self.functions.iter().enumerate() {
            let name = if name.is_empty() { system_name } else { name };
            message.function.push(proto::Function {
                id: id(i),
                name: s(name),
                system_name: s(system_name),
                filename: s(file),
                start_line: *start_line,
            });
        }
        for (i, (mapping, address, lines)) in self.locations.iter().enumerate() {
            message.location.push(proto::Location {
                id: id(i),
                mapping_id: mapping.map_or(0, &id),
                address: *address,
                line: lines
                    .iter()
                    .map(|&(f, line)| proto::Line { function_id: id(f), line, column: 3 })
                    .collect(),
                is_folded: false,
            });
        }
        for (stack, labels, values) in &self.samples {
            message.sample.push(proto::Sample {
                location_id: stack.iter().map(|&l| id(l)).collect(),
                value: values.clone(),
                label: labels
                    .iter()
                    .map(|(key, value, unit)| match value {
                        Ok(text) => proto::Label { key: s(key), str: s(text), num: 0, num_unit: 0 },
                        Err(n) => proto::Label { key: s(key), str: 0, num: *n, num_unit: s(unit) },
                    })
                    .collect(),
            });
        }
        message.string_table = table;
        message
    }
}
