//! Two tests that are in use elsewhere: the plain difference of two snapshots, and Mann-Kendall's trend test over many.

use super::population::Process;

/// In-use samples of a stack at a time.
fn live(lives: &[(f64, f64)], at: f64) -> i64 {
    lives.iter().filter(|(born, died)| *born <= at && *died > at).count() as i64
}

/// Which stack the difference between the middle and the end puts first, if any grew.
pub(crate) fn difference(process: &Process) -> Option<usize> {
    let growth = |lives: &[(f64, f64)]| live(lives, process.until) - live(lives, process.until / 2.0);
    let all = process.stacks.iter().enumerate().map(|(number, lives)| (growth(lives), number));
    all.filter(|(grown, _)| *grown > 0).max().map(|(_, number)| number)
}

/// Stacks whose trend over 16 snapshots of the second half is significant, by Benjamini-Hochberg at 5 %.
pub(crate) fn mann_kendall(process: &Process) -> Vec<usize> {
    const SNAPSHOTS: usize = 16;
    let p_value = |lives: &[(f64, f64)]| {
        let at = |i: usize| process.until * (0.5 + 0.5 * i as f64 / (SNAPSHOTS - 1) as f64);
        let series: Vec<i64> = (0..SNAPSHOTS).map(|i| live(lives, at(i))).collect();
        let mut s = 0i64;
        for (i, early) in series.iter().enumerate() {
            s += series.iter().skip(i + 1).map(|late| (late - early).signum()).sum::<i64>();
        }
        let n = SNAPSHOTS as f64;
        let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
        upper_tail((s as f64 - 1.0) / variance.sqrt())
    };
    let mut by_p: Vec<(f64, usize)> =
        process.stacks.iter().enumerate().map(|(number, lives)| (p_value(lives), number)).collect();
    by_p.sort_by(|a, b| a.0.total_cmp(&b.0));
    let tests = by_p.len() as f64;
    let last = by_p.iter().enumerate().rev().find(|(i, (p, _))| *p <= 0.05 * (*i as f64 + 1.0) / tests);
    last.map_or(Vec::new(), |(last, _)| by_p.iter().take(last + 1).map(|(_, number)| *number).collect())
}

/// P(Z > z) of the standard normal, by integration.
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let step = 0.01;
    let density = |x: f64| (-x * x / 2.0).exp() / (std::f64::consts::TAU).sqrt();
    (0..1000).map(|i| density(z + (f64::from(i) + 0.5) * step) * step).sum()
}
