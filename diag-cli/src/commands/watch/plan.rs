//! What the service is asked next, and when. Pure.
//!
//! Light questions (status, waterline, tasks) are a few milliseconds for the service and come each [`every`](Plan::new). Heavy ones
//! take a snapshot or a census: one at a time, [`HEAVY_GAP_MS`] apart, and so rarely that the service is at most a fiftieth of its
//! time at it. CPU profiles are asked for by hand.

use std::fmt;

use diag::endpoints;

/// Between heavy questions.
const HEAVY_GAP_MS: u64 = 5_000;
/// An answer that took long is asked for again after so many times that.
const REST: u64 = 50;
const LIGHT_REST: u64 = 5;
/// But at least so often.
const LONGEST_REST_MS: u64 = 600_000;
/// How long CPU time is recorded.
pub(super) const CPU_SECONDS: u64 = 5;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ask {
    /// Who are you?
    Status,
    /// The waterline.
    History,
    /// The tasks.
    Tasks,
    /// The live heap.
    Heap,
    /// The leak verdict.
    Verdict,
    /// CPU time.
    Cpu,
}

/// In the order in which they are due when all are.
pub(super) const ALL: [Ask; 6] = [Ask::Status, Ask::History, Ask::Tasks, Ask::Heap, Ask::Verdict, Ask::Cpu];

impl Ask {
    /// Whether it costs the service more than a few milliseconds.
    pub(super) fn is_heavy(self) -> bool {
        matches!(self, Self::Heap | Self::Verdict | Self::Cpu)
    }

    /// Where it is asked. `since_unix_ms` is for the waterline.
    pub(super) fn path(self, since_unix_ms: i64) -> String {
        match self {
            Self::Status => endpoints::API_STATUS.to_owned(),
            Self::History => format!("{}?since={}", endpoints::API_HISTORY, since_unix_ms.max(0)),
            Self::Tasks => endpoints::API_TASKS.to_owned(),
            Self::Heap => endpoints::PPROF_HEAP.to_owned(),
            Self::Verdict => endpoints::API_LEAKS.to_owned(),
            Self::Cpu => format!("{}?seconds={CPU_SECONDS}", endpoints::PPROF_PROFILE),
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "status",
            Self::History => "waterline",
            Self::Tasks => "tasks",
            Self::Heap => "heap",
            Self::Verdict => "verdict",
            Self::Cpu => "CPU",
        })
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// `None`: not by time.
    due_ms: Option<u64>,
    under_way: bool,
    /// Answers, misses included.
    answers: u32,
}

/// The timetable.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    every_ms: u64,
    heavy_gap_ms: u64,
    heavy_from_ms: u64,
    slots: [Slot; ALL.len()],
}

impl Plan {
    /// Light questions come each `every_ms`, the heap each second time, the verdict each sixth; all are due at once.
    pub(super) fn new(every_ms: u64) -> Self {
        let mut plan = Self {
            every_ms: every_ms.max(100),
            heavy_gap_ms: HEAVY_GAP_MS,
            heavy_from_ms: 0,
            slots: [Slot::default(); ALL.len()],
        };
        plan.anew(0);
        plan
    }

    /// One heavy question right after the other, for who looks once.
    #[must_use]
    pub(super) fn without_gap(self) -> Self {
        Self { heavy_gap_ms: 0, ..self }
    }

    /// Everything is due, CPU time excepted.
    pub(super) fn anew(&mut self, now_ms: u64) {
        for ask in ALL {
            self.slot(ask).due_ms = (ask != Ask::Cpu).then_some(now_ms);
        }
    }

    /// This one is due now.
    pub(super) fn ask_now(&mut self, ask: Ask, now_ms: u64) {
        self.slot(ask).due_ms = Some(now_ms);
    }

    /// What to ask now; it then counts as under way. Only the status while the service does not answer.
    pub(super) fn due(&mut self, now_ms: u64, is_up: bool) -> Vec<Ask> {
        let mut due = Vec::new();
        let heavy_busy = ALL.iter().any(|ask| ask.is_heavy() && self.is_under_way(*ask));
        if let Some(ask) = self.heaviest_due(now_ms).filter(|_| is_up && !heavy_busy) {
            // Somebody waits for CPU time.
            if ask == Ask::Cpu || now_ms >= self.heavy_from_ms {
                due.push(ask);
            }
        }
        let light = ALL.into_iter().filter(|ask| !ask.is_heavy() && (is_up || *ask == Ask::Status));
        due.extend(light.filter(|ask| self.is_due(*ask, now_ms)));
        for ask in &due {
            self.slot(*ask).under_way = true;
        }
        due
    }

    /// An answer came, or none; `took_ms` long. `pause_ms` is what a service asked for that did not answer.
    pub(super) fn answered(&mut self, ask: Ask, took_ms: u64, pause_ms: Option<u64>, now_ms: u64) {
        let pause = pause_ms.unwrap_or_else(|| self.spacing_ms(ask, took_ms));
        let slot = self.slot(ask);
        slot.under_way = false;
        slot.answers = slot.answers.saturating_add(1);
        slot.due_ms = (ask != Ask::Cpu).then_some(now_ms + pause);
        if ask.is_heavy() {
            self.heavy_from_ms = now_ms + self.heavy_gap_ms;
        }
    }

