//! Gained against lost: what one group of stacks won and lost in a window of time.
//!
//! At the window's end, S counts the samples that came of age inside it and are alive; O counts those that were of age
//! when it began and died in it. S - O is how much the population that is of age has grown. If the group is
//! stationary, whatever its lifetimes, S and O are Poisson with equal means, so S of S + O is binomial with 1/2.
//!
//! Three corrections, each towards silence:
//! - Load: births came at a rate that varied. With G(a) the share alive at age a and f(t) the birth rate, E[S] is the integral of
//!   f(t1 - a) G(a) over ages that came of age in the window, and E[O] weighs the same ages with the rate of earlier
//!   births. The mean rates at which the members of S and of O were born, both harmonic since each member stands for
//!   1/f(birth), give r, and 1/2 becomes r/(1 + r). r is at least 1: a falling load never helps to accuse.
//! - Batches: objects born or dying together are not independent. Counts are divided by the index of dispersion
//!   (variance by mean over cells of time) where that is clearly above 1.
//! - Rate of sampling: births are counted in samples, so that a change of the period is a change of load.

use super::tail;
use crate::profile::cohorts::{Census, Cohorts, Deaths, Row, Tally};

/// Samples that intervals are merged to have before a group's own birth rate is taken from them.
const OWN_RATE_SAMPLES: f64 = 20.0;
/// With so many in all its own rates count alone; with fewer the more of the process's.
const OWN_RATES_ALONE: f64 = 160.0;
/// Epochs that the births of a window are divided into.
const EPOCHS: usize = 8;
/// And those of the whole time watched, for the number of generations.
pub(super) const GENERATIONS: usize = 16;

/// A window that ends with the last census.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Number of the census it begins with, of the one in its middle if there is any, and of the last.
    pub(super) first: usize,
    pub(super) middle: Option<usize>,
    pub(super) last: usize,
    pub(super) from_ns: i64,
    pub(super) middle_ns: i64,
    pub(super) to_ns: i64,
    /// Age at which a sample counts; a multiple of the resolution.
    pub(super) maturity_ns: i64,
    pub(super) process_start_ns: i64,
    /// It begins earlier than wanted, since there was no census then: the first fill may be in it.
    pub(super) early: bool,
}

impl Window {
    /// From census `first` to the last; `None` when there is no time between.
    pub(super) fn new(
        cohorts: &Cohorts,
        first: usize,
        maturity_ns: i64,
        process_start_ns: i64,
    ) -> Option<Self> {
        let censuses = cohorts.censuses();
        let last = censuses.len().checked_sub(1)?;
        let (from_ns, to_ns) = (censuses.get(first)?.at_ns, censuses.get(last)?.at_ns);
        let half = from_ns + (to_ns - from_ns) / 2;
        let after = censuses.partition_point(|c| c.at_ns < half);
        let distance = |census: &usize| censuses.get(*census).map_or(i64::MAX, |c| (c.at_ns - half).abs());
        let middle = [after.saturating_sub(1), after].into_iter().min_by_key(distance).unwrap_or(after);
        let between = (first < middle && middle < last).then_some(middle);
        let middle_ns = between.and_then(|m| censuses.get(m)).map_or(half, |c| c.at_ns);
        (from_ns < to_ns).then_some(Self {
            first,
            middle: between,
            last,
            from_ns,
            middle_ns,
            to_ns,
            maturity_ns,
            process_start_ns,
            early: false,
        })
    }

    pub(super) fn seconds(&self) -> f64 {
        (self.to_ns - self.from_ns) as f64 / 1e9
    }
}

/// What a group won and lost in a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// S and O.
    pub(super) gained: Tally,
    pub(super) lost: Tally,
    /// The same for the halves of the window.
    pub(super) halves: [(u32, u32); 2],
    /// Work done while the members of the second half were born, by that of the first.
    pub(super) halves_ratio: f64,
    /// See the module; at least 1.
    pub(super) load_ratio: f64,
    /// Index of dispersion; at least 1.
    pub(super) dispersion: f64,
    /// P of S at least so large by chance.
    pub(super) p: f64,
    /// Mean age of all that died, seconds; 0 when nothing did.
    pub(super) age_at_death_s: f64,
    /// P of the second half's growth by chance.
    pub(super) p_second_half: f64,
    /// Share of the window's birth epochs that have survivors, of those that so many survivors would be found in.
    pub(super) spread: f64,
}

