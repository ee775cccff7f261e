//! The codecs of the profile model, against independent readers and writers.
//!
//! The random cases are the same every time; `CODEC_SEED=2 CODEC_CASES=10000` asks for others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]

use proptest::test_runner::{Config, RngSeed};

mod canon;
mod corrupt;
mod folded;
mod plan;
mod pprof;
mod proto;

/// How property tests run here.
fn cases(count: u32) -> Config {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    Config {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(number("CODEC_SEED").unwrap_or(1)),
        cases: number("CODEC_CASES").map_or(count, |n| n as u32),
        ..Config::default()
    }
}
