//! Tasks whose number grows, by the same judge as memory; and the report of all tasks.
//!
//! Every task is known, not a sample of them: a "sample" here is a task, its "bytes" its own number, 1.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::face::Diag;
use crate::leak::{self, SuspectVerdict};
use crate::profile::cohorts::{Census, Cohorts, Tally};
use crate::profile::{Label, LabelValue, Profile, ProfileBuilder, ValueType};
use crate::tasks::{self, Growth, Leaked, Snapshot, TasksReport};

/// Cells at first; they double as the process ages.
const RESOLUTION_NS: i64 = 1_000_000_000;
/// The most that the cohorts take.
const MEMORY_LIMIT: usize = 2 << 20;
/// Between the two looks by which a task is seen not to move.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Sites in a verdict.
const MOST_SUSPECTS: usize = 20;

/// Births and ends of tasks since the start.
#[derive(Debug)]
pub(crate) struct TaskHistory(Mutex<Cohorts>);

impl TaskHistory {
    pub(crate) fn new() -> Self {
        let now = crate::sys::clock::monotonic_ns();
        Self(Mutex::new(Cohorts::new(i64::try_from(now).unwrap_or(0), RESOLUTION_NS, MEMORY_LIMIT)))
    }

    fn lock(&self) -> MutexGuard<'_, Cohorts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a census when it is due.
    pub(crate) fn tick(&self) {
        let now = i64::try_from(crate::sys::clock::monotonic_ns()).unwrap_or(i64::MAX);
        if tasks::any() && now >= self.lock().next_census_ns() {
            census(&mut self.lock(), &tasks::snapshot());
        }
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.lock().memory_bytes() as u64
    }

    /// The sites whose tasks grow in number by more than chance, as of now.
    fn growth(&self, now: &Snapshot) -> BTreeMap<usize, Growth> {
        let mut cohorts = self.lock().clone();
        census(&mut cohorts, now);
        grows(&cohorts, now)
    }
}

fn census(cohorts: &mut Cohorts, now: &Snapshot) {
    let spawned: u64 = now.sites.iter().map(|site| site.spawned).sum();
    let at_ns = i64::try_from(now.taken_ns).unwrap_or(i64::MAX);
    let census = Census {
        at_ns,
        births: spawned as f64,
        allocated_bytes: spawned as f64,
        work_units: crate::work::total(),
    };
    let Some(mut taking) = cohorts.census(census) else { return };
    for task in &now.tasks {
        let born_ns = at_ns.saturating_sub(i64::try_from(task.age_ns).unwrap_or(i64::MAX));
        taking.object(task.site as u32, born_ns, 1, Tally::of(1.0, 1.0));
    }
    for (number, site) in now.sites.iter().enumerate() {
        taking.births(number as u32, site.spawned as f64);
    }
    taking.finish();
}

fn grows(cohorts: &Cohorts, now: &Snapshot) -> BTreeMap<usize, Growth> {
    let Ok((profile, stacks)) = as_profile(now) else { return BTreeMap::new() };
    let options = leak::Options { period_bytes: 1, ..leak::Options::default() };
    let of_row = |row: u32| stacks.get(row as usize).copied();
    let report = leak::judge(cohorts, leak::Stacks { profile: &profile, of_row: &of_row }, &options);
    let mut grows = BTreeMap::new();
    for suspect in &report.suspects {
        // Containers double; tasks do not.
        if suspect.doublings.is_some() || suspect.verdict == SuspectVerdict::Saturating {
            continue;
        }
        let Some(number) = suspect.site.strip_prefix(SITE).and_then(|n| n.parse().ok()) else { continue };
        grows.insert(number, Growth::new(suspect.bytes_per_hour, suspect.verdict == SuspectVerdict::Leak));
    }
    grows
}

/// Sites are told apart by number: two may have the same name.
const SITE: &str = "task site ";

fn as_profile(
    now: &Snapshot,
) -> Result<(Profile, Vec<crate::profile::StackId>), crate::profile::ProfileError> {
    let types = vec![ValueType::new("inuse_objects", "count"), ValueType::new("inuse_space", "bytes")];
    let mut builder = ProfileBuilder::new(types);
    let mut live = vec![0i64; now.sites.len()];
    for task in &now.tasks {
        if let Some(count) = live.get_mut(task.site) {
            *count += 1;
        }
    }
    let key = builder.str("site");
    let mut stacks = Vec::with_capacity(live.len());
    for (number, count) in live.into_iter().enumerate() {
        let name = builder.str(&format!("{SITE}{number}"));
        let empty = crate::profile::StrId::EMPTY;
        let function = crate::profile::Function { name, system_name: empty, file: empty, start_line: 0 };
        let function = builder.function(function);
        let location = builder.location(None, 0, &[crate::profile::Line { function, line: 0 }]);
        let stack = builder.stack(&[location]);
        stacks.push(stack);
        let labels = builder.labels(&[Label { key, value: LabelValue::Str(name) }]);
        builder.sample(stack, labels, &[count, count]);
    }
    builder.finish().map(|profile| (profile, stacks))
}

impl Diag {
    /// The tasks, judged by site: see [`tasks`]. Looks twice, with [`std::thread::sleep`] of 50 ms between: not for async code.
    pub fn tasks(&self) -> TasksReport {
        let _unprofiled = crate::Unprofiled::begin();
        let (before, now) = looks();
        let growth = self.task_history().map(|history| history.growth(&now)).unwrap_or_default();
        tasks::report(&now, &tasks::judge(&before, &now, &growth))
    }

    /// The sites whose tasks never end, for the verdict. A leak are those whose number grows without bound.
    pub(super) fn task_suspects(&self) -> Vec<leak::TaskSuspect> {
        if !tasks::any() {
            return Vec::new();
        }
        let never_ends = |site: &tasks::SiteReport| {
            use tasks::TaskVerdict as V;
            matches!(site.verdict, V::Stuck | V::Retrying | V::Growing | V::ProbablyStuck)
        };
        // Worst first.
        let sites = self.tasks().sites.into_iter().filter(never_ends).take(MOST_SUSPECTS);
        let suspect = |site: tasks::SiteReport| leak::TaskSuspect {
            verdict: site.verdict.word().to_owned(),
            task: site.future,
            site: site.site,
            live: site.live as u64,
            more_per_hour: site.growth_per_hour,
            leak: site.growth_certain,
            reason: site.reason,
        };
        sites.map(suspect).collect()
    }

    /// The tasks that can never wake again, and those that are probably stuck, with the snapshot they are of. Looks twice, as
    /// [`tasks`](Self::tasks) does.
    pub fn leaked_tasks(&self) -> (Snapshot, Vec<Leaked>) {
        let _unprofiled = crate::Unprofiled::begin();
        let (before, now) = looks();
        let leaked = tasks::leaked(&before, &now);
        (now, leaked)
    }
}

fn looks() -> (Snapshot, Snapshot) {
    let before = tasks::snapshot();
    if !before.tasks.is_empty() {
        std::thread::sleep(BETWEEN_LOOKS);
    }
    (before, tasks::snapshot())
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
