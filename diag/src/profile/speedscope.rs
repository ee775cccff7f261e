//! Writes speedscope's own JSON, because its import of pprof keeps one sample type and the outermost inlined frames.
//!
//! One "sampled" profile a sample type; all share the table of frames. A frame is a function (name, file, line it starts
//! at), so that the sandwich view adds up the calls of one function from different lines. Inlined functions are frames
//! of their own. Samples are sorted by stack from the root, so that the view "time order" shows the same towers as
//! "left heavy". speedscope refuses negative weights: what shrank in a difference goes into a profile of its own,
//! `inuse_space, shrunk`, with positive numbers. Samples of the value 0 and labels are not written.
//!
//! Source: speedscope's `src/lib/file-format-spec.ts`; units are `bytes`, the four of time, or `none`.

use hashbrown::HashMap;
use serde::Serialize;

use super::frames;
use super::ids::{FunctionId, LocationId};
use super::model::{Profile, ValueType};

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: &'a str,
    exporter: &'static str,
    #[serde(rename = "activeProfileIndex")]
    active_profile_index: usize,
    shared: Shared<'a>,
    profiles: Vec<Sampled<'a>>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<i64>,
}

#[derive(Serialize)]
struct Sampled<'a> {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start_value: u64,
    #[serde(rename = "endValue")]
    end_value: u64,
    samples: Vec<&'a [u32]>,
    weights: Vec<u64>,
}

/// All sample types of a profile, the default one shown first. `name` is the title.
pub fn write(profile: &Profile, name: &str) -> String {
    let mut table =
        Table { profile, frames: Vec::new(), functions: HashMap::new(), addresses: HashMap::new() };
    // Root first, and the value of each sample beside.
    let mut stacks: Vec<(Vec<u32>, &[i64])> =
        profile.samples().map(|s| (table.stack(profile.stack(s.stack)), s.values)).collect();
    stacks.sort();
    let mut profiles = Vec::new();
    let mut active_profile_index = 0;
    for (i, value_type) in profile.sample_types().iter().enumerate() {
        if i == profile.default_sample_type() {
            active_profile_index = profiles.len();
        }
        profiles.push(sampled(value_type, "", &stacks, |values| values.get(i).copied()));
        let shrunk = |values: &[i64]| values.get(i).map(|v| v.saturating_neg());
        if stacks.iter().any(|(_, values)| shrunk(values).is_some_and(|v| v > 0)) {
            profiles.push(sampled(value_type, ", shrunk", &stacks, shrunk));
        }
    }
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        name,
        exporter: "diag",
        active_profile_index,
        shared: Shared { frames: table.frames },
        profiles,
    };
    // Plain structures with text keys always serialize.
    serde_json::to_string(&file).unwrap_or_default()
}

fn sampled<'a>(
    value_type: &ValueType,
    suffix: &str,
    stacks: &'a [(Vec<u32>, &[i64])],
    value: impl Fn(&[i64]) -> Option<i64>,
) -> Sampled<'a> {
    let mut samples = Vec::new();
    let mut weights = Vec::new();
    for (stack, values) in stacks {
        if let Some(weight) = value(values).and_then(|v| u64::try_from(v).ok()).filter(|&w| w > 0) {
            samples.push(&stack[..]);
            weights.push(weight);
        }
    }
    let end_value = weights.iter().fold(0u64, |sum, w| sum.saturating_add(*w));
    let unit = match value_type.unit.as_str() {
        "bytes" => "bytes",
        "nanoseconds" => "nanoseconds",
        "microseconds" => "microseconds",
        "milliseconds" => "milliseconds",
        "seconds" => "seconds",
        _ => "none",
    };
    let name = format!("{}{suffix}", value_type.kind);
    Sampled { r#type: "sampled", name, unit, start_value: 0, end_value, samples, weights }
}

/// The shared frames, by function, or by location where there is no name.
struct Table<'a> {
    profile: &'a Profile,
    frames: Vec<Frame<'a>>,
    functions: HashMap<FunctionId, u32>,
    addresses: HashMap<LocationId, u32>,
}

impl Table<'_> {
    fn stack(&mut self, leaf_first: &[LocationId]) -> Vec<u32> {
        let profile = self.profile;
        let mut stack = Vec::with_capacity(leaf_first.len());
        for &id in leaf_first.iter().rev() {
            let lines = profile.location(id).lines;
            if lines.is_empty() {
                let frames = &mut self.frames;
                stack.push(*self.addresses.entry(id).or_insert_with(|| {
                    frames.push(Frame {
                        name: frames::address_name(profile, id).into(),
                        file: "",
                        line: None,
                    });
                    frames.len() as u32 - 1
                }));
            }
            for line in lines.iter().rev() {
                let frames = &mut self.frames;
                stack.push(*self.functions.entry(line.function).or_insert_with(|| {
                    let function = profile.function(line.function);
                    frames.push(Frame {
                        name: profile.str(function.name).into(),
                        file: profile.str(function.file),
                        line: Some(function.start_line).filter(|&l| l > 0),
                    });
                    frames.len() as u32 - 1
                }));
            }
        }
        stack
    }
}
