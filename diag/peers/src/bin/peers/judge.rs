//! The targets, on the service: six processes live side by side, and the client asks one after the other for a turn each, in an order that
//! differs; who has no turn is stopped. So what the machine does meanwhile meets all of them within seconds. Each round has new processes,
//! for where their memory lies is chance, too.

use std::time::Duration;

use diag_peers::random::Random;
use diag_peers::workloads::Kind;

use crate::machine::{Busy, processors};
use crate::process::Process;
use crate::stats::{Interval, Outcome, at_most};
use crate::variants::{ALL, CPU, HEAP, NOTHING, RECORDER, REGISTRY, Variant};
use crate::{Plan, load};

const NAMES: [&str; 6] = [NOTHING, REGISTRY, HEAP, CPU, RECORDER, ALL];
/// Of a turn: caches are another process's at first.
const WARM_UP: Duration = Duration::from_millis(80);
/// Turns in which other programs had more of the processors than this do not count.
pub(crate) const MOST_OTHERS: f64 = 0.1;

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    throughput: f64,
    p99_us: f64,
    /// Of the process, a request.
    cpu_us: f64,
}

#[derive(Clone, Copy, Debug)]
enum Measure {
    Throughput,
    P99,
    Cpu,
}

/// All of them, one after the other.
#[derive(Clone, Copy, Debug)]
struct Turns {
    turns: [Turn; NAMES.len()],
    disturbed: bool,
}

pub(crate) struct Judged {
    /// By round; each in the order of [`NAMES`].
    rounds: Vec<Vec<Turns>>,
}

pub(crate) struct Verdict {
    pub(crate) what: &'static str,
    /// The target in percent, and whether it is met; some are only told.
    pub(crate) limit: Option<(f64, Outcome)>,
    /// In percent.
    pub(crate) loss: Option<Interval>,
}

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Judged> {
    let mut judged = Judged { rounds: Vec::new() };
    let mut random = Random::new(3);
    let apart = processors() > 1;
    for round in 0..plan.judged_rounds {
        let start = |name: &&str| -> anyhow::Result<Process> {
            let variant = Variant::named(name).ok_or_else(|| anyhow::anyhow!("no {name}"))?;
            let process = Process::start(plan, variant, Kind::Service, apart.then_some(0))?;
            load::load(process.listening()?, plan.warm_up, Duration::ZERO, apart.then_some(1))?;
            process.pause()?;
            Ok(process)
        };
        let mut processes: Vec<Process> = NAMES.iter().map(start).collect::<anyhow::Result<_>>()?;
        let mut turns = Vec::new();
        for _ in 0..plan.turns {
            let mut order: Vec<usize> = (0..NAMES.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, random.below(at + 1));
            }
            let (mut all, mut others) = ([Turn::default(); NAMES.len()], 0f64);
            for at in order {
                let (Some(process), Some(place)) = (processes.get_mut(at), all.get_mut(at)) else { continue };
                let (turn, disturbed) = take_turn(plan, process, apart)?;
                *place = turn;
                others = others.max(disturbed);
            }
            turns.push(Turns { turns: all, disturbed: others > MOST_OTHERS });
        }
        let quiet = turns.iter().filter(|all| !all.disturbed).count();
        eprintln!("judged round {round}: {quiet} turns of {} count", plan.turns);
        judged.rounds.push(turns);
        for process in processes {
            process.resume()?;
            process.quit()?;
        }
    }
    Ok(judged)
}

/// The others had so much of the processors.
fn take_turn(plan: &Plan, process: &mut Process, apart: bool) -> anyhow::Result<(Turn, f64)> {
    process.resume()?;
    let service = process.listening()?;
    load::load(service, WARM_UP, Duration::ZERO, apart.then_some(1))?;
    let (before, busy) = (process.usage()?, Busy::now());
    let window = load::load(service, Duration::ZERO, plan.turn, apart.then_some(1))?;
    let (after, now) = (process.usage()?, Busy::now());
    process.pause()?;
    let cpu_ns = after.cpu_ns - before.cpu_ns;
    let turn = Turn {
        throughput: window.operations as f64 / window.seconds,
        p99_us: window.p99_us,
        cpu_us: cpu_ns as f64 / 1e3 / window.operations.max(1) as f64,
    };
    Ok((turn, now.others_since(busy, cpu_ns)))
}

