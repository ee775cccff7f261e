//! Which tasks never end, which block, and why that is believed. Pure: two looks at the tasks and the growth of their
//! numbers come in.
//!
//! | verdict | of a site whose tasks |
//! |---|---|
//! | `stuck` | are idle and can never wake again: nothing holds a waker, at both looks, and no poll between them |
//! | `retrying` | outlive their kind, or grow in number, while they are polled again and again |
//! | `growing` | grow in number, and wait: something holds their wakers and does not use them |
//! | `probably_stuck` | are idle for longer than [`FACTOR`] times the longest wait of 99 % of those that ended, and [`FLOOR_NS`] |
//! | `blocking` | keep a thread for more than [`BLOCKING_NS`] in one poll |
//! | `starved` | were woken more than [`STARVED_NS`] ago and not polled since: the runtime's threads are busy elsewhere |
//!
//! Growth is judged as that of memory is: gained against lost over birth cohorts ([`leak`](crate::leak)). One task that can never
//! wake is not called stuck, for a task may be meant to wait until it is aborted; it is listed all the same ([`Leaked`]).

use std::collections::{BTreeMap, HashMap};

use super::record::State;
use super::sites::Kind;
use super::snapshot::{SiteReading, Snapshot, TaskReading};
use crate::profile::units;

/// Tasks of a site that are over, from which on they say how long one waits or lives.
pub const ENOUGH_ENDED: u64 = 20;
/// So many times the 99th percentile is too long.
pub const FACTOR: u64 = 10;
/// No wait shorter than this is too long.
pub const FLOOR_NS: u64 = 60_000_000_000;
/// A poll of this length blocks its thread.
pub const BLOCKING_NS: u64 = 100_000_000;
/// A woken task that is not polled for so long is starved.
pub const STARVED_NS: u64 = 1_000_000_000;
/// A task that cannot be woken counts from this time on.
const SETTLED_NS: u64 = 1_000_000_000;
/// A task polled at least so often in its life, and once in so many seconds, tries again and again.
const TRIES: u32 = 4;
const TRY_WITHIN_NS: u64 = 120_000_000_000;

/// What is said of the tasks of a site; the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskVerdict {
    /// Can never wake again.
    Stuck,
    /// Never end, and are polled again and again.
    Retrying,
    /// More and more of them wait.
    Growing,
    /// Wait for longer than their kind does.
    ProbablyStuck,
    /// Keep a thread for too long in one poll.
    Blocking,
    /// Are woken and not polled.
    Starved,
    /// Nothing is wrong that could be seen.
    Ok,
}

impl TaskVerdict {
    /// As in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Retrying => "retrying",
            Self::Growing => "growing",
            Self::ProbablyStuck => "probably_stuck",
            Self::Blocking => "blocking",
            Self::Starved => "starved",
            Self::Ok => "ok",
        }
    }
}

/// How the number of a site's live tasks grows, where that is more than chance.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Growth {
    /// More an hour.
    pub per_hour: f64,
    /// It goes on without bound; else it is not known yet whether it does.
    pub certain: bool,
}

impl Growth {
    /// So many more an hour.
    pub fn new(per_hour: f64, certain: bool) -> Self {
        Self { per_hour, certain }
    }
}

/// A site, judged.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Judged {
    /// See there.
    pub verdict: TaskVerdict,
    /// Why, in a sentence; empty for `ok`.
    pub reason: String,
    /// Live tasks.
    pub live: usize,
    /// Of them, by state: being polled, woken, waiting.
    pub running: usize,
    /// See `running`.
    pub scheduled: usize,
    /// See `running`.
    pub idle: usize,
    /// Half of the live ones are older, and the oldest.
    pub age_p50_ns: u64,
    /// See `age_p50_ns`.
    pub age_max_ns: u64,
    /// Half of the idle ones have waited longer, and the longest wait.
    pub idle_p50_ns: u64,
    /// See `idle_p50_ns`.
    pub idle_max_ns: u64,
    /// Polls, of live tasks and those that are over.
    pub polls: u64,
    /// Time in them.
    pub busy_ns: u64,
    /// The longest.
    pub longest_poll_ns: u64,
    /// How their number grows, where it does.
    pub growth: Option<Growth>,
}

/// A task that leaks, or seems to.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Leaked {
    /// Position in [`Snapshot::tasks`].
    pub task: usize,
    /// It can never wake again; else it is only likely that it does not.
    pub certain: bool,
    /// Why.
    pub reason: String,
}

/// Of both looks.
struct Looks<'a> {
    now: &'a Snapshot,
    /// Polls and wakers at the first look, by the task's number.
    before: HashMap<u64, (u32, Option<u32>)>,
}

impl<'a> Looks<'a> {
    fn new(before: &Snapshot, now: &'a Snapshot) -> Self {
        let seen = |task: &TaskReading| (task.id, (task.polls, task.wakers));
        Self { now, before: before.tasks.iter().map(seen).collect() }
    }

