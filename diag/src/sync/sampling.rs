//! Which contentions are taken, and what each then stands for. Pure.

use crate::sites::Total;

/// A release that others waited for: one in `fraction` is taken, whatever its length, and stands for so many.
pub(super) fn of_release(owed_ns: u64, fraction: u32, draw: u64) -> Option<Total> {
    let fraction = u64::from(fraction);
    (fraction > 0 && draw.is_multiple_of(fraction))
        .then_some(Total { count: fraction as f64, amount: owed_ns as f64 * fraction as f64 })
}

/// A wait is taken with probability min(1, length / rate), and stands for 1 / probability of them: the mean of what is added is
/// the wait itself (`blocksampled` and `saveblockevent` in Go's runtime/mprof.go).
pub(super) fn of_wait(waited_ns: u64, rate_ns: u64, draw: u64) -> Option<Total> {
    if rate_ns == 0 || waited_ns == 0 {
        return None;
    }
    if waited_ns >= rate_ns {
        return Some(Total { count: 1.0, amount: waited_ns as f64 });
    }
    (draw % rate_ns < waited_ns)
        .then(|| Total { count: rate_ns as f64 / waited_ns as f64, amount: rate_ns as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::draw::Draw;

    /// Mean of what is added for one event, and its standard error.
    fn mean(events: u32, sample: impl Fn(u64) -> Option<Total>, of: impl Fn(Total) -> f64) -> (f64, f64) {
        let mut draw = Draw::seeded(7);
        let values: Vec<f64> = (0..events).map(|_| sample(draw.next()).map_or(0.0, &of)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(events);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(events);
        (mean, (variance / f64::from(events)).sqrt())
    }

    #[test]
    fn releases_are_unbiased_at_every_fraction() {
        for fraction in [1, 2, 3, 10, 100, 1_000] {
            for owed in [1, 17_000, 5_000_000] {
                let sample = |draw| of_release(owed, fraction, draw);
                let (count, error) = mean(400_000, sample, |t| t.count);
                assert!((count - 1.0).abs() <= 4.0 * error + 1e-9, "{fraction}: {count} +- {error}");
                let (ns, error) = mean(400_000, sample, |t| t.amount);
                let wanted = owed as f64;
                assert!((ns - wanted).abs() <= 4.0 * error + 1e-9, "{fraction}: {ns} of {wanted} +- {error}");
            }
        }
    }

    #[test]
    fn waits_are_unbiased_at_every_length() {
        for rate in [1, 1_000, 1_000_000] {
            for waited in [1, 10, 999, 1_000, 20_000, 999_999, 3_000_000] {
                // What is nearly never taken needs too many events.
                if rate / waited > 10_000 {
                    continue;
                }
                let sample = |draw| of_wait(waited, rate, draw);
                let (count, error) = mean(400_000, sample, |t| t.count);
                // What is missed once in a million was missed in none of these: that is no error of the formula.
                let rare = 4.0 / 400_000.0;
                assert!((count - 1.0).abs() <= 4.0 * error + rare, "{waited}/{rate}: {count} +- {error}");
                let (ns, error) = mean(400_000, sample, |t| t.amount);
                let wanted = waited as f64;
                assert!(
                    (ns - wanted).abs() <= 4.0 * error + rare * wanted,
                    "{waited}/{rate}: {ns} +- {error}"
                );
            }
        }
    }

    #[test]
    fn what_is_off_takes_nothing() {
        let mut draw = Draw::seeded(1);
        for _ in 0..1_000 {
            let draw = draw.next();
            assert_eq!(of_release(5, 0, draw), None);
            assert_eq!(of_wait(5, 0, draw), None);
            assert_eq!(of_wait(0, 1, draw), None);
        }
    }
}
