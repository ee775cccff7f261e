//! From a recording to a [`Profile`].

use std::collections::HashMap;

use super::calls::{Calls, Row, State};
use super::session::Recorded;
use super::{CpuError, Mode};
use crate::code::add_mappings;
use crate::context::ContextLabels;
use crate::profile::{
    Function, Label, LabelSetId, LabelValue, Line, LocationId, Loss, MappingId, Period, Profile,
    ProfileBuilder, StackId, StrId, ValueType,
};
use crate::sys::code::Code;

/// In place of a stack: samples whose stack found no place, and time that no sample stands for.
const NO_ROOM: &str = "[stack dropped: call tree full]";
const NOT_SAMPLED: &str = "[not sampled: threads that ended too soon or block SIGPROF]";
const NO_ANSWER: &str = "[no answer: SIGPROF is blocked, or an uninterruptible wait]";

/// Makes the profile: `samples/count`, and `cpu/nanoseconds` or `wall/nanoseconds`.
pub(super) fn build(recorded: Recorded, mode: Mode) -> Result<Profile, CpuError> {
    let kind = match mode {
        Mode::Cpu => "cpu",
        Mode::Wall => "wall",
    };
    let types = vec![ValueType::new("samples", "count"), ValueType::new(kind, "nanoseconds")];
    let mut rows = Rows::new(ProfileBuilder::new(types), mode);
    for (row, sum) in recorded.calls.rows() {
        let stack = rows.stack(&recorded.calls, row.node);
        let labels = rows.labels(recorded.names.get(row.thread), row);
        let ns = recorded.weights.ns(row.thread, sum.ns);
        rows.builder.sample(stack, labels, &[sum.samples as i64, ns]);
    }
    if recorded.weights.unsampled_ns > 0 {
        let stack = rows.words(NOT_SAMPLED);
        rows.builder.sample(stack, LabelSetId::EMPTY, &[0, recorded.weights.unsampled_ns as i64]);
    }
    let meta = rows.builder.meta_mut();
    meta.default_sample_type = Some(1);
    meta.period = Some(Period {
        value_type: ValueType::new(kind, "nanoseconds"),
        value: i64::try_from(recorded.period_ns).unwrap_or(i64::MAX),
    });
    meta.time_unix_ns = i64::try_from(recorded.ended_unix_ns).ok();
    meta.duration_ns = i64::try_from(recorded.length.as_nanos()).ok();
    let source = serde_json::to_value(recorded.choice.source).unwrap_or_default();
    meta.comments.push(format!(
        "cpu_source={}: {}",
        source.as_str().unwrap_or_default(),
        recorded.choice.why
    ));
    meta.comments.extend(recorded.remarks);
    meta.losses = recorded.losses.into_iter().map(|(what, count)| Loss { what, count }).collect();
    Ok(rows.builder.finish()?)
}

struct Rows {
    builder: ProfileBuilder,
    mode: Mode,
    mappings: Vec<(std::ops::Range<u64>, MappingId)>,
    locations: HashMap<u64, LocationId>,
    stacks: HashMap<u32, StackId>,
    thread: StrId,
    state: StrId,
    contexts: ContextLabels,
}

impl Rows {
    fn new(mut builder: ProfileBuilder, mode: Mode) -> Self {
        let mut mappings = Vec::new();
        if let Ok(code) = Code::of_process() {
            for module in &code.modules().list {
                add_mappings(&mut builder, module, &mut mappings);
            }
        }
        let (thread, state) = (builder.str("thread"), builder.str("state"));
        let contexts = ContextLabels::new(&mut builder);
        Self {
            builder,
            mode,
            mappings,
            locations: HashMap::new(),
            stacks: HashMap::new(),
            thread,
            state,
            contexts,
        }
    }

    fn stack(&mut self, calls: &Calls, node: u32) -> StackId {
        if let Some(known) = self.stacks.get(&node) {
            return *known;
        }
        let stack = match node {
            Calls::OVERFLOW => self.words(NO_ROOM),
            Calls::NO_ANSWER => self.words(NO_ANSWER),
            _ => {
                let locations: Vec<LocationId> =
                    calls.stack(node).map(|address| self.location(address)).collect();
                self.builder.stack(&locations)
            }
        };
        self.stacks.insert(node, stack);
        stack
    }

    fn location(&mut self, address: u64) -> LocationId {
        let (builder, mappings) = (&mut self.builder, &self.mappings);
        *self.locations.entry(address).or_insert_with(|| {
            let mapping = mappings.iter().find(|(range, _)| range.contains(&address)).map(|(_, id)| *id);
            builder.location(mapping, address, &[])
        })
    }

    /// A stack of one frame that is no code.
    fn words(&mut self, words: &str) -> StackId {
        let name = self.builder.str(words);
        let unknown = Function { name, system_name: StrId::EMPTY, file: StrId::EMPTY, start_line: 0 };
        let function = self.builder.function(unknown);
        let location = self.builder.location(None, 0, &[Line { function, line: 0 }]);
        self.builder.stack(&[location])
    }

    fn labels(&mut self, thread: &str, row: Row) -> LabelSetId {
        let thread = self.builder.str(thread);
        let mut labels = vec![Label { key: self.thread, value: LabelValue::Str(thread) }];
        if self.mode == Mode::Wall {
            let state = self.builder.str(match row.state {
                State::Running => "running",
                State::Waiting => "waiting",
                State::Disk => "disk",
            });
            labels.push(Label { key: self.state, value: LabelValue::Str(state) });
        }
        labels.extend_from_slice(self.contexts.of(&mut self.builder, row.context));
        self.builder.labels(&labels)
    }
}
