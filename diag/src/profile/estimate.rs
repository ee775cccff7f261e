//! How certain a sampled heap value is: 95 % intervals for unbiased bytes and objects.
//!
//! Sampling ([`sampling`]): at mean period R an allocation of size Z is sampled with probability p,
//! independently of others, as gaps are geometric and so without memory. A row of k raw samples of one size stands for k/p objects and kZ/p bytes;
//! k follows from the row's objects N as k = Np. Each sample has the weight w = 1/p (objects) or Z/p (bytes), and the
//! variance of a sum is estimated without bias by V = sum k w^2 (1-p) (Horvitz and Thompson 1952, as for Poisson
//! sampling designs: Sarndal, Swensson, Wretman, "Model Assisted Survey Sampling", 3.5).
//!
//! Interval: with few samples a symmetric normal interval covers too little, because the variance is estimated from
//! the same samples: a low estimate has a small V. So the score interval is used (Wilson 1927; for a Poisson mean
//! Garwood's problem in Barker 2002, "A comparison of nine confidence intervals for a Poisson parameter"): the limits
//! are the true values B + d for which the estimate lies z standard deviations away, with the variance there,
//! V + cd. The slope c = Cov(V, B)/Var(B) = sum k w^3 (1-p)^2 / V says how V follows the truth, for any mix of sizes.
//! From d^2 = z^2 (V + cd):
//!
//! d = z^2 c/2 +- z sqrt(V + z^2 c^2/4)
//!
//! With one small size c = w, V = kw^2, and this is the Poisson score interval w (k + z^2/2 +- z sqrt(k + z^2/4)).
//! Simulated coverage stands in `estimate/tests.rs`.
//!
//! Limits: sizes that no sample was taken of are not known of, so objects far smaller than those seen may be missed
//! by the count (not by the bytes). A difference of two snapshots treats them as independent; shared survivors make
//! it more certain than stated.

use serde::Serialize;

use super::select::HeapColumns;
use super::{LabelSetId, LabelValue, Profile, ProfileError, Sample, sampling};

/// Standard normal quantile of 97.5 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// A value with its 95 % interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Interval {
    /// The unbiased estimate, as in the profile.
    pub estimate: i64,
    /// Lower limit, not below 0.
    pub low: i64,
    /// Upper limit.
    pub high: i64,
}

/// Where the sizes of objects come from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// The label `bytes` of each row: exact.
    #[default]
    Label,
    /// Bytes by objects of each row: close, unless a row mixes sizes around the period.
    RowMean,
    /// Unknown, there is no count of objects; intervals for bytes are those of the smallest sizes, which are widest.
    Unknown,
}

/// Bytes and objects of a set of samples.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Bytes.
    pub bytes: Interval,
    /// Objects; `None` when the profile does not count them.
    pub objects: Option<Interval>,
    /// How many raw samples it rests on.
    pub raw_samples: f64,
    /// The least exact of the sources of sizes that were needed.
    pub sizes: Sizes,
}

/// Sums over rows for one quantity. Add up sums to get those of a union.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    /// The estimate B.
    value: f64,
    /// V.
    variance: f64,
    /// cV.
    third: f64,
}

impl Moments {
    fn add(&mut self, value: f64, raw: f64, p: f64, weight: f64) {
        let missed = 1.0 - p;
        self.value += value;
        self.variance += raw * weight * weight * missed;
        self.third += raw * weight * weight * weight * missed * missed;
    }

    /// Distances from the estimate to the limits (lower one negative).
    fn distances(&self) -> (f64, f64) {
        if self.variance <= 0.0 {
            return (0.0, 0.0);
        }
        let half = Z_95 * Z_95 * (self.third / self.variance) / 2.0;
        let root = (Z_95 * Z_95 * self.variance + half * half).sqrt();
        (half - root, half + root)
    }

    fn interval(&self) -> Interval {
        let (down, up) = self.distances();
        whole(self.value, (self.value + down).max(0.0), self.value + up)
    }
}

/// The whole numbers inside the limits, and in any case the estimate. Rounding outwards would make the interval of a
/// few large objects cover too much. Casts saturate.
fn whole(value: f64, low: f64, high: f64) -> Interval {
    let estimate = value.round() as i64;
    Interval { estimate, low: (low.ceil() as i64).min(estimate), high: (high.floor() as i64).max(estimate) }
}

/// Sums from which an [`Estimate`] is made; of a site, a label, a whole profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accumulated {
    bytes: Moments,
    objects: Moments,
    raw_samples: f64,
    sizes: Sizes,
    has_objects: bool,
}

impl Accumulated {
    /// Bytes and objects with their intervals.
    pub fn estimate(&self) -> Estimate {
        Estimate {
            bytes: self.bytes.interval(),
            objects: self.has_objects.then(|| self.objects.interval()),
            raw_samples: self.raw_samples,
            sizes: self.sizes,
        }
    }

