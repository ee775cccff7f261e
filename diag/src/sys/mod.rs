//! Everything that needs `unsafe`: the operating system, the allocator, the machine's registers.

pub(crate) mod jemalloc_stats;