impl Judged {
    /// All, and those in which others had too much of the processors.
    pub(crate) fn turns(&self) -> (usize, usize) {
        let all = self.rounds.iter().flatten();
        (all.clone().count(), all.filter(|all| all.disturbed).count())
    }

    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        use Measure::{P99, Throughput};
        let verdict = |what, new, base, measure, limit_percent: Option<f64>| {
            let loss = self.loss(new, base, measure);
            let judge = |limit| loss.as_ref().map_or(Outcome::Undecided, |loss| at_most(limit, loss));
            Verdict { what, limit: limit_percent.map(|limit| (limit, judge(limit))), loss }
        };
        vec![
            verdict("heap alone: throughput", HEAP, NOTHING, Throughput, Some(1.0)),
            verdict("all: throughput", ALL, NOTHING, Throughput, Some(2.0)),
            verdict("all: p99", ALL, NOTHING, P99, Some(5.0)),
            verdict("heap alone: p99", HEAP, NOTHING, P99, None),
            verdict("heap alone: CPU a request", HEAP, NOTHING, Measure::Cpu, None),
            verdict("all: CPU a request", ALL, NOTHING, Measure::Cpu, None),
            verdict("spans on, nobody records: throughput", REGISTRY, NOTHING, Throughput, None),
            verdict("spans on, nobody records: p99", REGISTRY, NOTHING, P99, None),
            verdict("spans on, nobody records: CPU a request", REGISTRY, NOTHING, Measure::Cpu, None),
            verdict("CPU samples, against heap alone: throughput", CPU, HEAP, Throughput, None),
            verdict("CPU samples, against heap alone: p99", CPU, HEAP, P99, None),
            verdict("CPU samples, against heap alone: CPU a request", CPU, HEAP, Measure::Cpu, None),
            verdict("recorder and spans, against heap alone: throughput", RECORDER, HEAP, Throughput, None),
            verdict("recorder and spans, against heap alone: p99", RECORDER, HEAP, P99, None),
            verdict(
                "recorder and spans, against heap alone: CPU a request",
                RECORDER,
                HEAP,
                Measure::Cpu,
                None,
            ),
            verdict("all, against a service with spans on: throughput", ALL, REGISTRY, Throughput, None),
            verdict("all, against a service with spans on: p99", ALL, REGISTRY, P99, None),
            verdict("all, against a service with spans on: CPU a request", ALL, REGISTRY, Measure::Cpu, None),
        ]
    }

    /// In percent of the baseline, turn by turn. CPU time does not pass while others run, so all turns count for it.
    fn loss(&self, new: &str, base: &str, measure: Measure) -> Option<Interval> {
        let new = NAMES.iter().position(|name| *name == new)?;
        let base = NAMES.iter().position(|name| *name == base)?;
        let of_turn = |all: &Turns| -> Option<f64> {
            let (new, base) = (all.turns.get(new)?, all.turns.get(base)?);
            match measure {
                Measure::Cpu => Some((new.cpu_us / base.cpu_us - 1.0) * 100.0),
                _ if all.disturbed => None,
                Measure::Throughput => Some((1.0 - new.throughput / base.throughput) * 100.0),
                Measure::P99 => Some((new.p99_us / base.p99_us - 1.0) * 100.0),
            }
        };
        let groups: Vec<Vec<f64>> =
            self.rounds.iter().map(|turns| turns.iter().filter_map(of_turn).collect()).collect();
        Interval::of(&groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(disturbed: bool) -> Judged {
        let turn = |throughput, p99_us, cpu_us| Turn { throughput, p99_us, cpu_us };
        let turns = [
            turn(1000.0, 100.0, 10.0),
            turn(990.0, 101.0, 10.1),
            turn(995.0, 100.0, 10.05),
            turn(994.0, 101.0, 10.06),
            turn(950.0, 105.0, 10.5),
            turn(900.0, 120.0, 11.0),
        ];
        Judged { rounds: vec![vec![Turns { turns, disturbed }; 8]; 8] }
    }

    fn of(judged: &Judged, what: &str) -> Verdict {
        judged.verdicts().into_iter().find(|v| v.what == what).unwrap()
    }

    #[test]
    fn losses_are_told_against_the_right_one() {
        let judged = judged(false);
        let heap = of(&judged, "heap alone: throughput");
        assert!((heap.loss.unwrap().median - 0.5).abs() < 1e-9);
        assert_eq!(heap.limit, Some((1.0, Outcome::Pass)));
        assert_eq!(of(&judged, "all: throughput").limit, Some((2.0, Outcome::Fail)));
        assert!((of(&judged, "all: p99").loss.unwrap().median - 20.0).abs() < 1e-9);
    }

    #[test]
    fn disturbed_turns_count_for_nothing_but_cpu() {
        let judged = judged(true);
        assert_eq!(judged.turns(), (64, 64));
        let all = of(&judged, "all: throughput");
        assert_eq!((all.loss, all.limit), (None, Some((2.0, Outcome::Undecided))));
        assert!((of(&judged, "all: CPU a request").loss.unwrap().median - 10.0).abs() < 1e-9);
    }
}
