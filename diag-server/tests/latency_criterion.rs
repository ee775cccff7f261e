//! The statistics by which `benches/host_latency` passes or fails; the benchmark itself runs by hand.

#![allow(missing_docs, unreachable_pub, reason = "shared with a benchmark")]

#[path = "../benches/host_latency/compare.rs"]
mod compare;

use compare::{Change, Outcome, outermost, quantile};

#[test]
fn intervals_are_those_of_the_sign_test() {
    // From tables of the binomial distribution.
    assert_eq!(
        [0, 5, 6, 8, 9, 12, 15, 20].map(outermost),
        [None, None, Some(0), Some(0), Some(1), Some(2), Some(3), Some(5)]
    );
    let base = [100.0; 9];
    let new = [101.0, 99.0, 102.0, 103.0, 100.0, 150.0, 98.0, 104.0, 101.5];
    let change = Change::of(&new, &base);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(near(change.median, 1.5) && near(change.low, -1.0) && near(change.high, 4.0), "{change:?}");
    assert_eq!(Change::of(&new[..5], &base).below(5.0), Outcome::Undecided, "too few");
}

#[test]
fn quantiles_are_values_that_were_seen() {
    let values = [4.0, 1.0, 3.0, 2.0, 5.0];
    assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share)), [1.0, 3.0, 4.0, 5.0]);
    assert!(quantile(&[], 0.5).is_nan());
}

#[test]
fn the_line_is_held_by_the_whole_interval() {
    let of = |low, high| Change { median: (low + high) / 2.0, low, high };
    assert_eq!(of(-1.0, 4.9).below(5.0), Outcome::Pass);
    assert_eq!(of(-1.0, 5.0).below(5.0), Outcome::Undecided);
    assert_eq!(of(5.0, 9.0).below(5.0), Outcome::Fail);
}

#[test]
fn a_known_change_is_found_and_none_is_not() {
    // A seeded generator: noise of 3 %, and 8 % more in every other list.
    let mut state = 7u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        1.0 + ((state >> 33) as f64 / (1u64 << 31) as f64 - 0.5) * 0.06
    };
    let (mut passed, mut failed) = (0, 0);
    for _ in 0..200 {
        let base: Vec<f64> = (0..15).map(|_| 250.0 * noise()).collect();
        let same: Vec<f64> = (0..15).map(|_| 250.0 * noise()).collect();
        let slow: Vec<f64> = (0..15).map(|_| 270.0 * noise()).collect();
        passed += usize::from(Change::of(&same, &base).below(5.0) == Outcome::Pass);
        failed += usize::from(Change::of(&slow, &base).below(5.0) == Outcome::Fail);
    }
    assert!(passed >= 190 && failed >= 150, "{passed} passed, {failed} failed");
}
