//! The live tasks as a [`Profile`], by place, state and name.

use std::collections::BTreeMap;

use super::names;
use super::record::State;
use super::sites::Kind;
use super::snapshot::{SiteReading, Snapshot, TaskReading};
use crate::profile::{
    Function, Label, LabelValue, Line, Loss, Profile, ProfileBuilder, ProfileError, StackId, StrId, ValueType,
};

impl State {
    /// As in labels and parameters.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Running => "running",
            Self::Scheduled => "scheduled",
            Self::Idle => "idle",
            Self::Done => "done",
        }
    }

    /// The state of that name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::New, Self::Running, Self::Scheduled, Self::Idle, Self::Done]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

impl Kind {
    /// As in labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Local => "local",
            Self::Blocking => "blocking",
            Self::Other => "other",
        }
    }
}

impl Snapshot {
    /// `tasks/count` and `future/bytes` of the tasks chosen. A stack is the future's function, at the place that spawns it, below it
    /// the task's name if it has one. Labels: `state`, `kind`.
    ///
    /// # Errors
    /// When the result would not be a valid profile.
    pub fn profile(&self, chosen: impl Fn(&TaskReading) -> bool) -> Result<Profile, ProfileError> {
        let types = vec![ValueType::new("tasks", "count"), ValueType::new("future", "bytes")];
        let mut builder = ProfileBuilder::new(types);
        let mut counts: BTreeMap<(usize, State), i64> = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| chosen(task)) {
            *counts.entry((task.site, task.state)).or_default() += 1;
        }
        let (state_key, kind_key) = (builder.str("state"), builder.str("kind"));
        for ((site, state), count) in counts {
            let Some(site) = self.sites.get(site) else { continue };
            let stack = stack(&mut builder, site);
            let (state, kind) = (builder.str(state.word()), builder.str(site.kind.word()));
            let labels = builder.labels(&[
                Label { key: state_key, value: LabelValue::Str(state) },
                Label { key: kind_key, value: LabelValue::Str(kind) },
            ]);
            let bytes = count.saturating_mul(site.future_bytes as i64);
            builder.sample(stack, labels, &[count, bytes]);
        }
        let meta = builder.meta_mut();
        meta.default_sample_type = Some(0);
        meta.time_unix_ns = i64::try_from(self.taken_unix_ns).ok();
        meta.comments.push(self.seen());
        meta.losses =
            self.losses.iter().map(|(what, count)| Loss { what: what.clone(), count: *count }).collect();
        builder.finish()
    }

    /// What share of tokio's tasks this is, in words.
    pub fn seen(&self) -> String {
        match self.coverage {
            Some(c) => format!(
                "{} of tokio's {} live tasks are tracked ({:.0} %); the others were not spawned by diag::spawn or its kin",
                c.seen,
                c.alive,
                c.share * 100.0
            ),
            None => "what share of all tasks is tracked is not known: nothing was spawned by diag::spawn or its kin in a tokio runtime, or \
                     in more than four"
                .to_owned(),
        }
    }
}

/// The stack of a site.
fn stack(builder: &mut ProfileBuilder, site: &SiteReading) -> StackId {
    let file = builder.str(site.file);
    let mut frame = |name: &str, file: StrId, line: u32| {
        let name = builder.str(name);
        let function =
            builder.function(Function { name, system_name: StrId::EMPTY, file, start_line: i64::from(line) });
        builder.location(None, 0, &[Line { function, line: i64::from(line) }])
    };
    let mut frames = vec![frame(&names::future(site.future), file, site.line)];
    if let Some(name) = &site.name {
        frames.push(frame(&format!("task {name}"), StrId::EMPTY, 0));
    }
    builder.stack(&frames)
}
