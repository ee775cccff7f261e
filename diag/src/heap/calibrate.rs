//! Learns which functions are the allocator's, so that stacks begin at the code that asked for memory.
//!
//! No symbol is needed, so it works in a stripped binary: one large allocation through each entry point of the global
//! allocator is sampled, and every function between the hook and the calling function here is the allocator's. What it
//! misses (a period so large that nothing is sampled, code inlined elsewhere) is stripped by name when names are known.

use std::alloc::Layout;
use std::hint::black_box;
use std::ops::Range;

use super::collector::Collector;
use crate::sys::entry_points;
use crate::sys::modules::Module;
use crate::sys::thread;

/// Larger blocks are not tried: above this period calibration finds little.
const MAX_BYTES: u64 = 64 << 20;
const TRIES: usize = 4;

/// Ranges of the allocator's functions.
/// `period_before` is the one that was in force until now: this thread's gap may still be drawn from it.
pub(crate) fn allocator_functions(collector: &Collector, period_before: u64) -> Vec<Range<u64>> {
    let modules = collector.code.modules();
    let bytes = collector.period().max(period_before).saturating_mul(8).clamp(64 << 10, MAX_BYTES) as usize;
    let mut found = Vec::new();
    thread::with_state(|t| t.calibrating.set(true));
    for entry in entry_points::ALL {
        let Some(own) = function_around(&modules.list, entry.function as usize as u64) else { continue };
        for _ in 0..TRIES {
            if let Ok(layout) = Layout::from_size_align(black_box(bytes), entry.align) {
                (entry.function)(layout);
            }
            let frames = collector.take_calibration();
            if let Some(calls) = frames.iter().position(|f| own.contains(f)) {
                found.extend(frames.iter().take(calls).filter_map(|f| function_around(&modules.list, *f)));
                break;
            }
        }
    }
    thread::with_state(|t| t.calibrating.set(false));
    found
}

fn function_around(modules: &[Module], address: u64) -> Option<Range<u64>> {
    modules.iter().find(|m| m.range.contains(&address))?.function_around(address)
}
