//! Polls that take too long, for a rule: the slowest since somebody looked.

use std::sync::atomic::{AtomicU64, Ordering};

use super::sites::{Kind, MOST_SITES, Site};

/// Polls of at least so many ticks are noted.
static FROM: AtomicU64 = AtomicU64::new(u64::MAX);
/// The slowest: its ticks above [`SITE_BITS`] of its site's number.
static SLOWEST: AtomicU64 = AtomicU64::new(0);

const SITE_BITS: u32 = 12;
const _: () = assert!(MOST_SITES <= 1 << SITE_BITS);

/// A poll is over. One load and a comparison, unless it was slow.
#[inline]
pub(super) fn note(took: u64, site: &Site) {
    if took >= FROM.load(Ordering::Relaxed) && site.kind != Kind::Blocking {
        SLOWEST.fetch_max(took << SITE_BITS | u64::from(site.number), Ordering::Relaxed);
    }
}

/// From now on polls of so long are noted; `None`: none.
#[cfg(feature = "triggers")]
pub(crate) fn watch(from_ns: Option<u64>) {
    let scale = crate::sys::ticks::Scale::now();
    FROM.store(from_ns.map_or(u64::MAX, |ns| scale.ticks(ns).max(1)), Ordering::Relaxed);
}

/// The slowest poll noted since the last call: nanoseconds, and what was polled.
#[cfg(feature = "triggers")]
pub(crate) fn take() -> Option<(u64, String)> {
    let slowest = SLOWEST.swap(0, Ordering::Relaxed);
    if slowest == 0 {
        return None;
    }
    let number = (slowest & ((1 << SITE_BITS) - 1)) as usize;
    let site = super::sites::all().get(number).copied()?;
    let ns = crate::sys::ticks::Scale::now().ns(slowest >> SITE_BITS);
    let what = format!("{} at {}:{}", super::names::future(site.future), site.at.file(), site.at.line());
    Some((ns, what))
}
