//! From time sampled to time used: nanoseconds that add up. Pure.
//!
//! The kernel knows exactly how much CPU time each thread and the whole process used; samples know where. So the samples of
//! a thread are weighted to sum to its time (a ratio estimator: Cochran, "Sampling Techniques", chapter 6): what a timer
//! lost is made up, and equal threads come out equal. Threads with few samples, whose ratio would be mostly chance, share one.
//! The time of a thread that ended is nearly known, from the last look at its clock or its last sample: it is taken for what was
//! sampled of it.
//!
//! A ratio far from 1 would blow up single samples. Beyond [`MOST_FACTOR`] the rest is said to be not sampled: threads that
//! block the signal, or ended too soon.

use std::collections::HashMap;

/// A thread with at least so many periods has a ratio of its own. Few are enough, since its time is known and not estimated; but
/// of many threads with hardly a sample each, those without one need the others to stand for them.
pub(super) const OWN_RATIO_PERIODS: u64 = 5;
/// And so has one that used so many, however few were sampled: then its signals do not come through.
const BUSY_PERIODS: u64 = 40;
const MOST_FACTOR: f64 = 4.0;

/// What is known of the time that was used.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    /// CPU time within the recording of the threads that live at its end, by thread.
    pub(super) threads: HashMap<u32, u64>,
    /// Of those that ended, about; by thread, perhaps not all.
    pub(super) ended: HashMap<u32, u64>,
    /// Of the whole process but the sampler.
    pub(super) process_ns: u64,
}

/// What a sampled nanosecond stands for.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    own: HashMap<u32, f64>,
    shared: f64,
    /// Time that no sample stands for.
    pub(super) unsampled_ns: u64,
    /// Share of the process's time that the samples stood for before; `None` when it used none.
    pub(super) accounted: Option<f64>,
}

impl Weights {
    /// From the time sampled by thread, a multiple of the period.
    pub(super) fn new(period_ns: u64, sampled_ns: &HashMap<u32, u64>, accounts: &Accounts) -> Self {
        let mut own = HashMap::new();
        let (mut own_ns, mut unsampled) = (0, 0.0);
        for (&thread, &cpu_ns) in &accounts.threads {
            let sampled = sampled_ns.get(&thread).copied().unwrap_or(0);
            if sampled >= OWN_RATIO_PERIODS * period_ns || cpu_ns >= BUSY_PERIODS * period_ns {
                let ratio = ratio(cpu_ns as f64, sampled);
                unsampled += cpu_ns as f64 - ratio * sampled as f64;
                own.insert(thread, ratio);
                own_ns += cpu_ns;
            }
        }
        let mut shared_sampled = 0;
        let mut of_ended = HashMap::new();
        for (&thread, &sampled) in sampled_ns.iter().filter(|(thread, _)| !own.contains_key(thread)) {
            match accounts.ended.get(&thread).filter(|_| sampled >= OWN_RATIO_PERIODS * period_ns) {
                Some(&cpu_ns) => {
                    let ratio = ratio(cpu_ns as f64, sampled);
                    shared_sampled += (ratio * sampled as f64) as u64;
                    of_ended.insert(thread, ratio);
                }
                None => shared_sampled += sampled,
            }
        }
        let shared_ns = accounts.process_ns.saturating_sub(own_ns) as f64;
        let shared = ratio(shared_ns, shared_sampled);
        own.extend(of_ended.into_iter().map(|(thread, ratio)| (thread, ratio * shared)));
        unsampled += shared_ns - shared * shared_sampled as f64;
        let unsampled = unsampled as u64;
        let all: u64 = sampled_ns.values().sum();
        Self {
            own,
            shared,
            // Less than a period is no news.
            unsampled_ns: if unsampled >= period_ns { unsampled } else { 0 },
            accounted: (accounts.process_ns > 0).then(|| all as f64 / accounts.process_ns as f64),
        }
    }

    /// Weights that change nothing.
    pub(super) fn none() -> Self {
        Self { own: HashMap::new(), shared: 1.0, unsampled_ns: 0, accounted: None }
    }

