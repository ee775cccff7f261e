//! Whether one sort of round is slower than another, and how sure that is. Pure.

/// How much slower, in percent: the median over the rounds, and the 95 % interval of that median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// What a limit says of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole interval is below the limit.
    Pass,
    /// The whole interval is not.
    Fail,
    /// More rounds, or a quieter machine.
    Undecided,
}

impl Change {
    /// Round by round: what else the machine does changes slowly, so neighbours in time are compared.
    ///
    /// The interval is that of the sign test: no distribution is assumed, and fewer than six rounds give none.
    pub fn of(new: &[f64], base: &[f64]) -> Self {
        let mut percent: Vec<f64> =
            new.iter().zip(base).map(|(new, base)| (new / base - 1.0) * 100.0).collect();
        percent.sort_by(f64::total_cmp);
        let ends =
            outermost(percent.len()).and_then(|k| Some((*percent.get(k)?, *percent.iter().rev().nth(k)?)));
        let (low, high) = ends.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        Self { median: median(&percent), low, high }
    }

    pub fn below(&self, limit_percent: f64) -> Outcome {
        if self.high < limit_percent {
            Outcome::Pass
        } else if self.low >= limit_percent {
            Outcome::Fail
        } else {
            Outcome::Undecided
        }
    }
}

/// How many of `n` sorted values may be cut off at each end so that the median of their population is between the rest in 95 of 100
/// cases: the most k with P(Bin(n, 1/2) <= k) <= 2.5 %.
pub fn outermost(n: usize) -> Option<usize> {
    let mut probability = 0.5f64.powi(i32::try_from(n).ok()?);
    let (mut below, mut k) = (0.0, None);
    for i in 0..n {
        below += probability;
        if below > 0.025 {
            break;
        }
        k = Some(i);
        probability *= (n - i) as f64 / (i + 1) as f64;
    }
    k
}

/// Of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { (at(half.wrapping_sub(1)) + at(half)) / 2.0 }
}

/// The value that this share of the values does not exceed.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}
