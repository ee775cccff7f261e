//! The verdict as data: `diag.leaks/1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::profile::frames::ShownFrame;

/// The answer as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At least one suspect leaks.
    Leak,
    /// Nothing that could have been found grows without bound.
    NoLeak,
    /// It cannot be told; `reasons` say why.
    #[default]
    NotEnoughEvidence,
}

/// What a suspect is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspectVerdict {
    /// Grows steadily, while what was there before does not go.
    Leak,
    /// Grows, and nothing yet tells a leak from something that still fills.
    UnboundedSoFar,
    /// Grew, and slows down or has a declared cap that it keeps.
    Saturating,
}

/// Code whose memory grew more than chance explains.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Suspect {
    /// 1 is first: leaks before the rest, then by the lower bound of growth.
    pub rank: usize,
    /// What it is.
    pub verdict: SuspectVerdict,
    /// First frame of the user's own code.
    pub site: String,
    /// The stack with most of the growth, from the allocation outwards.
    pub frames: Vec<ShownFrame>,
    /// How many distinct stacks were taken together.
    pub stacks: usize,
    /// In use now.
    pub live_bytes: i64,
    /// In use now.
    pub live_objects: i64,
    /// Growth an hour over the window. Where [`doublings`](Self::doublings) are the evidence, that of what the container holds from the first
    /// to the last of them within the last 7/8 of the process's age: at each it was full.
    pub bytes_per_hour: f64,
    /// Its lower 95 % bound, one-sided; with doublings the least that the sizes of the block allow.
    pub bytes_per_hour_low: f64,
    /// Growth a unit of work; `None` where nobody counts work.
    pub bytes_per_work_unit: Option<f64>,
    /// Share of false alarms expected among those at least as suspicious (Benjamini-Hochberg); 1 where no such test stands behind it.
    pub q_value: f64,
    /// 1 is linear growth, 0 about logarithmic, below it levels off.
    pub growth_exponent: f64,
    /// In how many of 16 epochs of the watched time survivors were born.
    pub generations: u32,
    /// Half of the live bytes are older.
    pub age_p50_s: f64,
    /// Span, route, thread and chosen fields under which most of the live bytes were allocated.
    pub labels: BTreeMap<String, String>,
    /// Until the memory limit is reached at this rate, where there is a limit.
    pub seconds_to_limit: Option<f64>,
    /// Samples that came of age in the window and are alive.
    pub gained_samples: u32,
    /// Samples of age at its start that died in it.
    pub lost_samples: u32,
    /// How many times its largest block doubled, when that is the evidence: a container that grows.
    #[serde(default)]
    pub doublings: Option<u32>,
    /// The evidence in a sentence.
    pub evidence: String,
    /// What to run next.
    pub next: String,
}

/// Async tasks of one place that never end; see `diag::tasks`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskSuspect {
    /// What most of them do: `stuck`, `retrying`, `growing`, `probably_stuck`.
    pub verdict: String,
    /// The async function, or the future's type.
    pub task: String,
    /// `file:line:column` of the spawn.
    pub site: String,
    /// Alive now.
    pub live: u64,
    /// More an hour, where their number grows by more than chance.
    pub more_per_hour: Option<f64>,
    /// Their number grows without bound: a leak.
    pub leak: bool,
    /// Why, in a sentence.
    pub reason: String,
}

/// The verdict; serializes as `diag.leaks/1`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// `diag.leaks/1`.
    pub schema: String,
    /// The answer.
    pub verdict: Verdict,
    /// Why it cannot be told, or what weakens the answer.
    pub reasons: Vec<String>,
    /// From the first census to the last, seconds.
    pub watched_s: f64,
    /// Of it the window that is judged, at the end.
    pub window_s: f64,
    /// Samples count from this age.
    pub maturity_s: f64,
    /// Mean bytes between samples, at the end.
    pub sampling_period_bytes: u64,
    /// A leak of at least so much is found in 95 of 100 cases.
    pub minimum_detectable_bytes_per_hour: f64,
    /// Units of work done while watched; 0 where nobody counts.
    pub work_units: u64,
    /// Groups of stacks that were tested.
    pub tested: usize,
    /// Of them those that have objects of age and are level: evidence that the process is past its first fill.
    pub level: usize,
    /// Live bytes in all, by the sampler.
    pub live_bytes: i64,
    /// First is worst.
    pub suspects: Vec<Suspect>,
    /// Async tasks that never end, worst first. Empty where tasks are not tracked.
    #[serde(default)]
    pub tasks: Vec<TaskSuspect>,
    /// Growth of all stacks together in the window that is not the suspects'.
    pub unexplained_bytes: i64,
    /// What was lost, by name.
    pub losses: BTreeMap<String, u64>,
    /// What to run next.
    pub next: Vec<String>,
}

impl Report {
    /// Adds suspects of another report of the same process, by worst first; sites that are suspects already stay as they are.
    pub fn add_suspects(&mut self, others: impl IntoIterator<Item = Suspect>) {
        for other in others {
            if self.suspects.iter().all(|s| s.site != other.site) {
                if other.verdict == SuspectVerdict::Leak {
                    self.verdict = Verdict::Leak;
                }
                self.suspects.push(other);
            }
        }
        self.rank();
    }

    /// With tasks that never end; a leak of tasks is a leak, and while their number grows nothing is called fine.
    #[must_use]
    pub fn with_tasks(mut self, tasks: Vec<TaskSuspect>) -> Self {
        if tasks.iter().any(|task| task.leak) {
            self.verdict = Verdict::Leak;
        } else if let growing @ 1.. = tasks.iter().filter(|task| task.more_per_hour.is_some()).count()
            && self.verdict == Verdict::NoLeak
        {
            self.verdict = Verdict::NotEnoughEvidence;
            self.reasons.push(format!(
                "no memory was found to leak, but the tasks of {growing} sites grow in number, and it cannot be told yet whether without bound"
            ));
        }
        self.tasks = tasks;
        self
    }

    /// Leaks first, then by the lower bound of growth.
    pub(super) fn rank(&mut self) {
        self.suspects.sort_by(|a, b| {
            (a.verdict.cmp(&b.verdict))
                .then(b.bytes_per_hour_low.total_cmp(&a.bytes_per_hour_low))
                .then(a.site.cmp(&b.site))
        });
        for (number, suspect) in self.suspects.iter_mut().enumerate() {
            suspect.rank = number + 1;
        }
    }
}

/// The schema's name.
pub const SCHEMA: &str = "diag.leaks/1";
