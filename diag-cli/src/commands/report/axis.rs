//! Scales: which values and times are marked, and how they are written.
//!
//! Values are bytes, marked at powers of two, from zero. Times are nanoseconds since the Unix epoch, marked at round
//! times of UTC.

use crate::clock;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;
/// Distances between marks that people are used to, in seconds.
const STEPS_S: [i64; 22] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
    43_200,
    DAY_S,
    2 * DAY_S,
    7 * DAY_S,
    14 * DAY_S,
    28 * DAY_S,
];

/// Marks around `least` and `most`, at most `count` (at least 3) of them, a power of two apart. The first is not above
/// `least`, the last not below `most`.
pub(super) fn byte_ticks(least: i64, most: i64, count: usize) -> Vec<i64> {
    let least = u64::try_from(least).unwrap_or(0);
    let most = u64::try_from(most).unwrap_or(0).max(least.saturating_add(1));
    // One space more may be needed because the first mark is rounded down.
    let spaces = u64::try_from(count.max(3) - if least > 0 { 2 } else { 1 }).unwrap_or(1);
    let step = (most - least).div_ceil(spaces).checked_next_power_of_two().unwrap_or(1 << 63);
    let ticks = (least / step..=most.div_ceil(step))
        .map(|n| i64::try_from(n.saturating_mul(step)).unwrap_or(i64::MAX));
    ticks.collect()
}

/// Where an axis begins that shows how values between these two changed: at zero, unless they are far from it. The
/// values take at least a tenth of the axis, so that noise does not look like growth.
pub(super) fn lowest_shown(least: i64, most: i64) -> i64 {
    if least < most / 2 {
        return 0;
    }
    most.saturating_sub((most.saturating_sub(least).max(most / 10)).saturating_mul(2)).max(0)
}

/// Marks between two times, and the distance between them. A span with fewer than two round times has its ends.
pub(super) fn time_ticks(from_ns: i64, to_ns: i64, count: usize) -> (Vec<i64>, i64) {
    let span_ns = to_ns.saturating_sub(from_ns);
    if span_ns <= 0 {
        return (vec![from_ns], SECOND_NS);
    }
    let count = i64::try_from(count.max(2)).unwrap_or(i64::MAX);
    let fits = |step_s: &&i64| span_ns / (**step_s * SECOND_NS) < count;
    let years = span_ns / count / (365 * DAY_S * SECOND_NS) + 1;
    let step_ns = STEPS_S.iter().find(fits).copied().unwrap_or(years * 365 * DAY_S) * SECOND_NS;
    let first = from_ns.saturating_add(step_ns - 1).div_euclid(step_ns).saturating_mul(step_ns);
    let marks = (0..count).map(|n| first.saturating_add(n.saturating_mul(step_ns))).filter(|t| *t <= to_ns);
    let marks: Vec<i64> = marks.collect();
    if marks.len() < 2 { (vec![from_ns, to_ns], SECOND_NS) } else { (marks, step_ns) }
}

/// How a mark is written: `13:05:22`, `13:05`, or `11-21` where marks are days apart.
pub(super) fn time_label(at_ns: i64, step_ns: i64) -> String {
    let text = clock::readable(at_ns);
    let part = match step_ns / SECOND_NS {
        s if s < 60 => text.get(11..19),
        s if s < DAY_S => text.get(11..16),
        s if s < 300 * DAY_S => text.get(5..10),
        _ => text.get(..10),
    };
    part.unwrap_or(&text).to_owned()
}

/// What the times of an axis are: `UTC, 2026-11-21`.
pub(super) fn days(from_ns: i64, to_ns: i64) -> String {
    let day = |ns: i64| clock::readable(ns).get(..10).unwrap_or_default().to_owned();
    match (day(from_ns), day(to_ns)) {
        (a, b) if a == b => format!("UTC, {a}"),
        (a, b) => format!("UTC, {a} to {b}"),
    }
}

/// From values to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// What is drawn at `start_px`.
    pub(super) from: f64,
    /// What is drawn at `end_px`.
    pub(super) to: f64,
    /// See `from`.
    pub(super) start_px: f64,
    /// See `to`.
    pub(super) end_px: f64,
}

