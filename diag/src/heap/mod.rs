//! Heap profiles of the running process.

use crate::profile::Profile;

/// The heap collector of the process.
#[derive(Debug)]
pub struct Heap {
    _private: (),
}

/// How a snapshot is taken.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SnapshotOptions {
    /// One sample a live object group, labelled `age` (bucket), `born_at` (unix nanoseconds), `thread`, `realloc_chain`.
    pub ages: bool,
}

/// Why heap profiles cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HeapError {
    /// The collector does not run.
    #[error("heap profiling is not available: {why}; {next}")]
    Unavailable {
        /// The cause.
        why: String,
        /// What to do.
        next: String,
    },
}

/// State of the collector, for `status` and `/metrics`.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct HeapStats {
    /// `hooks` or `prof_dump`.
    pub source: String,
    /// Whether new allocations are sampled now.
    pub active: bool,
    /// Mean bytes between samples.
    pub sample_period_bytes: u64,
    /// Samples taken since the start.
    pub samples_total: u64,
    /// Sampled objects alive now.
    pub live_samples: u64,
    /// Distinct stacks.
    pub stacks: u64,
    /// Memory of the collector itself, bytes in use.
    pub memory_bytes: u64,
    /// The cap of that memory.
    pub memory_limit_bytes: u64,
    /// What was lost, by name.
    pub losses: std::collections::BTreeMap<String, u64>,
}

impl Heap {
    /// The live heap and the allocation totals: alloc_objects, alloc_space, inuse_objects, inuse_space.
    pub fn snapshot(&self, _options: &SnapshotOptions) -> Result<Profile, HeapError> {
        Err(HeapError::Unavailable { why: "not built yet".into(), next: "wait".into() })
    }

    /// Starts or stops sampling. What is known stays known; frees are followed while stopped.
    pub fn set_active(&self, _active: bool) -> Result<(), HeapError> {
        Ok(())
    }

    /// Sets the mean distance between samples, rounded to the next power of two; gives the one in force.
    pub fn set_sample_period_bytes(&self, bytes: u64) -> Result<u64, HeapError> {
        Ok(bytes)
    }

    /// State and counters.
    pub fn stats(&self) -> HeapStats {
        HeapStats {
            source: "hooks".into(),
            active: true,
            sample_period_bytes: 512 << 10,
            samples_total: 0,
            live_samples: 0,
            stacks: 0,
            memory_bytes: 0,
            memory_limit_bytes: 0,
            losses: Default::default(),
        }
    }
}