/// Sums over a group before the arithmetic.
struct Sums {
    gained: Tally,
    lost: Tally,
    halves: [(u32, u32); 2],
    /// Survivors by cell of birth, from the first cell that came of age in the window.
    by_birth: Vec<u32>,
    /// All deaths by census, also of those that came of age in the window.
    by_death: Vec<u32>,
    /// Sum of the ages of all that died, seconds.
    ages_at_death_s: f64,
    /// Sums of 1/rate over the members of S and O.
    gained_by_rate: f64,
    lost_by_rate: f64,
}

impl Flow {
    /// Of the rows of a group.
    pub(super) fn of(cohorts: &Cohorts, rows: &[&Row], window: &Window) -> Self {
        let rates = Rates::of(cohorts, rows, window.process_start_ns);
        let resolution = cohorts.resolution_ns();
        let young_from = window.from_ns - window.maturity_ns;
        let young_to = window.to_ns - window.maturity_ns;
        let young_middle = window.middle_ns - window.maturity_ns;
        let cells = ((young_to - young_from) / resolution).max(1) as usize;
        let mut sums = Sums {
            gained: Tally::default(),
            lost: Tally::default(),
            halves: [(0, 0); 2],
            by_birth: vec![0; cells],
            by_death: vec![0; window.last + 1],
            ages_at_death_s: 0.0,
            gained_by_rate: 0.0,
            lost_by_rate: 0.0,
        };
        for cohort in rows.iter().flat_map(|row| &row.cohorts) {
            let born = cohort.born_ns;
            let rate = rates.at(born);
            for deaths in &cohort.deaths {
                if let Some(count) = sums.by_death.get_mut(usize::from(deaths.census)) {
                    *count += deaths.tally.samples;
                }
                let died_ns = cohorts.censuses().get(usize::from(deaths.census)).map_or(born, |c| c.at_ns);
                sums.ages_at_death_s += f64::from(deaths.tally.samples) * (died_ns - born) as f64 / 1e9;
            }
            // Without a census in the middle, growth in halves is told by births alone.
            let late = |d: &Deaths| window.middle.is_some_and(|middle| usize::from(d.census) > middle);
            let died_late = || cohort.deaths.iter().filter(|d| late(d)).map(|d| d.tally.samples).sum::<u32>();
            let [first, second] = &mut sums.halves;
            if born < young_from {
                for deaths in cohort.deaths.iter().filter(|d| usize::from(d.census) > window.first) {
                    sums.lost.add(deaths.tally);
                    sums.lost_by_rate += f64::from(deaths.tally.samples) / rate;
                    let half = if late(deaths) { &mut *second } else { &mut *first };
                    half.1 += deaths.tally.samples;
                }
            } else if born < young_to {
                sums.gained.add(cohort.alive);
                sums.gained_by_rate += f64::from(cohort.alive.samples) / rate;
                if let Some(count) = sums.by_birth.get_mut(((born - young_from) / resolution) as usize) {
                    *count += cohort.alive.samples;
                }
                if born < young_middle {
                    first.0 += cohort.alive.samples + died_late();
                    second.1 += died_late();
                } else {
                    second.0 += cohort.alive.samples;
                }
            }
        }
        sums.into_flow(window, &rates)
    }

    /// Net samples.
    pub(super) fn net(&self) -> f64 {
        f64::from(self.gained.samples) - f64::from(self.lost.samples)
    }

    /// Counts divided by the dispersion.
    pub(super) fn effective(&self) -> (f64, f64) {
        (f64::from(self.gained.samples) / self.dispersion, f64::from(self.lost.samples) / self.dispersion)
    }

    /// P if objects were born and died independently of each other.
    pub(super) fn p_one_by_one(&self) -> f64 {
        let (gained, lost) = (f64::from(self.gained.samples), f64::from(self.lost.samples));
        tail::at_least(gained, lost, self.load_ratio / (1.0 + self.load_ratio))
    }

    /// The smallest p that so many samples could give: all of them gained.
    pub(super) fn smallest_p(&self) -> f64 {
        let (gained, lost) = self.effective();
        tail::at_least(gained + lost, 0.0, self.load_ratio / (1.0 + self.load_ratio))
    }