impl Scale {
    /// The pixel of a value; the middle when there is only one.
    pub(super) fn px(&self, value: f64) -> f64 {
        let span = self.to - self.from;
        let share = if span > 0.0 { (value - self.from) / span } else { 0.5 };
        self.start_px + share.clamp(0.0, 1.0) * (self.end_px - self.start_px)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_266_322_000_000_000;

    #[test]
    fn bytes_are_marked_from_zero_past_the_largest() {
        assert_eq!(byte_ticks(0, 0, 5), [0, 1]);
        assert_eq!(byte_ticks(0, -5, 5), [0, 1]);
        assert_eq!(byte_ticks(0, 1, 5), [0, 1]);
        let mib = |n: i64| n << 20;
        assert_eq!(byte_ticks(0, mib(30), 5), [0, mib(8), mib(16), mib(24), mib(32)]);
        assert_eq!(byte_ticks(0, mib(33), 5), [0, mib(16), mib(32), mib(48)]);
        for most in [1, 3, 1000, mib(1), mib(7) + 1, i64::MAX] {
            let ticks = byte_ticks(0, most, 5);
            assert!((2..=5).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(ticks.last().is_some_and(|t| *t >= most), "{most}: {ticks:?}");
        }
        assert_eq!(byte_ticks(mib(55), mib(70), 5), [mib(48), mib(56), mib(64), mib(72)]);
        for (least, most) in [(7, 8), (mib(55), mib(70)), (mib(1) + 1, mib(3)), (i64::MAX - 1, i64::MAX)] {
            let ticks = byte_ticks(least, most, 5);
            assert!((2..=5).contains(&ticks.len()), "{least} {most}: {ticks:?}");
            assert!(ticks.first().is_some_and(|t| *t <= least) && ticks.last().is_some_and(|t| *t >= most));
        }
    }

    #[test]
    fn an_axis_begins_at_zero_unless_that_hides_the_change() {
        for (least, most, from) in
            [(0, 100, 0), (49, 100, 0), (90, 100, 80), (100, 100, 80), (60, 100, 20), (0, 0, 0)]
        {
            assert_eq!(lowest_shown(least, most), from, "{least} {most}");
        }
    }

    #[test]
    fn times_are_marked_at_round_times() {
        let label = |(marks, step): (Vec<i64>, i64)| -> Vec<String> {
            marks.iter().map(|m| time_label(*m, step)).collect()
        };
        let minute = 60 * SECOND_NS;
        assert_eq!(label(time_ticks(T, T + minute, 4)), ["13:05:30", "13:06:00"]);
        assert_eq!(label(time_ticks(T, T + 60 * minute, 4)), ["13:30", "14:00"]);
        assert_eq!(label(time_ticks(T, T + 5 * 1440 * minute, 4)), ["11-23", "11-25"]);
        assert_eq!(label(time_ticks(T, T + SECOND_NS / 2, 4)), ["13:05:22", "13:05:22"]);
        assert_eq!(label(time_ticks(T, T, 4)), ["13:05:22"]);
        for span_s in [1, 9, 77, 1000, 86_400, 9_000_000, 400_000_000, 5_000_000_000] {
            let (marks, _) = time_ticks(T, T.saturating_add(span_s * SECOND_NS), 5);
            assert!((2..=5).contains(&marks.len()), "{span_s}: {marks:?}");
        }
        assert!(time_ticks(i64::MIN, i64::MAX, 5).0.len() < 6);
    }

    #[test]
    fn one_value_is_in_the_middle() {
        let scale = Scale { from: 3.0, to: 3.0, start_px: 10.0, end_px: 30.0 };
        assert_eq!(scale.px(3.0), 20.0);
        let scale = Scale { from: 0.0, to: 4.0, start_px: 100.0, end_px: 0.0 };
        assert_eq!((scale.px(1.0), scale.px(-1.0), scale.px(9.0)), (75.0, 100.0, 0.0));
    }
}
