//! Evaluates rules. Pure: no clock, no reading; the same observations give the same firings.

use std::collections::VecDeque;

use serde::Serialize;

use super::growth::Growth;
use super::rule::{Level, Rule, Stall, When};

const HOUR_NS: u64 = 3_600_000_000_000;
/// Looks come so often at most while a level is far or still, and so often when it is near and rises.
const SLOW_LOOK_NS: u64 = 100_000_000;
const FAST_LOOK_NS: u64 = 10_000_000;
/// Where nothing but events and slow averages count.
const IDLE_LOOK_NS: u64 = 1_000_000_000;
/// A level is armed again below this share of it, and fires again from this share of where it was last.
const REARM: f64 = 0.95;
const ESCALATE: f64 = 1.05;

/// What is seen at a time. What could not be read is absent, and rules on it wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Monotonic.
    pub(crate) at_ns: u64,
    /// The smallest limit that applies.
    pub(crate) limit_bytes: Option<u64>,
    /// Charged to the cgroup of that limit, without inactive file pages; or an upper bound below [`Needs::working_set_from_bytes`].
    pub(crate) working_set_bytes: Option<u64>,
    pub(crate) rss_bytes: Option<u64>,
    /// Of the machine.
    pub(crate) total_bytes: Option<u64>,
    /// Tracked tasks that are alive.
    pub(crate) tasks: Option<u64>,
    pub(crate) stall_some_percent: Option<f64>,
    pub(crate) stall_full_percent: Option<f64>,
    /// Since the last look.
    pub(crate) events: Vec<Event>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Told(String),
    Signal(i32),
    Panic(String),
    AllocFailed {
        bytes: u64,
    },
    /// The slowest poll since the last look.
    #[cfg_attr(not(feature = "tasks"), allow(dead_code))]
    SlowPoll {
        ns: u64,
        what: String,
    },
}

/// What must be read for the rules.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Needs {
    /// Below this, what is charged will do as an upper bound of the working set, which is dearer to read.
    pub(crate) working_set_from_bytes: Option<u64>,
    pub(crate) rss: bool,
    pub(crate) stall: bool,
    pub(crate) tasks: bool,
}

/// A rule that is to act now: its position, and why in a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    pub(crate) rule: usize,
    pub(crate) why: String,
}

/// Counters of a rule; they only rise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Firings {
    /// Times that it fired and acted.
    pub fired_total: u64,
    /// Times that it did not act because it had a short time before.
    pub refused_debounce_total: u64,
    /// Times that it did not act because it had too often within the hour.
    pub refused_budget_total: u64,
}

/// A rule and how it fares, for `status` and `/metrics`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RuleStats {
    /// As set.
    #[serde(flatten)]
    pub rule: Rule,
    /// How often.
    #[serde(flatten)]
    pub firings: Firings,
    /// What the rule looks at now: bytes, bytes a minute or percent. Absent for events and while it cannot be read.
    pub value: Option<f64>,
    /// Where it fires, in the same unit.
    pub fires_at: Option<f64>,
    /// Why it cannot fire as things are.
    pub waits_for: Option<String>,
    /// The last firing.
    pub last: Option<super::Firing>,
}

struct Watched {
    rule: Rule,
    firings: Firings,
    growth: Option<Growth>,
    /// When it acted, within the hour.
    acted_ns: VecDeque<u64>,
    /// Levels: `None` while armed, else the value at which it fired last.
    fired_at: Option<f64>,
    value: Option<f64>,
    fires_at: Option<f64>,
    /// The level's value and time at the look before, for the next look.
    before: Option<(u64, f64)>,
    next_look_ns: u64,
}

/// The rules with what they remember.
pub(crate) struct Engine {
    watched: Vec<Watched>,
}

