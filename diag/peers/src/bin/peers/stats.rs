//! Medians, and how sure they are. Pure.

use diag_peers::random::Random;

const RESAMPLES: usize = 4000;

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of nothing there is none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self { low: at(&sorted, 0.25)?, median: at(&sorted, 0.5)?, high: at(&sorted, 0.75)? })
    }
}

/// Of sorted values, between two of them by their distance.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (*sorted.get(place.floor() as usize)?, *sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// A median and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) groups: usize,
    pub(crate) values: usize,
}

impl Interval {
    /// By the bootstrap, in two steps: groups are drawn with replacement, then values in them; for the values of a group (turns of one set of
    /// processes) share what was chance when the processes started.
    pub(crate) fn of(groups: &[Vec<f64>]) -> Option<Self> {
        let groups: Vec<&Vec<f64>> = groups.iter().filter(|group| !group.is_empty()).collect();
        let all: Vec<f64> = groups.iter().flat_map(|group| group.iter().copied()).collect();
        let middle = median(&all)?;
        let mut random = Random::new(1);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let mut drawn = Vec::with_capacity(all.len());
                for _ in 0..groups.len() {
                    let group = groups.get(random.below(groups.len()))?;
                    drawn.extend((0..group.len()).filter_map(|_| group.get(random.below(group.len()))));
                }
                median(&drawn)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let (low, high) = (at(&medians, 0.025)?, at(&medians, 0.975)?);
        Some(Self { median: middle, low, high, groups: groups.len(), values: all.len() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail,
    Undecided,
}

/// Below these the bootstrap says little.
pub(crate) const LEAST_GROUPS: usize = 5;
pub(crate) const LEAST_VALUES: usize = 30;

/// Whether a loss is at most `limit`: by the whole interval.
pub(crate) fn at_most(limit: f64, loss: &Interval) -> Outcome {
    if loss.groups < LEAST_GROUPS || loss.values < LEAST_VALUES {
        Outcome::Undecided
    } else if loss.high <= limit {
        Outcome::Pass
    } else if loss.low > limit {
        Outcome::Fail
    } else {
        Outcome::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { low: 1.75, median: 2.5, high: 3.25 });
        assert_eq!(Spread::of(&[]), None);
    }

    /// Values around `centre`, groups apart by chance as well.
    fn groups(random: &mut Random, centre: f64) -> Vec<Vec<f64>> {
        let noise =
            |random: &mut Random| (0..12).map(|_| random.below(1000) as f64 / 1000.0).sum::<f64>() - 6.0;
        (0..8)
            .map(|_| {
                let group = noise(random) * 0.5;
                (0..8).map(|_| centre + group + noise(random)).collect()
            })
            .collect()
    }

    #[test]
    fn the_interval_has_the_truth_in_most_cases() {
        let mut random = Random::new(7);
        let truth = 1.5;
        let hits = (0..200)
            .filter(|_| {
                let interval = Interval::of(&groups(&mut random, truth)).unwrap();
                interval.low <= truth && truth <= interval.high
            })
            .count();
        // 95 of 100 is what it claims; eight groups make it a little narrow.
        assert!((176..=199).contains(&hits), "{hits} of 200");
    }

    #[test]
    fn an_outcome_needs_the_whole_interval_and_enough_of_it() {
        let interval = |low, high| Interval { median: 1.0, low, high, groups: 8, values: 64 };
        assert_eq!(at_most(2.0, &interval(0.5, 1.9)), Outcome::Pass);
        assert_eq!(at_most(2.0, &interval(2.1, 3.0)), Outcome::Fail);
        assert_eq!(at_most(2.0, &interval(1.0, 2.5)), Outcome::Undecided);
        assert_eq!(at_most(2.0, &Interval { groups: 2, ..interval(0.5, 1.0) }), Outcome::Undecided);
    }
}
