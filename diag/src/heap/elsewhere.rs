//! [`Heap`] where the collector does not run. There is none, so that nothing of it is ever called.

use std::convert::Infallible;

use super::{HeapError, HeapStats, LiveSample, SnapshotOptions, Started};
use crate::config::Config;
use crate::profile::Profile;
use crate::profile::cohorts::Cohorts;
use crate::profile::sampling::Weight;

/// The heap collector of the process: on Linux only, so there is none here.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    none: Infallible,
}

/// Says why not.
pub(crate) fn start(_config: &Config) -> Result<Started, HeapError> {
    Err(HeapError::Unavailable {
        why: format!("the heap collector is for Linux, and this is {}", std::env::consts::OS),
        next: "run the service on Linux, in a container for instance; the rest of diag goes on here"
            .to_owned(),
    })
}

impl Heap {
    /// As on Linux.
    ///
    /// # Errors
    /// None: there is no `Heap` to call it on.
    pub fn snapshot(&self, _options: &SnapshotOptions) -> Result<Profile, HeapError> {
        match self.none {}
    }

    /// As on Linux.
    ///
    /// # Errors
    /// None: there is no `Heap` to call it on.
    pub fn set_active(&self, _active: bool) -> Result<(), HeapError> {
        match self.none {}
    }

    /// As on Linux.
    ///
    /// # Errors
    /// None: there is no `Heap` to call it on.
    pub fn set_sample_period_bytes(&self, _bytes: u64) -> Result<u64, HeapError> {
        match self.none {}
    }

    /// As on Linux.
    pub fn stats(&self) -> HeapStats {
        match self.none {}
    }

    /// As on Linux.
    ///
    /// # Errors
    /// None: there is no `Heap` to call it on.
    pub fn jemalloc_dump(&self) -> Result<Vec<u8>, HeapError> {
        match self.none {}
    }

    #[cfg(feature = "triggers")]
    pub(crate) fn snapshot_bound_bytes(&self, _ages: bool) -> u64 {
        match self.none {}
    }

    pub(crate) fn refresh_modules(&self) {
        match self.none {}
    }

    pub(crate) fn now_ns(&self) -> Option<i64> {
        match self.none {}
    }

    pub(crate) fn census(&self, _cohorts: &mut Cohorts, _work_units: u64) {
        match self.none {}
    }

    pub(crate) fn live(&self) -> Vec<LiveSample> {
        match self.none {}
    }

    pub(crate) fn allocated(&self) -> Weight {
        match self.none {}
    }

    pub(crate) fn stacks_where(&self, _wanted: impl Fn(u32) -> bool) -> Result<Profile, HeapError> {
        match self.none {}
    }
}
