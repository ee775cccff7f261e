//! Gives jemalloc's unused pages back to the kernel, and says what that brought.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::reading::Reading;

/// Value of [`Purge::schema`].
const SCHEMA: &str = "diag.purge/1";

/// What a purge brought; serializes as `diag.purge/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Purge {
    /// `diag.purge/1`.
    pub schema: String,
    /// Before.
    pub before: Idle,
    /// After.
    pub after: Idle,
    /// Seconds that it took.
    pub took_s: f64,
}

/// What a purge is about, in bytes.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Idle {
    /// Resident set of the process.
    pub rss_bytes: Reading<u64>,
    /// Unused pages that count as resident.
    pub dirty_bytes: Reading<u64>,
    /// Unused pages given back lazily.
    pub muzzy_bytes: Reading<u64>,
}

impl Purge {
    /// From readings before and after.
    pub fn new(before: Idle, after: Idle, took_s: f64) -> Self {
        Self { schema: SCHEMA.to_owned(), before, after, took_s }
    }

    /// By how much the resident set fell; negative when it grew all the same.
    pub fn returned_bytes(&self) -> Option<i64> {
        let signed = |r: &Reading<u64>| r.value().and_then(|b| i64::try_from(b).ok());
        Some(signed(&self.before.rss_bytes)?.saturating_sub(signed(&self.after.rss_bytes)?))
    }
}

/// Purges this process now. The pages come back when they are needed, at the price of page faults.
///
/// # Errors
/// Why there is nothing to purge.
pub fn purge() -> Result<Purge, String> {
    let idle = || {
        let waterline = super::read();
        let j = waterline.jemalloc.as_result().map_err(str::to_owned)?;
        Ok::<_, String>(Idle {
            rss_bytes: waterline.process.rss_bytes.clone(),
            dirty_bytes: j.dirty_bytes.clone(),
            muzzy_bytes: j.muzzy_bytes.clone(),
        })
    };
    let before = idle()?;
    let start = Instant::now();
    give_back()?;
    let took_s = start.elapsed().as_secs_f64();
    Ok(Purge::new(before, idle()?, took_s))
}

/// The purge itself: of jemalloc, where there is one of ours.
#[cfg(all(feature = "heap", target_os = "linux"))]
pub(crate) fn give_back() -> Result<(), String> {
    crate::sys::jemalloc_stats::purge()
}

#[cfg(not(all(feature = "heap", target_os = "linux")))]
pub(crate) fn give_back() -> Result<(), String> {
    Err("there is no jemalloc of diag's in this process".to_owned())
}
