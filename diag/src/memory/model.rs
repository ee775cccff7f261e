//! The waterline's structure. Sizes are bytes, times nanoseconds or what the name says.

use serde::{Deserialize, Serialize};

use super::reading::{Limit, Reading};

/// Where the memory of this process stands, as the allocator, the kernel and the cgroup see it at one moment.
///
/// The sources are read one after the other, within about a millisecond, not atomically: two that describe the same
/// pages may differ by what was allocated in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Waterline {
    /// `diag.memory/1`.
    pub schema: String,
    /// When the reading began, nanoseconds since the Unix epoch.
    pub taken_at_unix_ns: u64,
    /// The allocator's own books.
    pub jemalloc: Reading<Jemalloc>,
    /// Memory that the diagnostics themselves hold (tables of the heap collector).
    #[serde(default)]
    pub diag_bytes: Reading<u64>,
    /// The process, as the kernel counts it.
    pub process: Process,
    /// The memory cgroup of the process.
    pub cgroup: Reading<Cgroup>,
    /// The machine.
    pub machine: Machine,
}

/// jemalloc's statistics, after an `epoch` advance. Each later field contains the earlier ones up to `resident`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Jemalloc {
    /// Bytes that the application has allocated and not freed, rounded up to size classes (`stats.allocated`).
    pub allocated_bytes: Reading<u64>,
    /// Bytes in pages that hold at least one allocation (`stats.active`). The gap to `allocated` is fragmentation.
    pub active_bytes: Reading<u64>,
    /// jemalloc's own structures (`stats.metadata`), with the profiler's.
    pub metadata_bytes: Reading<u64>,
    /// Most bytes that can be physically resident: active, metadata, and dirty pages not yet returned.
    pub resident_bytes: Reading<u64>,
    /// Bytes in extents mapped by jemalloc.
    pub mapped_bytes: Reading<u64>,
    /// Address space kept for reuse, without physical pages unless huge pages fill it in.
    pub retained_bytes: Reading<u64>,
    /// Unused pages that still count as resident, all arenas.
    pub dirty_bytes: Reading<u64>,
    /// Unused pages given back lazily (MADV_FREE): the kernel takes them under pressure, until then they are RSS.
    pub muzzy_bytes: Reading<u64>,
    /// How long dirty pages are kept, milliseconds; -1 for ever, 0 not at all. Default for new arenas.
    pub dirty_decay_ms: Reading<i64>,
    /// How long muzzy pages are kept, likewise.
    pub muzzy_decay_ms: Reading<i64>,
    /// Whether threads of jemalloc's own return the pages. Without, an idle process keeps them.
    pub background_thread: Reading<bool>,
    /// How many arenas there are, the unused ones included.
    pub narenas: Reading<u64>,
    /// The arenas that are in use.
    pub arenas: Vec<Arena>,
    /// Size classes of small objects that have slabs, all arenas together.
    pub bins: Vec<Bin>,
}

/// One arena.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Arena {
    /// jemalloc's number of the arena.
    pub index: u64,
    /// Bytes in pages with allocations.
    pub active_bytes: u64,
    /// Unused pages, not yet returned.
    pub dirty_bytes: u64,
    /// Unused pages, returned lazily.
    pub muzzy_bytes: u64,
}

/// The slabs of one size class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bin {
    /// Size of an object.
    pub size_bytes: u64,
    /// Bytes in slabs of this class.
    pub slab_bytes: u64,
    /// Objects in use.
    pub objects: u64,
    /// Objects that the slabs have room for.
    pub capacity: u64,
}

/// `/proc/self/status` and `/proc/self/smaps_rollup`.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Process {
    /// Resident set: pages in memory, shared ones in full.
    pub rss_bytes: Reading<u64>,
    /// The highest RSS so far (VmHWM).
    pub rss_peak_bytes: Reading<u64>,
    /// Proportional set: shared pages divided by the number of sharers.
    pub pss_bytes: Reading<u64>,
    /// Resident anonymous pages: heap, stacks, private writes.
    pub anonymous_bytes: Reading<u64>,
    /// Resident pages of mapped files.
    pub file_bytes: Reading<u64>,
    /// Resident shared memory: tmpfs, memfd, SysV.
    pub shmem_bytes: Reading<u64>,
    /// Anonymous pages in transparent huge pages.
    pub anon_huge_bytes: Reading<u64>,
    /// Pages marked MADV_FREE: resident until the kernel wants them.
    pub lazy_free_bytes: Reading<u64>,
    /// Swapped out.
    pub swap_bytes: Reading<u64>,
    /// Page tables (VmPTE). Charged to the process's cgroup, not part of RSS.
    pub page_tables_bytes: Reading<u64>,
    /// Stack of the main thread (VmStk).
    pub main_stack_bytes: Reading<u64>,
    /// Address space.
    pub virtual_bytes: Reading<u64>,
    /// Threads.
    pub threads: Reading<u64>,
    /// How often a page had to be read from a file or from swap since the start (majflt of proc(5)). Many a second near a limit: the
    /// kernel takes pages that are in use.
    #[serde(default)]
    pub major_faults_total: Reading<u64>,
}