    /// `new` minus `self`, in bytes, as if both were independent (Newcombe's and Donner's MOVER: the limits' distances
    /// add up like standard deviations).
    pub fn bytes_to(&self, new: &Accumulated) -> Interval {
        difference(&self.bytes, &new.bytes)
    }

    /// As [`bytes_to`](Self::bytes_to), in objects.
    pub fn objects_to(&self, new: &Accumulated) -> Interval {
        difference(&self.objects, &new.objects)
    }
}

fn difference(base: &Moments, new: &Moments) -> Interval {
    let ((base_down, base_up), (new_down, new_up)) = (base.distances(), new.distances());
    let value = new.value - base.value;
    whole(value, value - new_down.hypot(base_up), value + new_up.hypot(base_down))
}

/// Makes estimates from the samples of one profile.
#[derive(Clone, Debug)]
pub struct Estimator {
    period_bytes: f64,
    bytes_column: usize,
    objects_column: Option<usize>,
    /// By label set: the label `bytes`.
    sizes: Vec<Option<i64>>,
}

impl Estimator {
    /// For a sample type of a heap profile: `inuse_space` or `inuse_objects` give intervals for both.
    ///
    /// # Errors
    /// [`ProfileError::NoSampleType`] when there is no such type, or no bytes beside it; [`ProfileError::Invalid`]
    /// when the profile states no sampling period in bytes.
    pub fn new(profile: &Profile, kind: &str) -> Result<Self, ProfileError> {
        let columns = HeapColumns::of(&[profile], Some(kind))?;
        let Some(bytes) = columns.bytes() else {
            return Err(ProfileError::NoSampleType {
                wanted: format!("of bytes beside {kind}"),
                available: super::select::list_types(profile),
            });
        };
        let period = profile.meta().period.as_ref();
        let period = period.filter(|p| p.value > 0 && p.value_type.unit == "bytes");
        let Some(period) = period else {
            return Err(ProfileError::Invalid { what: "it states no sampling period in bytes" });
        };
        let label = profile.find_str("bytes");
        let size = |set: usize| {
            profile.label_set(LabelSetId::from_index(set)).iter().find_map(|l| match l.value {
                LabelValue::Num(n, _) if Some(l.key) == label && n > 0 => Some(n),
                _ => None,
            })
        };
        Ok(Self {
            period_bytes: period.value as f64,
            bytes_column: columns.of_profile(0, bytes),
            objects_column: columns.objects().map(|c| columns.of_profile(0, c)),
            sizes: (0..profile.label_set_count()).map(size).collect(),
        })
    }

    /// Adds a sample of the profile.
    pub fn add(&self, sum: &mut Accumulated, sample: &Sample<'_>) {
        let value = |column: usize| sample.values.get(column).copied().unwrap_or(0) as f64;
        let bytes = value(self.bytes_column);
        let objects = self.objects_column.map(value);
        if bytes == 0.0 && objects.is_none_or(|n| n == 0.0) {
            return;
        }
        let label = self.sizes.get(sample.labels.index()).copied().flatten();
        let (size, source) = match (label, objects) {
            (Some(size), _) => (Some(size as f64), Sizes::Label),
            (None, Some(n)) if n != 0.0 && bytes != 0.0 => (Some((bytes / n).abs()), Sizes::RowMean),
            _ => (None, Sizes::Unknown),
        };
        sum.sizes = sum.sizes.max(source);
        sum.has_objects |= objects.is_some();
        let Some(size) = size else {
            // As for sizes far below the period: p is small, and each sample stands for one period.
            sum.bytes.add(bytes, bytes.abs() / self.period_bytes, 0.0, self.period_bytes);
            sum.raw_samples += bytes.abs() / self.period_bytes;
            sum.objects.value += objects.unwrap_or(0.0);
            return;
        };
        // Mean sizes are rounded; sizes are whole.
        let p = sampling::probability(size.round() as u64, self.period_bytes as u64);
        let raw = objects.unwrap_or(bytes / size).abs() * p;
        sum.bytes.add(bytes, raw, p, size / p);
        sum.objects.add(objects.unwrap_or(0.0), raw, p, 1.0 / p);
        sum.raw_samples += raw;
    }

    /// The estimate for some samples of the profile.
    pub fn of<'s>(&self, samples: impl IntoIterator<Item = Sample<'s>>) -> Estimate {
        let mut sum = Accumulated { has_objects: self.objects_column.is_some(), ..Default::default() };
        for sample in samples {
            self.add(&mut sum, &sample);
        }
        sum.estimate()
    }
}

#[cfg(test)]
mod tests;
