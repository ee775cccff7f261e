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
    let objects = 1.0 / probability(size_bytes, period_bytes);
    Weight { objects, bytes: objects * size_bytes as f64 }
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
}