/// The memory cgroup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cgroup {
    /// 1 or 2: the version of the hierarchy that holds the memory controller.
    pub version: u8,
    /// Path of the cgroup, as `/proc/self/cgroup` gives it.
    pub path: String,
    /// Where it was read.
    pub directory: String,
    /// What is not certain about `directory`, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Charged now.
    pub current_bytes: Reading<u64>,
    /// The highest so far.
    pub peak_bytes: Reading<u64>,
    /// The limit that applies: the smallest on the way up to the root that can be seen.
    pub limit_bytes: Reading<Limit>,
    /// The cgroup that sets that limit, and what is charged to it, when there is a limit.
    #[serde(default)]
    pub limited_by: Option<LimitedBy>,
    /// Above this the kernel throttles and reclaims (v2 `memory.high`), the smallest on the way up.
    pub high_bytes: Reading<Limit>,
    /// Current without inactive file pages, as Kubernetes counts it: what cannot be dropped for free.
    pub working_set_bytes: Reading<u64>,
    /// Swap in use.
    pub swap_bytes: Reading<u64>,
    /// What happened at the limits.
    pub events: Events,
    /// Time that tasks waited for memory.
    pub pressure: Reading<Pressure>,
    /// What the memory is.
    pub stat: Stat,
}

/// The cgroup whose limit applies. Its siblings count against the limit too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LimitedBy {
    /// Where it was read; `None` when the limit is set above what can be seen from here.
    pub directory: Option<String>,
    /// Its limit.
    pub limit_bytes: u64,
    /// Charged to it now, siblings included.
    pub current_bytes: Reading<u64>,
}

/// Counts since the cgroup was made.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Events {
    /// Times the limit was reached and an allocation was about to fail.
    pub oom: Reading<u64>,
    /// Processes killed.
    pub oom_kill: Reading<u64>,
    /// Times usage ran into the limit (v1: `memory.failcnt`).
    pub max: Reading<u64>,
    /// Times usage was throttled at `memory.high`.
    pub high: Reading<u64>,
}

/// Pressure stall information.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pressure {
    /// The file: the cgroup's own, or `/proc/pressure/memory`, which is the whole machine.
    pub file: String,
    /// Some task waited.
    pub some: Reading<Stall>,
    /// All tasks waited.
    pub full: Reading<Stall>,
}

/// Share of time stalled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stall {
    /// Percent of the last 10 s.
    pub avg10_percent: f64,
    /// Percent of the last 60 s.
    pub avg60_percent: f64,
    /// In all, microseconds.
    pub total_us: u64,
}

/// Selected lines of `memory.stat`, children included.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Stat {
    /// Anonymous pages (v1: `total_rss`).
    pub anon_bytes: Reading<u64>,
    /// Page cache with shmem (v1: `total_cache`).
    pub file_bytes: Reading<u64>,
    /// Kernel memory in all (v1: `memory.kmem.usage_in_bytes`).
    pub kernel_bytes: Reading<u64>,
    /// Slabs: descriptors, dentries, inodes.
    pub slab_bytes: Reading<u64>,
    /// Socket buffers (v1: `memory.kmem.tcp.usage_in_bytes`).
    pub sock_bytes: Reading<u64>,
    /// tmpfs and shared memory; part of `file`.
    pub shmem_bytes: Reading<u64>,
    /// Page tables.
    pub pagetables_bytes: Reading<u64>,
    /// Kernel stacks of threads.
    pub kernel_stack_bytes: Reading<u64>,
    /// Page cache that was not used lately.
    pub inactive_file_bytes: Reading<u64>,
}

/// `/proc/meminfo` and the mode of transparent huge pages.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Machine {
    /// Memory in all.
    pub total_bytes: Reading<u64>,
    /// What could be had without swapping.
    pub available_bytes: Reading<u64>,
    /// Swap in all; 0 is a fact: there is none.
    pub swap_total_bytes: Reading<u64>,
    /// `always`, `madvise` or `never`.
    pub huge_pages: Reading<String>,
}
