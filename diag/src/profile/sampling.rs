//! Sampling by size: the one place of the formula.
//!
//! jemalloc draws the gap between samples, in allocated bytes, from a geometric distribution with mean R. An allocation
//! of Z (usable) bytes is sampled with probability P = 1 - exp(-Z/R), whatever was allocated before it. A sample
//! therefore stands for 1/P objects and Z/P bytes (Horvitz-Thompson); weights are exact for each sample and may be
//! summed. Applying the formula to a stack's average size instead is wrong for mixed sizes.

/// What one sample stands for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weight {
    /// Objects, at least 1.
    pub objects: f64,
    /// Bytes, at least the size.
    pub bytes: f64,
}

/// Probability that an allocation of `size_bytes` is sampled at a mean distance of `period_bytes`. 1 for a period of 0
/// or 1; the size counts as at least one byte.
#[inline]
pub fn probability(size_bytes: u64, period_bytes: u64) -> f64 {
    probability_of_mean(size_bytes.max(1) as f64, period_bytes)
}

/// [`probability`] for a mean size: only for formats that keep no sizes.
#[inline]
pub(crate) fn probability_of_mean(size_bytes: f64, period_bytes: u64) -> f64 {
    if period_bytes <= 1 || size_bytes <= 0.0 {
        return 1.0;
    }
    -(-size_bytes / period_bytes as f64).exp_m1()
}

/// What a sample of `size_bytes` stands for at a mean distance of `period_bytes`.
#[inline]
pub fn weight(size_bytes: u64, period_bytes: u64) -> Weight {
    let (size, period) = (size_bytes.max(1) as f64, period_bytes as f64);
    let share = size / period;
    let objects = if period_bytes > 1 && share <= SMALL_SHARE {
        objects_of_small(share, period / size)
    } else {
        1.0 / probability(size_bytes, period_bytes)
    };
    Weight { objects, bytes: objects * size_bytes as f64 }
}

/// Up to this share of the period the series below is exact to the last digits of an f64. Most samples are: the period is 32 times 16 KiB.
const SMALL_SHARE: f64 = 1.0 / 16.0;

/// 1 / (1 - exp(-x)) = 1/x + 1/2 + x/12 - x^3/720 + x^5/30240 - ..., which is x / (1 - exp(-x)) by Bernoulli's numbers (DLMF 24.2.1), over
/// x. A sample is taken with cold caches, and the library's function is not in them.
#[inline]
fn objects_of_small(x: f64, one_over_x: f64) -> f64 {
    let square = x * x;
    one_over_x + 0.5 + x * (1.0 / 12.0 - square * (1.0 / 720.0 - square / 30_240.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(weight(100, 1), Weight { objects: 1.0, bytes: 100.0 });
        let small = weight(16, 512 << 10);
        assert!((small.bytes - 524_296.0).abs() < 1.0, "about one period: {small:?}");
        let large = weight(64 << 20, 512 << 10);
        assert!((large.objects - 1.0).abs() < 1e-9);
        assert_eq!(probability(0, 512 << 10), probability(1, 512 << 10));
    }

    #[test]
    fn a_weight_is_one_over_the_probability() {
        for period in [1, 2, 100, 4 << 10, 64 << 10, 512 << 10, 1 << 30, u64::MAX] {
            for size in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]) {
                let (objects, exact) = (weight(size, period).objects, 1.0 / probability(size, period));
                assert!((objects / exact - 1.0).abs() < 1e-14, "{size} of {period}: {objects}, not {exact}");
            }
        }
    }
}