    /// Net bytes in the window, and their lower 95 % bound: each sample counts its weight, variances add up.
    pub(super) fn net_bytes(&self) -> (f64, f64) {
        let net = f64::from(self.gained.bytes) - f64::from(self.lost.bytes);
        let variance = (f64::from(self.gained.bytes_sq) + f64::from(self.lost.bytes_sq)) * self.dispersion;
        (net, net - 1.645 * variance.sqrt())
    }

    /// How growth goes on: 1 + log2 of the second half's net by the first's, each a unit of work, with its standard error. 1 is linear; a
    /// logarithm or a cache that fills up is below.
    pub(super) fn exponent(&self) -> (f64, f64) {
        let net = |(gained, lost): (u32, u32)| f64::from(gained) - f64::from(lost);
        let [first, second] = self.halves;
        let (n1, n2) = (net(first), net(second));
        if n2 <= 0.0 {
            return (-9.0, 0.0);
        }
        if n1 <= 0.0 {
            return (3.0, 0.0);
        }
        let count = |(gained, lost): (u32, u32)| f64::from(gained + lost);
        let variance = count(first) / (n1 * n1) + count(second) / (n2 * n2);
        (
            1.0 + (n2 / n1 / self.halves_ratio).log2(),
            (variance * self.dispersion).sqrt() / std::f64::consts::LN_2,
        )
    }
}

impl Sums {
    fn into_flow(self, window: &Window, rates: &Rates<'_>) -> Flow {
        let (gained, lost) = (f64::from(self.gained.samples), f64::from(self.lost.samples));
        // Few deaths say little about when the dead were born; so many more at the usual rate are taken as seen.
        const USUAL: f64 = 4.0;
        let usual_rate = rates.mean_before(window.from_ns - window.maturity_ns);
        let lost_rate = (lost + USUAL) / (self.lost_by_rate + USUAL / usual_rate);
        let gained_rate = if gained > 0.0 { gained / self.gained_by_rate } else { usual_rate };
        let load_ratio = (gained_rate / lost_rate).max(1.0);

        let of_window = self.by_death.get(window.first + 1..).unwrap_or_default();
        let first_death = self.by_death.iter().position(|n| *n > 0).unwrap_or(self.by_death.len());
        let of_all = self.by_death.get(first_death..).unwrap_or_default();
        let dispersion = [dispersion(&self.by_birth), dispersion(of_window), dispersion(of_all)]
            .into_iter()
            .fold(1.0, f64::max);
        let p_of = |gained: f64, lost: f64| {
            tail::at_least(gained / dispersion, lost / dispersion, load_ratio / (1.0 + load_ratio))
        };
        let p = p_of(gained, lost);
        let [_, second] = self.halves;
        let all_deaths: u32 = self.by_death.iter().sum();
        Flow {
            age_at_death_s: self.ages_at_death_s / f64::from(all_deaths.max(1)),
            p_second_half: p_of(f64::from(second.0), f64::from(second.1)),
            gained: self.gained,
            lost: self.lost,
            halves: self.halves,
            halves_ratio: halves_ratio(rates.censuses, window),
            load_ratio,
            dispersion,
            p,
            spread: spread(&self.by_birth),
        }
    }
}

/// Work in the time in which the second half's members were born, by that of the first's: units of work where they are
/// counted, else births of the whole process. Not the group's own births: those of a cache that fills fall as it fills.
fn halves_ratio(censuses: &[Census], window: &Window) -> f64 {
    let counted = censuses.last().is_some_and(|c| c.work_units > 0);
    let done = |c: &Census| if counted { c.work_units as f64 } else { c.births };
    // Linear between censuses; before the first, from nothing at the start of the process.
    let done_by = |at_ns: i64| {
        let after = censuses.partition_point(|c| c.at_ns <= at_ns);
        let known = |i: usize| censuses.get(i).map(|c| (c.at_ns, done(c)));
        let (from, to) = match (after.checked_sub(1).and_then(known), known(after)) {
            (Some(from), Some(to)) => (from, to),
            (None, Some(to)) => ((window.process_start_ns, 0.0), to),
            (Some(last), None) => return last.1,
            (None, None) => return 0.0,
        };
        let share = (at_ns - from.0) as f64 / ((to.0 - from.0) as f64).max(1.0);
        from.1 + (to.1 - from.1) * share.clamp(0.0, 1.0)
    };
    let [from, middle, to] =
        [window.from_ns, window.middle_ns, window.to_ns].map(|at| done_by(at - window.maturity_ns));
    let by_time =
        (window.to_ns - window.middle_ns) as f64 / ((window.middle_ns - window.from_ns) as f64).max(1.0);
    let ratio = (to - middle) / (middle - from);
    if ratio.is_finite() && ratio > 0.0 { ratio } else { by_time }
}

