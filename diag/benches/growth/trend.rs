//! A robust slope with an interval.
//!
//! Theil and Sen: the median of the slopes between all pairs of points; its 95 % interval by Kendall's variance (Sen 1968, without
//! the correction for ties, which makes it wider). A step or an outlier does not carry it away.

/// A slope and its interval, in units of y a unit of x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slope {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// `None` for fewer than ten points.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    if points.len() < 10 {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points.iter().skip(i + 1).filter(|b| b.0 != a.0).map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    slopes.sort_by(f64::total_cmp);
    let (n, pairs) = (points.len() as f64, slopes.len() as f64);
    let half = 1.96 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt() / 2.0;
    let at = |rank: f64| slopes[(rank.clamp(0.0, pairs - 1.0)) as usize];
    Some(Slope { low: at(pairs / 2.0 - half), median: at(pairs / 2.0), high: at(pairs / 2.0 + half) })
}