    /// Nothing can wake it, at both looks.
    fn never_wakes(&self, task: &TaskReading) -> bool {
        task.state == State::Idle
            && task.wakers == Some(0)
            && task.since_ns >= SETTLED_NS
            && self.before.get(&task.id) == Some(&(task.polls, Some(0)))
    }

    fn site(&self, task: &TaskReading) -> Option<&'a SiteReading> {
        self.now.sites.get(task.site)
    }

    /// How long one of its kind waits at most, where that is known.
    fn longest_wait_ns(&self, task: &TaskReading) -> Option<u64> {
        let site = self.site(task).filter(|site| site.gaps >= ENOUGH_ENDED)?;
        site.gap_p99_ns.map(|gap| gap.saturating_mul(FACTOR).max(FLOOR_NS))
    }

    /// How long one of its kind lives at most, where that is known.
    fn longest_life_ns(&self, task: &TaskReading) -> Option<u64> {
        let site = self.site(task).filter(|site| site.ended() >= ENOUGH_ENDED)?;
        site.lifetime_p99_ns.map(|life| life.saturating_mul(FACTOR).max(FLOOR_NS))
    }

    fn waits_too_long(&self, task: &TaskReading) -> Option<u64> {
        let limit = self.longest_wait_ns(task)?;
        (task.state == State::Idle && task.since_ns > limit).then_some(limit)
    }

    fn lives_too_long(&self, task: &TaskReading) -> Option<u64> {
        self.longest_life_ns(task).filter(|limit| task.age_ns > *limit)
    }
}

/// It is polled again and again.
fn tries_again(task: &TaskReading) -> bool {
    task.polls >= TRIES
        && task.since_ns <= TRY_WITHIN_NS
        && task.age_ns / u64::from(task.polls) <= TRY_WITHIN_NS
}

/// Judges each site, by its position.
pub fn judge(before: &Snapshot, now: &Snapshot, growth: &BTreeMap<usize, Growth>) -> Vec<Judged> {
    let looks = Looks::new(before, now);
    let mut of_site: Vec<Vec<&TaskReading>> = vec![Vec::new(); now.sites.len()];
    for task in &now.tasks {
        if let Some(tasks) = of_site.get_mut(task.site) {
            tasks.push(task);
        }
    }
    let judge = |(number, (site, tasks)): (usize, (&SiteReading, Vec<&TaskReading>))| {
        one(&looks, site, &tasks, growth.get(&number).copied())
    };
    now.sites.iter().zip(of_site).enumerate().map(judge).collect()
}

/// The tasks that can never wake again, and those that are probably stuck, oldest first.
pub fn leaked(before: &Snapshot, now: &Snapshot) -> Vec<Leaked> {
    let looks = Looks::new(before, now);
    let why = |task: &TaskReading| {
        if looks.never_wakes(task) {
            return Some((
                true,
                "nothing holds a waker of it: only an abort, or the end of the runtime, ends it".to_owned(),
            ));
        }
        if let Some(limit) = looks.waits_too_long(task) {
            return Some((
                false,
                format!(
                    "it has waited for {}; of those spawned there that ended, 99 % never waited for {}",
                    units::nanoseconds(task.since_ns as i64),
                    units::nanoseconds((limit / FACTOR) as i64),
                ),
            ));
        }
        let limit = looks.lives_too_long(task)?;
        Some((
            false,
            format!(
                "it is {} old{}; of those spawned there that ended, 99 % lived no longer than {}",
                units::nanoseconds(task.age_ns as i64),
                if tries_again(task) { " and tries again and again" } else { "" },
                units::nanoseconds((limit / FACTOR) as i64),
            ),
        ))
    };
    let tasks = now.tasks.iter().enumerate();
    let mut leaked: Vec<Leaked> = tasks
        .filter_map(|(task, reading)| why(reading).map(|(certain, reason)| Leaked { task, certain, reason }))
        .collect();
    let age = |l: &Leaked| now.tasks.get(l.task).map_or(0, |t| t.age_ns);
    leaked.sort_by_key(|l| (!l.certain, std::cmp::Reverse(age(l))));
    leaked
}