/// Variance by mean of counts; 1 unless it is clearly above (1.3 standard errors of a Poisson sample's).
fn dispersion(counts: &[u32]) -> f64 {
    let n = counts.len() as f64;
    let mean = counts.iter().map(|c| f64::from(*c)).sum::<f64>() / n;
    if n < 4.0 || mean <= 0.0 {
        return 1.0;
    }
    let variance = counts.iter().map(|c| (f64::from(*c) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let index = variance / mean;
    if index > 1.0 + 1.3 * (2.0 / (n - 1.0)).sqrt() { index } else { 1.0 }
}

/// Share of the epochs with survivors, of those that as many survivors, spread evenly, would be found in on average.
fn spread(by_birth: &[u32]) -> f64 {
    let mut epochs = [0u32; EPOCHS];
    for (cell, count) in by_birth.iter().enumerate() {
        if let Some(epoch) = epochs.get_mut(cell * EPOCHS / by_birth.len().max(1)) {
            *epoch += count;
        }
    }
    let survivors: u32 = epochs.iter().sum();
    let found = epochs.iter().filter(|n| **n > 0).count() as f64;
    let missed = (1.0 - 1.0 / EPOCHS as f64).powi(i32::try_from(survivors).unwrap_or(i32::MAX));
    let expected = EPOCHS as f64 * (1.0 - missed);
    if expected > 0.0 { (found / expected).min(1.0) } else { 0.0 }
}

/// Whether objects die in the order of their births, as in a queue: hardly any that lives is older than most of the dead.
pub(super) fn first_in_first_out(rows: &[&Row]) -> bool {
    let mut cohorts: Vec<(i64, u32, u32)> = rows
        .iter()
        .flat_map(|row| &row.cohorts)
        .map(|c| (c.born_ns, c.alive.samples, c.deaths.iter().map(|d| d.tally.samples).sum()))
        .collect();
    cohorts.sort_unstable_by_key(|(born, _, _)| *born);
    let dead: u32 = cohorts.iter().map(|(_, _, dead)| dead).sum();
    let living: u32 = cohorts.iter().map(|(_, alive, _)| alive).sum();
    let (mut dead_so_far, mut older) = (0, 0);
    for (_, alive, dead_of_cohort) in cohorts {
        if dead_so_far * 4 >= dead * 3 {
            break;
        }
        dead_so_far += dead_of_cohort;
        older += alive;
    }
    older * 10 <= living
}

/// In how many of 16 epochs of the time watched survivors were born that are of age (after VisualVM).
pub(super) fn generations(cohorts: &Cohorts, rows: &[&Row], maturity_ns: i64) -> u32 {
    let Some(last) = cohorts.censuses().last() else { return 0 };
    let (from, to) = (cohorts.start_ns(), last.at_ns - maturity_ns);
    let mut epochs = [false; GENERATIONS];
    for cohort in rows.iter().flat_map(|row| &row.cohorts) {
        if cohort.alive.samples > 0 && cohort.born_ns < to && to > from {
            let at = (cohort.born_ns - from).max(0) as f64 / (to - from) as f64;
            if let Some(epoch) = epochs.get_mut((at * GENERATIONS as f64) as usize) {
                *epoch = true;
            }
        }
    }
    epochs.iter().filter(|e| **e).count() as u32
}

/// Birth rates over time, relative to their mean.
struct Rates<'a> {
    censuses: &'a [Census],
    process_start_ns: i64,
    /// Of the interval that ends at each census; the first is that before the first census.
    of_interval: Vec<f64>,
}

/// Cumulative counts, made even between censuses that are [`OWN_RATE_SAMPLES`] apart.
fn smoothed(series: &[f64], censuses: &[Census]) -> Vec<f64> {
    let mut even = series.to_vec();
    let mut from = 0;
    let last = series.len().saturating_sub(1);
    let count = |i: usize| series.get(i).copied().unwrap_or(0.0);
    for to in 1..series.len() {
        // What is left at the end is too little by itself.
        let rest = count(last) - count(to);
        let enough = count(to) - count(from) >= OWN_RATE_SAMPLES && rest >= OWN_RATE_SAMPLES;
        if !enough && to != last {
            continue;
        }
        let time = |i: usize| censuses.get(i).map_or(0.0, |c| c.at_ns as f64);
        for i in from + 1..to {
            let share = (time(i) - time(from)) / (time(to) - time(from)).max(1.0);
            if let Some(value) = even.get_mut(i) {
                *value = count(from) + (count(to) - count(from)) * share;
            }
        }
        from = to;
    }
    even
}

impl<'a> Rates<'a> {
    fn of(cohorts: &'a Cohorts, rows: &[&Row], process_start_ns: i64) -> Self {
        let censuses = cohorts.censuses();
        let births = |census: usize| rows.iter().map(|row| row.births_at(census, censuses)).sum::<f64>();
        let own: Vec<f64> = (0..censuses.len()).map(births).collect();
        let all: Vec<f64> = censuses.iter().map(|c| c.births).collect();
        let (Some(first), Some(last)) = (censuses.first(), censuses.last()) else {
            return Self { censuses, process_start_ns, of_interval: Vec::new() };
        };
        let total_s = (last.at_ns - first.at_ns) as f64;
        let grown = |series: &[f64]| match (series.first(), series.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0.0,
        };
        let (own_total, all_total) = (grown(&own), grown(&all));
        let weight = (own_total / OWN_RATES_ALONE).min(1.0);
        let own = smoothed(&own, censuses);
        let relative = |series: &[f64], total: f64, i: usize, length: f64| {
            let (Some(before), Some(now)) = (series.get(i - 1), series.get(i)) else { return 1.0 };
            if total > 0.0 { (now - before).max(0.0) / total * total_s / length } else { 1.0 }
        };
        // Before the first census only the sum of births is known.
        let before_s = (first.at_ns - process_start_ns) as f64;
        let before = |series: &[f64], total: f64| match series.first() {
            Some(births) if before_s > 0.0 && total > 0.0 => births / total * total_s / before_s,
            _ => 1.0,
        };
        let before = weight * before(&own, own_total) + (1.0 - weight) * before(&all, all_total);
        let mut of_interval = vec![before];
        for i in 1..censuses.len() {
            let (Some(before), Some(now)) = (censuses.get(i - 1), censuses.get(i)) else { continue };
            let length = ((now.at_ns - before.at_ns) as f64).max(1.0);
            let rate = weight * relative(&own, own_total, i, length)
                + (1.0 - weight) * relative(&all, all_total, i, length);
            // An interval without births would make its members weigh without bound.
            of_interval.push(rate.max(0.05));
        }
        // Of a time that was not watched only the mean is known. Waves may have left it low just before, so the lower
        // quarter of what was seen since counts, if that is less.
        let mut seen: Vec<f64> = of_interval.iter().skip(1).copied().collect();
        seen.sort_by(f64::total_cmp);
        if let (Some(unwatched), Some(low)) = (of_interval.first_mut(), seen.get(seen.len() / 4)) {
            *unwatched = if before_s > 0.0 { unwatched.min(*low) } else { *unwatched }.max(0.05);
        }
        Self { censuses, process_start_ns, of_interval }
    }

    fn at(&self, born_ns: i64) -> f64 {
        let interval = self.censuses.partition_point(|c| c.at_ns <= born_ns);
        self.of_interval.get(interval).or(self.of_interval.last()).copied().unwrap_or(1.0)
    }

    /// Mean rate from the start of the process to a time.
    fn mean_before(&self, until_ns: i64) -> f64 {
        let (mut sum, mut time) = (0.0, 0.0);
        if let (Some(first), Some(rate)) = (self.censuses.first(), self.of_interval.first()) {
            time = (first.at_ns - self.process_start_ns).max(0) as f64;
            sum = rate * time;
        }
        for (pair, rate) in self.censuses.windows(2).zip(self.of_interval.iter().skip(1)) {
            let [before, now] = pair else { continue };
            if now.at_ns <= until_ns {
                let length = (now.at_ns - before.at_ns) as f64;
                sum += rate * length;
                time += length;
            }
        }
        if time > 0.0 { sum / time } else { 1.0 }
    }
}