impl Engine {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let watched = rules.into_iter().map(|rule| Watched {
            growth: match rule.when {
                When::Growth { over, .. } | When::TaskGrowth { over, .. } => {
                    Some(Growth::new(u64::try_from(over.as_nanos()).unwrap_or(u64::MAX)))
                }
                _ => None,
            },
            firings: Firings::default(),
            acted_ns: VecDeque::new(),
            fired_at: None,
            value: None,
            fires_at: None,
            before: None,
            next_look_ns: IDLE_LOOK_NS,
            rule,
        });
        Self { watched: watched.collect() }
    }

    pub(crate) fn rule(&self, position: usize) -> Option<&Rule> {
        self.watched.get(position).map(|w| &w.rule)
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.watched.iter().map(|w| &w.rule)
    }

    /// What the next look must read.
    pub(crate) fn needs(&self, limit_bytes: Option<u64>) -> Needs {
        let mut needs = Needs::default();
        for watched in &self.watched {
            match watched.rule.when {
                When::Limit(level) => {
                    let from = bytes_of(level, limit_bytes).map_or(0, |l| (l * REARM) as u64);
                    let least = needs.working_set_from_bytes.map_or(from, |other| other.min(from));
                    needs.working_set_from_bytes = Some(least);
                }
                When::Rss(_) | When::Growth { .. } => needs.rss = true,
                When::Stall(..) => needs.stall = true,
                When::Tasks(_) | When::TaskGrowth { .. } => needs.tasks = true,
                When::Signal(_) | When::Panic | When::AllocFailed | When::Told(_) | When::SlowPoll(_) => {}
            }
        }
        needs
    }

    /// Takes a look: what is due, in the order of the rules.
    pub(crate) fn step(&mut self, observed: &Observed) -> Vec<Due> {
        let mut due = Vec::new();
        for (rule, watched) in self.watched.iter_mut().enumerate() {
            let reasons = watched.reasons(observed);
            due.extend(
                reasons.into_iter().filter(|_| watched.may_act(observed.at_ns)).map(|why| Due { rule, why }),
            );
        }
        due
    }

    /// Time until the next look.
    pub(crate) fn next_look_ns(&self) -> u64 {
        self.watched.iter().map(|w| w.next_look_ns).min().unwrap_or(IDLE_LOOK_NS)
    }

    /// How the rules fare; the last firings are the caller's to add.
    pub(crate) fn stats(&self) -> Vec<RuleStats> {
        let stats = |w: &Watched| RuleStats {
            rule: w.rule.clone(),
            firings: w.firings,
            value: w.value,
            fires_at: w.fires_at,
            waits_for: w.waits_for(),
            last: None,
        };
        self.watched.iter().map(stats).collect()
    }
}

impl Watched {
    /// Why it fires now: none or one of a level, any number of events.
    fn reasons(&mut self, observed: &Observed) -> Vec<String> {
        let level = match &self.rule.when {
            When::Limit(level) => {
                (bytes_of(*level, observed.limit_bytes), observed.working_set_bytes.map(|b| b as f64))
            }
            When::Rss(level) => {
                let whole = observed.limit_bytes.into_iter().chain(observed.total_bytes).min();
                (bytes_of(*level, whole), observed.rss_bytes.map(|b| b as f64))
            }
            When::Growth { bytes_per_minute, .. } => {
                let growth = self.growth.as_mut().zip(observed.rss_bytes);
                let value = growth.and_then(|(growth, rss)| growth.step(observed.at_ns, rss));
                (Some(*bytes_per_minute as f64), value)
            }
            When::Tasks(count) => (Some(*count as f64), observed.tasks.map(|n| n as f64)),
            When::TaskGrowth { per_minute, .. } => {
                let growth = self.growth.as_mut().zip(observed.tasks);
                let value = growth.and_then(|(growth, tasks)| growth.step(observed.at_ns, tasks));
                (Some(*per_minute as f64), value)
            }
            When::Stall(Stall::Some, percent) => (Some(*percent), observed.stall_some_percent),
            When::Stall(Stall::Full, percent) => (Some(*percent), observed.stall_full_percent),
            When::Signal(_) | When::Panic | When::AllocFailed | When::Told(_) | When::SlowPoll(_) => {
                return observed.events.iter().filter_map(|e| matches(&self.rule.when, e)).collect();
            }
        };
        (self.fires_at, self.value) = level;
        self.plan(observed.at_ns);
        let (Some(fires_at), Some(value)) = level else { return Vec::new() };
        if value < fires_at * REARM {
            self.fired_at = None;
        }
        let from = self.fired_at.map_or(fires_at, |last| last * ESCALATE);
        if value < from {
            return Vec::new();
        }
        self.fired_at = Some(value);
        vec![self.sentence(value, fires_at, observed)]
    }

