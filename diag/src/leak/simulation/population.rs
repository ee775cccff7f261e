//! Births, lifetimes, processes.

use crate::leak::{Options, Report, Stacks, judge};
use crate::profile::cohorts::{Census, Cohorts, Tally};
use crate::profile::testing::Stacks as Named;
use crate::profile::{Profile, StackId};

pub(crate) const S: i64 = 1_000_000_000;
/// Each sample stands for one period.
pub(crate) const PERIOD: f64 = 524_288.0;

/// SplitMix64.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even in (0, 1].
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }
}

/// How many samples are born when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Births {
    /// So many a second.
    Steady(f64),
    /// Batches of `size`, so many batches a second.
    Batched { rate: f64, size: u32 },
    /// `rate` until the time, twice as many after.
    Doubling { rate: f64, at: f64 },
    /// `rate` until the time, `factor` times as many after.
    Shifted { rate: f64, factor: f64, at: f64 },
    /// Between nothing and twice the rate, with a period.
    Wave { rate: f64, period: f64 },
    /// Steady, but only from a time on.
    From { rate: f64, at: f64 },
    /// So many within the first seconds.
    Startup { count: u32, seconds: f64 },
}

/// How long an object lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    Exponential(f64),
    /// P(life > t) = (1 + t/scale)^-shape.
    Pareto {
        scale: f64,
        shape: f64,
    },
    /// The first with a probability, else the second.
    Bimodal {
        short: f64,
        long: f64,
        share_long: f64,
    },
    /// Exactly so long.
    Ttl(f64),
    /// Until so many later ones are born: a cache with a bound.
    Bounded(usize),
    /// All until the next multiple of a period: a saw.
    Saw(f64),
    /// For ever with a probability, else exponential.
    Leak {
        share: f64,
        mean: f64,
    },
}

/// A stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    pub(crate) births: Births,
    pub(crate) lifetime: Lifetime,
}

impl Population {
    /// Births and deaths until the end, sorted by birth.
    pub(crate) fn lives(&self, until: f64, random: &mut Random) -> Vec<(f64, f64)> {
        let mut born = self.births.times(until, random);
        born.sort_by(f64::total_cmp);
        let lives = born.iter().enumerate().map(|(i, &at)| {
            let life = match self.lifetime {
                Lifetime::Exponential(mean) => random.exponential(mean),
                Lifetime::Pareto { scale, shape } => scale * (random.unit().powf(-1.0 / shape) - 1.0),
                Lifetime::Bimodal { short, long, share_long } => {
                    let mean = if random.unit() < share_long { long } else { short };
                    random.exponential(mean)
                }
                Lifetime::Ttl(ttl) => ttl,
                Lifetime::Bounded(bound) => born.get(i + bound).map_or(f64::INFINITY, |later| later - at),
                Lifetime::Saw(period) => period - at % period,
                Lifetime::Leak { share, mean } => {
                    if random.unit() < share {
                        f64::INFINITY
                    } else {
                        random.exponential(mean)
                    }
                }
            };
            (at, at + life)
        });
        lives.collect()
    }
}

impl Births {
    fn times(self, until: f64, random: &mut Random) -> Vec<f64> {
        let mut times = Vec::new();
        let mut thinned = |random: &mut Random, most: f64, rate: &dyn Fn(f64) -> f64, each: u32| {
            let mut at = random.exponential(1.0 / most);
            while at < until {
                if random.unit() * most <= rate(at) {
                    times.extend((0..each).map(|_| at));
                }
                at += random.exponential(1.0 / most);
            }
        };
        match self {
            Self::Steady(rate) => thinned(random, rate, &|_| rate, 1),
            Self::Batched { rate, size } => thinned(random, rate, &|_| rate, size),
            Self::Doubling { rate, at } => {
                return Self::Shifted { rate, factor: 2.0, at }.times(until, random);
            }
            Self::Shifted { rate, factor, at } => {
                thinned(random, factor * rate, &|t| if t < at { rate } else { factor * rate }, 1);
            }
            Self::Wave { rate, period } => {
                let wave = |t: f64| rate * (1.0 + (t / period * std::f64::consts::TAU).sin());
                thinned(random, 2.0 * rate, &wave, 1);
            }
            Self::From { rate, at } => thinned(random, rate, &|t| if t < at { 0.0 } else { rate }, 1),
            Self::Startup { count, seconds } => {
                times.extend((0..count).map(|_| random.unit() * seconds));
            }
        }
        times
    }
}

/// A process: its stacks with their lives, and how long it was watched.
pub(crate) struct Process {
    pub(crate) stacks: Vec<Vec<(f64, f64)>>,
    pub(crate) until: f64,
}

impl Process {
    pub(crate) fn new(populations: &[Population], until: f64, seed: u64) -> Self {
        let mut random = Random(seed);
        Self { stacks: populations.iter().map(|p| p.lives(until, &mut random)).collect(), until }
    }

    /// The cohorts that censuses from `from` on, at 64 to 128 times, would have made. Exactly what [`Cohorts::census`]
    /// makes, only faster.
    pub(crate) fn cohorts(&self, from: f64, resolution: f64) -> Cohorts {
        let mut cohorts = Cohorts::new((from * 1e9) as i64, (resolution * 1e9) as i64, 1 << 30);
        let all: Vec<f64> = {
            let mut all: Vec<f64> = self.stacks.iter().flatten().map(|(born, _)| *born).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let mut at = from;
        while at <= self.until + 1e-9 {
            let births = all.partition_point(|born| *born <= at) as f64;
            let census =
                Census { at_ns: (at * 1e9) as i64, births, allocated_bytes: births * PERIOD, work_units: 0 };
            let mut taking = cohorts.census(census).unwrap();
            for (row, lives) in self.stacks.iter().enumerate() {
                for &(born, died) in lives {
                    if born > at {
                        break;
                    }
                    if died > at {
                        taking.object(row as u32, (born * 1e9) as i64, 64, Tally::of(8192.0, PERIOD));
                    }
                }
                taking.births(row as u32, lives.partition_point(|(born, _)| *born <= at) as f64);
            }
            taking.finish();
            at += resolution;
        }
        cohorts
    }

    /// A profile with one function a stack, `stack<number>`, that holds what is alive at the end.
    pub(crate) fn profile(&self) -> Profile {
        let mut named = Named::new(&["inuse_objects/count", "inuse_space/bytes"]);
        for (number, lives) in self.stacks.iter().enumerate() {
            let alive = lives.iter().filter(|(_, died)| *died > self.until).count() as i64;
            named = named.add(&format!("main;stack{number}"), &[alive * 8192, alive * PERIOD as i64]);
        }
        named.build()
    }

    /// The verdict, with `cells` censuses.
    pub(crate) fn judge(&self, from: f64, cells: f64) -> Report {
        let cohorts = self.cohorts(from, (self.until - from) / cells);
        let options =
            Options { period_bytes: PERIOD as u64, process_start_ns: Some(0), ..Options::default() };
        judge_cohorts(&cohorts, &self.profile(), &options)
    }
}

/// Judges with the stack `stack<number>` for row `number`.
pub(crate) fn judge_cohorts(cohorts: &Cohorts, profile: &Profile, options: &Options) -> Report {
    let stacks: Vec<StackId> = profile.samples().map(|s| s.stack).collect();
    judge(cohorts, Stacks { profile, of_row: &|row| stacks.get(row as usize).copied() }, options)
}
