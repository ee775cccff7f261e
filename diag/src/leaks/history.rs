//! What is kept so that a question about leaks is answered at once: cohorts of the whole past, whose resolution falls as
//! it grows, and finer ones of the last ten to twenty minutes, so that a leak that began an hour ago in a process of a
//! week is seen too.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::heap::Heap;
use crate::profile::cohorts::Cohorts;

const SECOND_NS: i64 = 1_000_000_000;
/// Cells of the whole past at first.
const FIRST_RESOLUTION_NS: i64 = SECOND_NS;
/// A recent set begins so often, lasts for two of these, and has cells so wide.
const RECENT_EVERY_NS: i64 = 600 * SECOND_NS;
const RECENT_RESOLUTION_NS: i64 = 10 * SECOND_NS;
/// Share of the collector's memory limit that the whole past, and the recent sets together, may each take.
const SHARE_OF_LIMIT: u64 = 8;

/// See the module. Filled by the diagnostics' thread.
pub(crate) struct History {
    kept: Mutex<Kept>,
    /// When the last census was taken, on the collector's clock.
    last_ns: AtomicI64,
}

struct Kept {
    whole: Cohorts,
    /// Oldest first, at most two.
    recent: VecDeque<Cohorts>,
    recent_limit: usize,
}

impl History {
    pub(crate) fn new(heap: &Heap) -> Self {
        Self {
            kept: Mutex::new(Kept::new(heap.stats().memory_limit_bytes)),
            last_ns: AtomicI64::new(heap.now_ns().unwrap_or(0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the censuses that are due.
    pub(crate) fn tick(&self, heap: &Heap) {
        let Some(now_ns) = heap.now_ns() else { return };
        for cohorts in self.lock().due(now_ns) {
            heap.census(cohorts, crate::work::total());
            self.last_ns.store(now_ns, Ordering::Relaxed);
        }
    }

    /// Seconds since the last census, or since the start.
    pub(crate) fn last_census_age(&self, heap: &Heap) -> Option<f64> {
        let age_ns = heap.now_ns()? - self.last_ns.load(Ordering::Relaxed);
        Some(age_ns as f64 / 1e9)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let kept = self.lock();
        (kept.whole.memory_bytes() + kept.recent.iter().map(Cohorts::memory_bytes).sum::<usize>()) as u64
    }

    /// A copy of the whole past: questions must not make it coarser.
    pub(crate) fn whole(&self) -> Cohorts {
        self.lock().whole.clone()
    }

    /// A copy of the longer of the recent sets, if it says something that the whole past does not.
    pub(crate) fn recent(&self) -> Option<Cohorts> {
        let kept = self.lock();
        let oldest = kept.recent.front()?;
        (oldest.resolution_ns() < kept.whole.resolution_ns()).then(|| oldest.clone())
    }
}

impl Kept {
    fn new(memory_limit_bytes: u64) -> Self {
        let limit = (memory_limit_bytes / SHARE_OF_LIMIT) as usize;
        Self {
            whole: Cohorts::new(0, FIRST_RESOLUTION_NS, limit),
            recent: VecDeque::with_capacity(3),
            recent_limit: limit / 2,
        }
    }

    /// The sets whose next census is due.
    fn due(&mut self, now_ns: i64) -> impl Iterator<Item = &mut Cohorts> {
        let newest = self.recent.back().map_or(0, Cohorts::start_ns);
        if now_ns - newest >= RECENT_EVERY_NS {
            self.recent.push_back(Cohorts::new(now_ns, RECENT_RESOLUTION_NS, self.recent_limit));
            if self.recent.len() > 2 {
                self.recent.pop_front();
            }
        }
        std::iter::once(&mut self.whole)
            .chain(self.recent.iter_mut())
            .filter(move |cohorts| now_ns >= cohorts.next_census_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::cohorts::Census;

    #[test]
    fn the_whole_past_gets_coarser_and_the_recent_past_stays_fine() {
        let mut kept = Kept::new(64 << 20);
        let mut censuses = 0;
        for second in 0..20_000 {
            let at_ns = second * SECOND_NS;
            for cohorts in kept.due(at_ns) {
                cohorts.census(Census { at_ns, ..Census::default() }).unwrap().finish();
                censuses += 1;
            }
            assert!(kept.recent.len() <= 2);
            if second > 2 * 600 {
                let recent = kept.recent.front().unwrap();
                assert_eq!(recent.resolution_ns(), RECENT_RESOLUTION_NS);
                let length = at_ns - recent.start_ns();
                assert!((RECENT_EVERY_NS..=2 * RECENT_EVERY_NS).contains(&length), "{length} at {second}");
            }
        }
        assert_eq!(kept.whole.resolution_ns(), 256 * SECOND_NS);
        // Two a ten seconds for the recent past, and a few hundred for the whole.
        assert!(censuses < 5_000, "{censuses}");
    }
}