fn one(looks: &Looks<'_>, site: &SiteReading, tasks: &[&TaskReading], growth: Option<Growth>) -> Judged {
    let count = |test: &dyn Fn(&TaskReading) -> bool| tasks.iter().filter(|t| test(t)).count();
    let in_state = |state: State| count(&|t| t.state == state);
    let ages = sorted(tasks.iter().map(|t| t.age_ns));
    let waits = sorted(tasks.iter().filter(|t| t.state == State::Idle).map(|t| t.since_ns));
    let of_tasks = |value: fn(&TaskReading) -> u64| tasks.iter().map(|t| value(t)).sum::<u64>();
    let longest_live_ns = tasks.iter().map(|t| t.longest_poll_ns).max().unwrap_or(0);
    let mut judged = Judged {
        verdict: TaskVerdict::Ok,
        reason: String::new(),
        live: tasks.len(),
        running: in_state(State::Running),
        scheduled: in_state(State::Scheduled),
        idle: in_state(State::Idle),
        age_p50_ns: middle(&ages),
        age_max_ns: ages.last().copied().unwrap_or(0),
        idle_p50_ns: middle(&waits),
        idle_max_ns: waits.last().copied().unwrap_or(0),
        polls: site.ended_polls + of_tasks(|t| u64::from(t.polls)),
        busy_ns: site.ended_busy_ns + of_tasks(|t| t.busy_ns),
        longest_poll_ns: site.ended_longest_poll_ns.max(longest_live_ns),
        growth,
    };
    let found = Counts {
        never: count(&|t| looks.never_wakes(t)),
        waits: count(&|t| looks.waits_too_long(t).is_some()),
        lives: count(&|t| looks.lives_too_long(t).is_some()),
        tries: count(&|t| tries_again(t)),
        old_and_tries: count(&|t| tries_again(t) && looks.lives_too_long(t).is_some()),
        starved: count(&|t| t.state == State::Scheduled && t.since_ns >= STARVED_NS),
        blocks: if site.kind == Kind::Blocking { 0 } else { count(&|t| t.longest_poll_ns >= BLOCKING_NS) },
    };
    let (verdict, reason) = found.conclude(&judged, site);
    judged.verdict = verdict;
    judged.reason = reason;
    judged
}

/// How many tasks of a site show what.
struct Counts {
    never: usize,
    waits: usize,
    lives: usize,
    tries: usize,
    old_and_tries: usize,
    starved: usize,
    blocks: usize,
}

impl Counts {
    fn conclude(&self, judged: &Judged, site: &SiteReading) -> (TaskVerdict, String) {
        let live = judged.live;
        let grows = judged.growth.map(|g| {
            let so_far = if g.certain { "" } else { " (so far; the process is young, or it may level off)" };
            let per_hour = units::count(g.per_hour.max(1.0).round() as i64);
            format!("their number grows by about {per_hour} an hour{so_far}")
        });
        let with_growth = |words: String| match &grows {
            Some(grows) => format!("{words}; {grows}"),
            None => words,
        };
        // What most of those that leak show explains them.
        let mostly = |part: usize| part * 2 > live && grows.is_some();
        if self.never >= 2 || mostly(self.never) {
            return (
                TaskVerdict::Stuck,
                with_growth(format!(
                    "{} of {live} can never wake again: nothing holds a waker of them (a future that is never ready, a \
                     sender dropped without a wake, a waker that was lost)",
                    self.never
                )),
            );
        }
        if self.old_and_tries > 0 || mostly(self.tries) {
            let tries = self.tries.max(self.old_and_tries);
            return (
                TaskVerdict::Retrying,
                with_growth(format!(
                    "{tries} of {live} are polled again and again and do not end, the oldest for {}: a retry or loop without a \
                     way out",
                    units::nanoseconds(judged.age_max_ns as i64)
                )),
            );
        }
        if let Some(grows) = &grows {
            return (
                TaskVerdict::Growing,
                format!(
                    "{grows}; {} of {live} wait, half of them for {} or more, for something that is still held elsewhere and does \
                     not come (a sender that is kept, a lock or permit that is not given back, a handle nobody awaits)",
                    judged.idle,
                    units::nanoseconds(judged.idle_p50_ns as i64)
                ),
            );
        }
        if self.waits > 0 || self.lives > 0 {
            let (count, what, p99) = if self.waits > 0 {
                (self.waits, "have waited", site.gap_p99_ns)
            } else {
                (self.lives, "have lived", site.lifetime_p99_ns)
            };
            return (
                TaskVerdict::ProbablyStuck,
                format!(
                    "{count} of {live} {what} for more than {FACTOR} times as long as 99 % of the {} that ended ({})",
                    site.ended(),
                    units::nanoseconds(p99.unwrap_or(0) as i64)
                ),
            );
        }
        let ended_block = site.kind != Kind::Blocking && site.ended_longest_poll_ns >= BLOCKING_NS;
        if self.blocks > 0 || ended_block {
            return (
                TaskVerdict::Blocking,
                format!(
                    "one poll took {}: blocking or long work inside of async code keeps a runtime's thread from all other tasks; \
                     use spawn_blocking, or yield",
                    units::nanoseconds(judged.longest_poll_ns as i64)
                ),
            );
        }
        if self.starved > 0 {
            return (
                TaskVerdict::Starved,
                format!(
                    "{} of {live} were woken more than {} ago and not polled since: the runtime's threads are busy or blocked",
                    self.starved,
                    units::nanoseconds(STARVED_NS as i64)
                ),
            );
        }
        (TaskVerdict::Ok, String::new())
    }
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

fn middle(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}
