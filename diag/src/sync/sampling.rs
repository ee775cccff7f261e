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

    const EVENTS: u32 = 400_000;

    /// Events of one kind are taken with probability `p`: the means of what is added are those of an event, within four of
    /// their standard errors.
    fn assert_unbiased(sample: impl Fn(u64) -> Option<Total>, p: f64, length_ns: u64, what: &str) {
        let mut draw = Draw::seeded(7);
        let (mut count, mut ns) = (0.0, 0.0);
        for total in (0..EVENTS).filter_map(|_| sample(draw.next())) {
            count += total.count / f64::from(EVENTS);
            ns += total.amount / f64::from(EVENTS) / length_ns as f64;
        }
        // Of a variable that is 1 / p with probability p, else 0.
        let error = ((1.0 / p - 1.0) / f64::from(EVENTS)).sqrt() + 1e-9;
        assert!((count - 1.0).abs() <= 4.0 * error, "{what}: {count} contentions for one, +- {error}");
        assert!((ns - 1.0).abs() <= 4.0 * error, "{what}: {ns} of the delay, +- {error}");
    }

    #[test]
    fn releases_are_unbiased_at_every_fraction() {
        for fraction in [1, 2, 3, 10, 100, 1_000] {
            for owed in [1, 17_000, 5_000_000] {
                let sample = |draw| of_release(owed, fraction, draw);
                assert_unbiased(
                    sample,
                    1.0 / f64::from(fraction),
                    owed,
                    &format!("{owed} ns, 1 in {fraction}"),
                );
            }
        }
    }

    #[test]
    fn waits_are_unbiased_at_every_length() {
        for rate in [1, 1_000, 1_000_000] {
            for waited in [1, 10, 999, 1_000, 20_000, 999_999, 3_000_000] {
                let p = (waited as f64 / rate as f64).min(1.0);
                // What is nearly never taken needs more events.
                if p * f64::from(EVENTS) > 30.0 {
                    assert_unbiased(
                        |draw| of_wait(waited, rate, draw),
                        p,
                        waited,
                        &format!("{waited} ns at {rate}"),
                    );
                }
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
