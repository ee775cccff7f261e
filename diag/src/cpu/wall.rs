//! A recording of time that passes: each thread is looked at in turn, and charged with the time since the last look.
//!
//! A thread whose CPU clock has not moved since it was last asked is where it was: it is charged without being disturbed. Any
//! other is asked by a signal. So a thread that waits for good is interrupted once, and a busy one as often as its turn
//! comes. At most [`LOOKS_A_SECOND`] looks in all, a few microseconds each for the sampler, and about two for a thread asked.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::CpuError;
use super::calibrate::Weights;
use super::calls::{Calls, Row, State, Sum};
use super::ladder::Choice;
use super::names::Names;
use super::recording::Control;
use super::session::{Begun, Recorded, Tally, begin, remark};
use super::threads::list;
use crate::sys::code::Code;
use crate::sys::cpu::handler::Shared;
use crate::sys::cpu::{clock, signal};

/// Looks a second in all.
const LOOKS_A_SECOND: u32 = 1_000;
/// Threads that were asked have so long to answer.
const TO_ANSWER: Duration = Duration::from_millis(2);

/// What is known of a thread.
struct Known {
    /// Until then its time is charged.
    charged: Instant,
    /// Its CPU clock after the last answer, if it waited then, and where it was.
    asked_at_ns: Option<u64>,
    row: Option<Row>,
    seen: u64,
}

/// Records until it is told to end.
pub(super) fn run(choice: Choice, hz: u32, control: &Control) -> Result<Recorded, CpuError> {
    let period = Duration::from_nanos(1_000_000_000 / u64::from(hz));
    let Begun { code, shared, installed } = begin(period.as_nanos() as u64)?;
    let began = Instant::now();
    control.begun();

    let mut looks = Looks {
        code,
        shared,
        me: crate::sys::thread::thread_id(),
        known: HashMap::new(),
        names: Names::default(),
        calls: Calls::new(),
        tally: Tally::default(),
        unanswered: 0,
        round: 0,
        turn: 0,
    };
    let most = (LOOKS_A_SECOND / hz).max(1) as usize;
    let mut next = began;
    while !control.wait(next.saturating_duration_since(Instant::now())) {
        if Instant::now() >= next {
            looks.round(most);
            next = (next + period).max(Instant::now());
        }
    }
    let length = began.elapsed();
    shared.end();
    let restored = remark(installed.restore());
    shared.give_back();

    let mut losses = looks.tally.losses(&looks.calls, &shared.losses);
    if looks.unanswered > 0 {
        losses.insert("cpu_unanswered_looks".to_owned(), looks.unanswered);
    }
    let mut remarks =
        vec![format!("at most {LOOKS_A_SECOND} looks a second; {} threads met", looks.known.len())];
    remarks.extend(restored);
    Ok(Recorded {
        samples: looks.tally.samples(),
        overruns: 0,
        calls: looks.calls,
        names: looks.names,
        weights: Weights::none(),
        choice,
        period_ns: period.as_nanos() as u64,
        length,
        ended_unix_ns: crate::sys::clock::unix_ns(),
        losses,
        remarks,
    })
}

struct Looks {
    code: &'static Code,
    shared: &'static Shared,
    me: u32,
    known: HashMap<u32, Known>,
    names: Names,
    calls: Calls,
    tally: Tally,
    unanswered: u64,
    round: u64,
    /// The thread after which the next round begins.
    turn: u32,
}

impl Looks {
    /// Looks at up to `most` threads.
    fn round(&mut self, most: usize) {
        self.round += 1;
        let Some(mut threads) = list() else { return };
        threads.retain(|t| *t != self.me);
        threads.sort_unstable();
        let now = Instant::now();
        for &thread in &threads {
            let new = Known { charged: now, asked_at_ns: None, row: None, seen: 0 };
            self.known.entry(thread).or_insert(new).seen = self.round;
            self.names.look(thread);
        }
        let round = self.round;
        // The list ends early when a thread ends while it is read.
        self.known.retain(|thread, known| known.seen == round || clock::thread_cpu_ns(*thread).is_some());
        let first = threads.partition_point(|t| *t <= self.turn);
        let turns: Vec<u32> =
            threads.iter().cycle().skip(first).take(most.min(threads.len())).copied().collect();
        self.turn = turns.last().copied().unwrap_or(0);
        let asked: HashMap<u32, State> = turns.into_iter().filter_map(|t| Some((t, self.look(t)?))).collect();
        self.collect(&asked);
    }

    /// Charges a thread that has not moved; asks any other and gives its state.
    fn look(&mut self, thread: u32) -> Option<State> {
        let cpu_ns = clock::thread_cpu_ns(thread)?;
        let known = self.known.get_mut(&thread)?;
        match known.row {
            Some(row) if known.asked_at_ns == Some(cpu_ns) => {
                self.calls.add(row, charge(known));
                None
            }
            _ => {
                let state = state(thread)?;
                signal::ask(thread).ok()?;
                Some(state)
            }
        }
    }

    /// Takes the answers.
    fn collect(&mut self, asked: &HashMap<u32, State>) {
        if asked.is_empty() {
            return;
        }
        std::thread::sleep(TO_ANSWER);
        let mut answered = HashSet::new();
        let Self { code, shared, known, calls, tally, names, .. } = self;
        shared.ring.drain(|sample, copy| {
            let node = tally.take(code, calls, sample, copy.as_ref());
            let Some(known) = known.get_mut(&sample.thread) else { return };
            names.note(sample.thread, &sample.name);
            let state = asked.get(&sample.thread).copied().unwrap_or_default();
            let row = Row { node, thread: sample.thread, context: sample.context, state };
            calls.add(row, charge(known));
            // One that ran has moved on since, and may wait elsewhere by now.
            let stays = state != State::Running;
            (known.row, known.asked_at_ns) =
                (Some(row), stays.then(|| clock::thread_cpu_ns(sample.thread)).flatten());
            answered.insert(sample.thread);
        });
        for (&thread, &state) in asked.iter().filter(|(thread, _)| !answered.contains(thread)) {
            // It may answer in a later round; until then this is all that is known.
            if let Some(known) = known.get_mut(&thread) {
                self.unanswered += 1;
                calls.add(Row { node: Calls::NO_ANSWER, thread, context: 0, state }, charge(known));
            }
        }
    }
}

/// The time since the last look.
fn charge(known: &mut Known) -> Sum {
    let now = Instant::now();
    let since = now.duration_since(std::mem::replace(&mut known.charged, now));
    Sum { samples: 1, ns: since.as_nanos() as u64 }
}

/// What the kernel says that a thread does. Source: proc_pid_stat(5).
fn state(thread: u32) -> Option<State> {
    let stat = std::fs::read(format!("/proc/self/task/{thread}/stat")).ok()?;
    let after_name = stat.iter().rposition(|b| *b == b')')?;
    match stat.get(after_name + 2)? {
        b'R' => Some(State::Running),
        b'D' => Some(State::Disk),
        _ => Some(State::Waiting),
    }
}