    fn sentence(&self, value: f64, fires_at: f64, observed: &Observed) -> String {
        let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
        match &self.rule.when {
            When::Limit(_) => {
                let limit = observed.limit_bytes.map_or(fires_at, |l| l as f64);
                let percent = 100.0 * value / limit;
                format!("{} of the memory limit of {} in use ({percent:.0} %)", mib(value), mib(limit))
            }
            When::Rss(_) => format!("a resident set of {}, at least {}", mib(value), mib(fires_at)),
            When::Growth { over, .. } => format!(
                "the resident set grew by {} a minute over {} s, at least {}",
                mib(value),
                over.as_secs(),
                mib(fires_at)
            ),
            When::Tasks(_) => format!("{value:.0} tasks are alive, at least {fires_at:.0}"),
            When::TaskGrowth { over, .. } => format!(
                "the live tasks grew by {value:.0} a minute over {} s, at least {fires_at:.0}",
                over.as_secs()
            ),
            When::Stall(who, _) => {
                let who = if *who == Stall::Some { "some task" } else { "all tasks" };
                format!("{who} waited for memory for {value:.1} % of the last 10 s, at least {fires_at} %")
            }
            _ => String::new(),
        }
    }

    /// Debounce and budget; counts.
    fn may_act(&mut self, at_ns: u64) -> bool {
        let debounce_ns = u64::try_from(self.rule.debounce.as_nanos()).unwrap_or(u64::MAX);
        if self.acted_ns.back().is_some_and(|last| at_ns.saturating_sub(*last) < debounce_ns) {
            self.firings.refused_debounce_total += 1;
            return false;
        }
        while self.acted_ns.front().is_some_and(|first| at_ns.saturating_sub(*first) >= HOUR_NS) {
            self.acted_ns.pop_front();
        }
        if self.acted_ns.len() >= self.rule.an_hour as usize {
            self.firings.refused_budget_total += 1;
            return false;
        }
        self.acted_ns.push_back(at_ns);
        self.firings.fired_total += 1;
        true
    }

    /// When to look again: soon enough to see a level that rises as it did, when it is half-way there.
    fn plan(&mut self, at_ns: u64) {
        self.next_look_ns = match &self.rule.when {
            When::Limit(_) | When::Rss(_) => {
                let to = self.fired_at.map(|last| last * ESCALATE).or(self.fires_at);
                let reach_ns = || {
                    let ((before_ns, before), value, to) = (self.before?, self.value?, to?);
                    let per_ns = (value - before) / at_ns.checked_sub(before_ns)?.max(1) as f64;
                    (per_ns > 0.0).then(|| (to - value).max(0.0) / per_ns / 2.0)
                };
                // Without a limit there is nothing to cross.
                let slow = if to.is_some() { SLOW_LOOK_NS } else { IDLE_LOOK_NS };
                reach_ns().map_or(slow, |ns| (ns as u64).clamp(FAST_LOOK_NS, slow))
            }
            When::Growth { .. } | When::TaskGrowth { .. } => {
                let spacing = self.growth.as_ref().map_or(IDLE_LOOK_NS, Growth::spacing_ns);
                spacing.clamp(SLOW_LOOK_NS, 10 * IDLE_LOOK_NS)
            }
            _ => IDLE_LOOK_NS,
        };
        self.before = self.value.map(|value| (at_ns, value));
    }

    fn waits_for(&self) -> Option<String> {
        let why = match (&self.rule.when, self.fires_at, self.value) {
            (When::Limit(Level::Share(_)), None, _) => "a memory limit: none is set, or it cannot be read",
            (When::Limit(_), _, None) => "a cgroup whose memory can be read",
            (When::Rss(_), _, None) => "a resident set that can be read",
            (When::Tasks(_), _, None) => "tracked tasks, which this build of diag has not",
            (When::Growth { .. } | When::TaskGrowth { .. }, _, None) => {
                "a window of values: the time is not over yet"
            }
            (When::Stall(..), _, None) => "the kernel's pressure stall information, which cannot be read",
            _ => return None,
        };
        Some(why.to_owned())
    }
}

fn bytes_of(level: Level, whole: Option<u64>) -> Option<f64> {
    match level {
        Level::Bytes(bytes) => Some(bytes as f64),
        Level::Share(share) => whole.map(|bytes| bytes as f64 * share),
    }
}

fn matches(when: &When, event: &Event) -> Option<String> {
    match (when, event) {
        (When::Told(name), Event::Told(told)) if name == told => Some(format!("the service told of {told}")),
        (When::Signal(number), Event::Signal(came)) if number == came => Some(format!("signal {came} came")),
        (When::Panic, Event::Panic(what)) => Some(what.clone()),
        (When::SlowPoll(from), Event::SlowPoll { ns, what }) if u128::from(*ns) >= from.as_nanos() => {
            Some(format!("one poll of {what} took {:.0} ms", *ns as f64 / 1e6))
        }
        (When::AllocFailed, Event::AllocFailed { bytes }) => {
            Some(format!("an allocation of {bytes} bytes failed"))
        }
        _ => None,
    }
}
