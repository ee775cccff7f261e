//! The codecs of the profile model, against independent readers and writers.
//!
//! The random cases are the same every time; `CODEC_SEED=2 CODEC_CASES=10000` asks for others.
//! `UPDATE_GOLDEN=1 cargo test -p diag --test codecs` rewrites the expected texts under `tests/golden/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]

use std::path::PathBuf;

use proptest::test_runner::{Config, RngSeed};

mod canon;
mod clients;
mod corrupt;
mod folded;
mod golden;
mod plan;
mod pprof;
mod proto;
mod raw;
mod viewers;

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

/// A file of `tests/golden/`.
fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// The bytes of a golden file; it has to be there.
fn golden_bytes(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Compares with a golden text, or rewrites it when `UPDATE_GOLDEN` is set.
fn golden(name: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden_path(name), text).unwrap();
    }
    let expected = String::from_utf8(golden_bytes(name)).unwrap();
    assert!(expected == text, "{name} differs; UPDATE_GOLDEN=1 rewrites it. Now it is:\n{text}");
}
