//! The thread: looks, asks the rules, acts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::act::{Actor, writes_files};
use super::call::Caller;
use super::reserve::Reserve;
use super::{ReliefStats, Shared, told};
use crate::Unprofiled;
use crate::capture::Captures;
use crate::config::{Config, Problem};
use crate::heap::{Heap, HeapError};
use crate::memory::watch::{Look, Wanted, Watch};
use crate::rules::{Engine, Event, Firing, Level, Observed, Order, Relief, ReliefState, Rule};
use crate::sys::jemalloc_decay::{self, Lowered};
use crate::sys::signal::Listening;
use crate::sys::{alloc_failure, clock, doorbell};

/// What changes slowly is looked after so often.
const TIDY_EVERY_NS: u64 = 1_000_000_000;
/// Looks of the policy under pressure.
const RELIEF_LOOK_NS: u64 = 100_000_000;

pub(super) struct Runner {
    shared: Arc<Shared>,
    engine: Engine,
    last: Vec<Option<Firing>>,
    relief: Option<Relieving>,
    signals: Vec<Listening>,
    watch: Watch,
    reserve: Reserve,
    /// Whether any rule writes files, so that a reserve is of use.
    captures: bool,
    actor: Actor,
    tidied_ns: u64,
}

/// The least time of a poll that a rule speaks of.
#[cfg(feature = "tasks")]
fn slowest_allowed_ns(rules: &[Rule]) -> Option<u64> {
    let of_rule = |rule: &Rule| match rule.when {
        crate::rules::When::SlowPoll(from) => u64::try_from(from.as_nanos()).ok(),
        _ => None,
    };
    rules.iter().filter_map(of_rule).min()
}

struct Relieving {
    policy: Relief,
    state: ReliefState,
    lowered: Option<Lowered>,
    lowered_total: u64,
    purges_total: u64,
}

impl Runner {
    pub(super) fn new(
        shared: Arc<Shared>,
        (rules, relief, signals): (Vec<Rule>, Option<Relief>, Vec<Listening>),
        config: &Config,
        heap: Result<Heap, HeapError>,
        captures: Option<Arc<Captures>>,
    ) -> Self {
        let relief = relief.map(|policy| Relieving {
            policy,
            state: ReliefState::default(),
            lowered: None,
            lowered_total: 0,
            purges_total: 0,
        });
        let engine = Engine::new(rules.clone());
        #[cfg(feature = "tasks")]
        crate::tasks::watch_slow(slowest_allowed_ns(&rules));
        shared.stats().rules = engine.stats();
        Self {
            last: vec![None; rules.len()],
            captures: captures.is_some() && rules.iter().any(writes_files),
            actor: Actor {
                captures,
                heap,
                config: config.clone(),
                caller: Caller::start(&rules, Arc::clone(&shared)),
                #[cfg(feature = "cpu")]
                recording: None,
            },
            engine,
            shared,
            relief,
            signals,
            watch: Watch::new(),
            reserve: Reserve::default(),
            tidied_ns: 0,
        }
    }

    pub(super) fn run(mut self) {
        let _unprofiled = Unprofiled::begin();
        while !self.shared.stop.load(Ordering::Acquire) {
            // What rings from here on is dealt with in the next round.
            let rung = doorbell::rung();
            let now_ns = clock::monotonic_ns();
            self.shared.looked_ns.store(now_ns, Ordering::Release);
            let (observed, look) = self.observe(now_ns);
            let due = self.engine.step(&observed);
            for due in &due {
                if let Some(rule) = self.engine.rule(due.rule).cloned() {
                    let free = self.make_room(&look);
                    let firing = self.actor.act(&rule, &due.why, &observed, free);
                    self.remember(firing);
                }
            }
            doorbell::answer(rung);
            self.relieve(&observed);
            #[cfg(feature = "cpu")]
            if let Some(firing) = self.actor.finish_recording(now_ns) {
                self.remember(firing);
            }
            if !due.is_empty() || now_ns.saturating_sub(self.tidied_ns) >= TIDY_EVERY_NS {
                self.tidied_ns = now_ns;
                self.tidy(&look);
            }
            self.shared.stats().looks_total += 1;
            doorbell::wait(self.wait_ns(now_ns));
        }
        if let Some(lowered) = self.relief.and_then(|r| r.lowered) {
            lowered.restore();
        }
    }