    /// How long a question rests that was answered in so long.
    pub(super) fn spacing_ms(&self, ask: Ask, took_ms: u64) -> u64 {
        let period = match ask {
            Ask::Status | Ask::History | Ask::Tasks => self.every_ms,
            Ask::Heap => self.every_ms.saturating_mul(2),
            Ask::Verdict => self.every_ms.saturating_mul(6),
            Ask::Cpu => 0,
        };
        let rest = took_ms.saturating_mul(if ask.is_heavy() { REST } else { LIGHT_REST });
        period.max(rest.min(LONGEST_REST_MS))
    }

    /// Whether each question that goes by time has been answered, or refused, so many times.
    pub(super) fn has_heard_all(&self) -> bool {
        ALL.into_iter().filter(|ask| *ask != Ask::Cpu).all(|ask| self.answers(ask) > 0)
    }

    /// How often it was answered, or refused.
    pub(super) fn answers(&self, ask: Ask) -> u32 {
        self.slots.get(ask as usize).map_or(0, |slot| slot.answers)
    }

    /// Whether an answer is awaited.
    pub(super) fn is_under_way(&self, ask: Ask) -> bool {
        self.slots.get(ask as usize).is_some_and(|slot| slot.under_way)
    }

    /// Seconds between light questions.
    pub(super) fn every_s(&self) -> f64 {
        self.every_ms as f64 / 1e3
    }

    fn is_due(&self, ask: Ask, now_ms: u64) -> bool {
        self.slots
            .get(ask as usize)
            .is_some_and(|s| !s.under_way && s.due_ms.is_some_and(|due| due <= now_ms))
    }

    /// CPU time, or else what has been due for longest.
    fn heaviest_due(&self, now_ms: u64) -> Option<Ask> {
        if self.is_due(Ask::Cpu, now_ms) {
            return Some(Ask::Cpu);
        }
        let due = [Ask::Heap, Ask::Verdict].into_iter().filter(|ask| self.is_due(*ask, now_ms));
        due.min_by_key(|ask| self.slots.get(*ask as usize).and_then(|slot| slot.due_ms))
    }

    fn slot(&mut self, ask: Ask) -> &mut Slot {
        // As many slots as questions: the index is the variant's number.
        let at = (ask as usize).min(ALL.len() - 1);
        #[allow(clippy::indexing_slicing)]
        &mut self.slots[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked when each answer takes `took_ms`, over so many seconds in steps of 100 ms.
    fn run(plan: &mut Plan, took_ms: u64, seconds: u64) -> Vec<(u64, Ask)> {
        let (mut asked, mut open) = (Vec::new(), Vec::<(u64, Ask)>::new());
        for now in (0..seconds * 1000).step_by(100) {
            for (_, ask) in open.extract_if(.., |(until, _)| *until <= now).collect::<Vec<_>>() {
                plan.answered(ask, took_ms, None, now);
            }
            for ask in plan.due(now, true) {
                asked.push((now, ask));
                open.push((now + took_ms, ask));
            }
        }
        asked
    }

    #[test]
    fn heavy_questions_are_alone_and_apart() {
        let asked = run(&mut Plan::new(5_000), 20, 120);
        let heavy: Vec<_> = asked.iter().filter(|(_, ask)| ask.is_heavy()).collect();
        assert_eq!(heavy.iter().filter(|(_, ask)| *ask == Ask::Verdict).count(), 4, "{heavy:?}");
        assert!(heavy.iter().filter(|(_, ask)| *ask == Ask::Heap).count() >= 8, "{heavy:?}");
        assert!(heavy.windows(2).all(|w| w[1].0 - w[0].0 >= HEAVY_GAP_MS), "{heavy:?}");
        let light = asked.iter().filter(|(_, ask)| *ask == Ask::Status).count();
        assert!((22..=24).contains(&light), "{light}");
        assert!(asked.iter().all(|(_, ask)| *ask != Ask::Cpu));
    }

    #[test]
    fn a_slow_service_is_asked_less() {
        let asked = run(&mut Plan::new(5_000), 2_000, 300);
        let heaps = asked.iter().filter(|(_, ask)| *ask == Ask::Heap).count();
        assert_eq!(heaps, 3, "2 s each, 100 s apart: {asked:?}");
    }

    #[test]
    fn a_service_that_is_gone_is_asked_who_it_is_and_nothing_else() {
        let mut plan = Plan::new(1_000);
        assert_eq!(plan.due(0, false), [Ask::Status]);
        assert_eq!(plan.due(10_000, false), [], "it is under way");
        plan.answered(Ask::Status, 1, Some(4_000), 10_000);
        assert_eq!(plan.due(13_900, false), []);
        assert_eq!(plan.due(14_000, false), [Ask::Status]);
    }

    #[test]
    fn cpu_goes_first_and_does_not_wait_for_the_gap() {
        let mut plan = Plan::new(5_000);
        assert_eq!(plan.due(0, true), [Ask::Heap, Ask::Status, Ask::History, Ask::Tasks]);
        plan.ask_now(Ask::Cpu, 10);
        assert_eq!(plan.due(10, true), [], "the heap is under way");
        plan.answered(Ask::Heap, 5, None, 15);
        assert_eq!(plan.due(15, true), [Ask::Cpu]);
        plan.answered(Ask::Cpu, 5_000, None, 5_015);
        assert_eq!(plan.due(10_014, true), []);
        assert!(plan.due(10_015, true).contains(&Ask::Verdict), "not again by itself");
    }
}
