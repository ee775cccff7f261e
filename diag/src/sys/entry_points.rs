//! One function an entry point of the global allocator, for calibration.

use std::alloc::{self, Layout};

/// A function that allocates and frees a block through one entry point.
pub(crate) struct EntryPoint {
    pub(crate) function: fn(Layout),
    /// Alignment that leads to this entry point.
    pub(crate) align: usize,
}

/// Plain, zeroed, grown; each with ordinary and with large alignment, which take different ways in jemalloc.
pub(crate) const ALL: [EntryPoint; 6] = [
    EntryPoint { function: plain, align: 8 },
    EntryPoint { function: plain, align: 1 << 16 },
    EntryPoint { function: zeroed, align: 8 },
    EntryPoint { function: zeroed, align: 1 << 16 },
    EntryPoint { function: grown, align: 8 },
    EntryPoint { function: grown, align: 1 << 16 },
];

#[inline(never)]
fn plain(layout: Layout) {
    if layout.size() == 0 {
        return;
    }
    // SAFETY: the size is not zero, and the block is freed with the layout it was made with.
    unsafe {
        let block = std::hint::black_box(alloc::alloc(layout));
        if !block.is_null() {
            alloc::dealloc(block, layout);
        }
    }
    // Distinct code, so that identical functions are not merged into one.
    std::hint::black_box(1);
}

#[inline(never)]
fn zeroed(layout: Layout) {
    if layout.size() == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe {
        let block = std::hint::black_box(alloc::alloc_zeroed(layout));
        if !block.is_null() {
            alloc::dealloc(block, layout);
        }
    }
    std::hint::black_box(2);
}

#[inline(never)]
fn grown(layout: Layout) {
    let Ok(small) = Layout::from_size_align(64, layout.align()) else { return };
    if layout.size() == 0 {
        return;
    }
    // SAFETY: sizes are not zero; each block is freed or grown with the layout it has.
    unsafe {
        let block = std::hint::black_box(alloc::alloc(small));
        if block.is_null() {
            return;
        }
        let block_grown = std::hint::black_box(alloc::realloc(block, small, layout.size()));
        if block_grown.is_null() {
            alloc::dealloc(block, small);
        } else {
            alloc::dealloc(block_grown, layout);
        }
    }
    std::hint::black_box(3);
}