    fn observe(&mut self, at_ns: u64) -> (Observed, Look) {
        let needs = self.engine.needs(self.watch.limit_bytes());
        let mut wanted = Wanted {
            working_set_from_bytes: needs.working_set_from_bytes,
            rss: needs.rss,
            stall: needs.stall,
        };
        if let Some(relief) = &self.relief {
            relief.want(&mut wanted, self.watch.limit_bytes());
        }
        let look = self.watch.look(at_ns, &wanted);
        let (mut events, dropped) = told::take();
        for listening in &self.signals {
            events.extend((0..listening.take()).map(|_| Event::Signal(listening.signal())));
        }
        #[cfg(feature = "tasks")]
        events.extend(crate::tasks::take_slow().map(|(ns, what)| Event::SlowPoll { ns, what }));
        events.extend(alloc_failure::take().map(|bytes| Event::AllocFailed { bytes }));
        self.shared.stats().events_dropped_total = dropped;
        let observed = Observed {
            at_ns,
            limit_bytes: look.limit_bytes,
            working_set_bytes: look.working_set_bytes,
            rss_bytes: look.rss_bytes,
            total_bytes: look.total_bytes,
            #[cfg(feature = "tasks")]
            tasks: needs.tasks.then(crate::tasks::live_count),
            #[cfg(not(feature = "tasks"))]
            tasks: None,
            stall_some_percent: look.stall_some_percent,
            stall_full_percent: look.stall_full_percent,
            events,
        };
        (observed, look)
    }

    /// Gives back what was set aside; what may be allocated then.
    fn make_room(&mut self, look: &Look) -> Option<u64> {
        let held = self.reserve.held();
        self.reserve.release();
        let (limit, charged) = look.limit_bytes.zip(look.charged_bytes)?;
        Some(limit.saturating_sub(charged).saturating_add(held))
    }

    fn remember(&mut self, firing: Firing) {
        let position = self.engine.rules().position(|r| r.name == firing.rule);
        if let Some(place) = position.and_then(|p| self.last.get_mut(p)) {
            *place = Some(firing);
        }
        self.tidied_ns = 0;
    }

    fn relieve(&mut self, observed: &Observed) {
        if let Some(relief) = &mut self.relief {
            relief.step(observed);
        }
    }

    /// The reserve, and what `status` shows.
    fn tidy(&mut self, look: &Look) {
        let bound = self.actor.heap.as_ref().map_or(0, |heap| heap.snapshot_bound_bytes(true));
        if self.captures {
            self.reserve.keep(bound, look.limit_bytes, look.charged_bytes);
        }
        let mut rules = self.engine.stats();
        for (stats, last) in rules.iter_mut().zip(&self.last) {
            stats.last.clone_from(last);
        }
        let taken = self.signals.iter().filter(|s| !s.is_ours()).map(|s| Problem {
            part: "rules".into(),
            what: format!("the program has set a handler of its own for signal {} since", s.signal()),
            next: "choose another signal, or call diag::trigger from where it is handled".into(),
        });
        let mut stats = self.shared.stats();
        stats.problems.retain(|p| !p.what.contains("handler of its own"));
        stats.problems.extend(taken);
        stats.rules = rules;
        stats.reserve_bytes = self.reserve.held();
        stats.capture_bound_bytes = bound;
        stats.relief = self.relief.as_ref().map(Relieving::stats);
    }

    fn wait_ns(&self, now_ns: u64) -> u64 {
        let mut wait = self.engine.next_look_ns();
        if self.relief.is_some() {
            wait = wait.min(RELIEF_LOOK_NS);
        }
        #[cfg(feature = "cpu")]
        if let Some(recording) = &self.actor.recording {
            wait = wait.min(recording.until_ns().saturating_sub(now_ns));
        }
        let _ = now_ns;
        wait
    }
}

impl Relieving {
    fn want(&self, wanted: &mut Wanted, limit_bytes: Option<u64>) {
        match self.policy.at {
            // Near the level it must be exact; a tenth below is where pressure ends.
            Level::Share(share) => {
                let from = limit_bytes.map_or(0, |limit| (limit as f64 * share * 0.9) as u64);
                let other = wanted.working_set_from_bytes.unwrap_or(u64::MAX);
                wanted.working_set_from_bytes = Some(other.min(from));
            }
            Level::Bytes(_) => wanted.rss = true,
        }
        wanted.stall |= self.policy.stall_some_percent.is_some();
    }

    fn step(&mut self, observed: &Observed) {
        let level = match self.policy.at {
            Level::Share(share) => observed
                .working_set_bytes
                .zip(observed.limit_bytes)
                .map(|(used, limit)| (used as f64, limit as f64 * share)),
            Level::Bytes(bytes) => observed.rss_bytes.map(|rss| (rss as f64, bytes as f64)),
        };
        match self.state.step(&self.policy, observed.at_ns, level, observed.stall_some_percent) {
            Some(Order::Lower) => {
                self.lowered = Some(jemalloc_decay::lower());
                self.lowered_total += 1;
                self.purge();
            }
            Some(Order::Purge) => self.purge(),
            Some(Order::Restore) => {
                if let Some(lowered) = self.lowered.take() {
                    lowered.restore();
                }
            }
            None => {}
        }
    }

    fn purge(&mut self) {
        // Without jemalloc there is nothing to give back.
        if crate::memory::give_back().is_ok() {
            self.purges_total += 1;
        }
    }

    fn stats(&self) -> ReliefStats {
        ReliefStats {
            policy: self.policy,
            lowered: self.state.is_lowered(),
            lowered_total: self.lowered_total,
            purges_total: self.purges_total,
        }
    }
}