    /// Time used, of time sampled of a thread.
    pub(super) fn ns(&self, thread: u32, sampled_ns: u64) -> i64 {
        (self.own.get(&thread).unwrap_or(&self.shared) * sampled_ns as f64).round() as i64
    }
}

fn ratio(used_ns: f64, sampled_ns: u64) -> f64 {
    if sampled_ns == 0 { 1.0 } else { (used_ns / sampled_ns as f64).min(MOST_FACTOR) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn everything_adds_up_to_the_processs_time() {
        // Two busy threads, one with a sample, one without, and some that ended.
        let sampled = [(1, 4_900), (2, 5_100), (3, 10), (90, 10), (91, 10)];
        let sampled = HashMap::from(sampled.map(|(thread, ms)| (thread, ms * MS)));
        let accounts = Accounts {
            threads: HashMap::from([(1, 5_000 * MS), (2, 5_000 * MS), (3, 4 * MS), (4, 6 * MS)]),
            process_ns: 10_040 * MS,
            ..Accounts::default()
        };
        let weights = Weights::new(10 * MS, &sampled, &accounts);
        assert_eq!(weights.ns(1, sampled[&1]), weights.ns(2, sampled[&2]), "equal threads are equal");
        assert_eq!(weights.ns(3, sampled[&3]) as u64, 40 * MS / 3);
        let used = sampled.iter().map(|(thread, ns)| weights.ns(*thread, *ns) as u64).sum::<u64>();
        assert!((used + weights.unsampled_ns).abs_diff(accounts.process_ns) < 10, "{used}");
        let accounted = weights.accounted.unwrap();
        assert!((accounted - 10_030.0 / 10_040.0).abs() < 1e-9, "{accounted}");
    }

    #[test]
    fn equal_threads_that_ended_are_equal() {
        let sampled = HashMap::from([(1, 920 * MS), (2, 1_070 * MS), (3, 10 * MS)]);
        let accounts = Accounts {
            ended: HashMap::from([(1, 999 * MS), (2, 1_001 * MS)]),
            process_ns: 2_030 * MS,
            ..Accounts::default()
        };
        let weights = Weights::new(10 * MS, &sampled, &accounts);
        let ns = [1, 2, 3].map(|thread| weights.ns(thread, sampled[&thread]) as f64);
        assert!((ns[0] / ns[1] - 0.998).abs() < 1e-4, "{ns:?}");
        assert!((ns.iter().sum::<f64>() / 2_030e6 - 1.0).abs() < 1e-6, "{ns:?}");
        assert_eq!(weights.unsampled_ns, 0);
    }

    #[test]
    fn a_thread_that_blocks_the_signal_blows_up_nobody_else() {
        let sampled = HashMap::from([(1, 1_000 * MS), (3, 10 * MS)]);
        let accounts = Accounts {
            threads: HashMap::from([(1, 1_000 * MS), (2, 5_000 * MS), (3, 10 * MS)]),
            process_ns: 6_010 * MS,
            ..Accounts::default()
        };
        let weights = Weights::new(10 * MS, &sampled, &accounts);
        assert_eq!((weights.ns(1, 1_000 * MS) as u64, weights.ns(3, 10 * MS) as u64), (1_000 * MS, 10 * MS));
        assert_eq!(weights.unsampled_ns, 5_000 * MS);
    }

    #[test]
    fn time_without_samples_is_said_to_be() {
        let accounts = Accounts { process_ns: 100 * MS, ..Accounts::default() };
        let none = Weights::new(10 * MS, &HashMap::new(), &accounts);
        assert_eq!((none.unsampled_ns, none.accounted), (100 * MS, Some(0.0)));
        let few = HashMap::from([(1, 10 * MS)]);
        let weights = Weights::new(10 * MS, &few, &accounts);
        assert_eq!((weights.ns(1, 10 * MS) as u64, weights.unsampled_ns), (40 * MS, 60 * MS));
        let idle = Weights::new(10 * MS, &HashMap::new(), &Accounts::default());
        assert_eq!((idle.unsampled_ns, idle.accounted), (0, None));
    }
}
