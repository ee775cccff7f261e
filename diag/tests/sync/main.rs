//! The profiles of contention against plans in which it is known who waits how long for whom.
//!
//! Bounds come from what the threads of a plan measure themselves: a profile can never say more than they have waited. From
//! below they are generous, for a thread may lose its processor between its own clock and the lock's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![cfg(all(feature = "sync", feature = "symbols"))]

#[cfg(feature = "parking_lot")]
mod parking_lot_locks;
mod std_locks;
mod storm;
#[cfg(feature = "tokio")]
mod tokio_locks;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use diag::profile::{LabelValue, Profile, delta, symbolize::symbolize};
use diag::symbols::Resolver;
use diag::sync;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// How long locks are held in the plans, once all that shall wait have come.
pub(crate) const HELD: Duration = Duration::from_millis(40);

/// A row of a profile.
#[derive(Debug)]
pub(crate) struct Row {
    /// Innermost first, inlined ones expanded.
    pub(crate) frames: Vec<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) contentions: i64,
    pub(crate) delay_ns: i64,
}

impl Row {
    /// Whether the function that the user wrote, the first after the locks' own frames, has this name.
    pub(crate) fn is_at(&self, function: &str) -> bool {
        self.frames.first().is_some_and(|name| name.ends_with(function))
    }
}

/// Both profiles, of what happened meanwhile.
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) mutex: Vec<Row>,
    pub(crate) block: Vec<Row>,
}

/// The switches are the process's: one plan at a time.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a plan with every contention recorded.
pub(crate) fn recorded(plan: impl FnOnce()) -> Both {
    let _turn = turn();
    sync::set_mutex_profile_fraction(1);
    sync::set_block_profile_rate(1);
    let before = (sync::mutex_profile().unwrap(), sync::block_profile().unwrap());
    plan();
    sync::set_mutex_profile_fraction(0);
    sync::set_block_profile_rate(0);
    let after = (sync::mutex_profile().unwrap(), sync::block_profile().unwrap());
    Both { mutex: rows(&before.0, &after.0), block: rows(&before.1, &after.1) }
}

fn rows(before: &Profile, after: &Profile) -> Vec<Row> {
    static NAMES: OnceLock<Mutex<Resolver>> = OnceLock::new();
    let mut names = NAMES.get_or_init(|| Mutex::new(Resolver::in_process())).lock().unwrap();
    let profile = symbolize(&delta(before, after).unwrap(), &mut *names).unwrap();
    let types: Vec<&str> = profile.sample_types().iter().map(|t| t.kind.as_str()).collect();
    assert_eq!(types, ["contentions", "delay"]);
    let row = |sample: diag::profile::Sample<'_>| {
        let frames = diag::profile::frames::leaf_first(&profile, sample.stack);
        let labels = profile.label_set(sample.labels).iter().map(|label| match label.value {
            LabelValue::Str(value) => (profile.str(label.key).to_owned(), profile.str(value).to_owned()),
            LabelValue::Num(number, _) => (profile.str(label.key).to_owned(), number.to_string()),
        });
        Row {
            frames: frames.map(|at| diag::profile::frames::name(&profile, at)).collect(),
            labels: labels.collect(),
            contentions: sample.values[0],
            delay_ns: sample.values[1],
        }
    };
    profile.samples().map(row).collect()
}

/// Contentions and delay of the rows at a function.
pub(crate) fn at(rows: &[Row], function: &str) -> (i64, Duration) {
    let at = rows.iter().filter(|row| row.is_at(function));
    let (count, ns) = at.fold((0, 0), |(count, ns), row| (count + row.contentions, ns + row.delay_ns));
    (count, Duration::from_nanos(ns as u64))
}

pub(crate) fn total(rows: &[Row]) -> Duration {
    Duration::from_nanos(rows.iter().map(|row| row.delay_ns as u64).sum())
}

/// What a plan must come to: at least half of what it is by design, at most what was measured.
pub(crate) fn assert_within(
    delay: Duration,
    planned: Duration,
    measured: Duration,
    what: impl std::fmt::Debug,
) {
    assert!(delay >= planned / 2, "{delay:?} of {planned:?} planned: {what:#?}");
    assert!(delay <= measured, "{delay:?} where {measured:?} were measured: {what:#?}");
}
