//! jemalloc's statistics as a section of the waterline.

use super::model::Jemalloc;
use super::reading::Reading;

#[cfg(not(feature = "heap"))]
pub(super) fn read() -> Reading<Jemalloc> {
    Reading::missing("diag was built without its feature `heap`, which brings jemalloc")
}

#[cfg(all(feature = "heap", not(target_os = "linux")))]
pub(super) fn read() -> Reading<Jemalloc> {
    Reading::missing(format!("diag brings jemalloc on Linux only, and this is {}", std::env::consts::OS))
}

#[cfg(all(feature = "heap", target_os = "linux"))]
pub(super) fn read() -> Reading<Jemalloc> {
    use super::model::{Arena, Bin};
    use crate::sys::jemalloc_stats as stats;

    if !stats::serves_this_process() {
        return Reading::missing(
            "this process does not allocate with jemalloc; \
             set `#[global_allocator] static ALLOC: diag::Allocator = diag::Allocator;`",
        );
    }
    if let Err(why) = stats::refresh() {
        return Reading::missing(why);
    }
    let arenas: Vec<Arena> = stats::arenas()
        .into_iter()
        .map(|a| Arena {
            index: a.index,
            active_bytes: a.active_bytes,
            dirty_bytes: a.dirty_bytes,
            muzzy_bytes: a.muzzy_bytes,
        })
        .collect();
    let sum = |f: fn(&Arena) -> u64| match arenas.is_empty() {
        true => Reading::missing("jemalloc told of no arena"),
        false => Reading::Known(arenas.iter().map(f).fold(0, u64::saturating_add)),
    };
    Reading::Known(Jemalloc {
        allocated_bytes: stats::size("stats.allocated").into(),
        active_bytes: stats::size("stats.active").into(),
        metadata_bytes: stats::size("stats.metadata").into(),
        resident_bytes: stats::size("stats.resident").into(),
        mapped_bytes: stats::size("stats.mapped").into(),
        retained_bytes: stats::size("stats.retained").into(),
        dirty_bytes: sum(|a| a.dirty_bytes),
        muzzy_bytes: sum(|a| a.muzzy_bytes),
        dirty_decay_ms: stats::signed("arenas.dirty_decay_ms").into(),
        muzzy_decay_ms: stats::signed("arenas.muzzy_decay_ms").into(),
        background_thread: stats::flag("background_thread").into(),
        narenas: stats::unsigned("arenas.narenas").into(),
        bins: stats::bins()
            .into_iter()
            .map(|b| Bin {
                size_bytes: b.size_bytes,
                slab_bytes: b.slab_bytes,
                objects: b.objects,
                capacity: b.capacity,
            })
            .collect(),
        arenas,
    })
}
