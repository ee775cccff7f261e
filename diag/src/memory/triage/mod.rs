//! Why does memory grow, or why is it so much more than the heap? Two readings in, one verdict out.
//!
//! [`judge`] is pure. It explains one total, the resident set or what is charged to the cgroup, by parts that add up to it: each
//! page is counted once, and what is left is [`Triage::unexplained_bytes`], which is negative when the sources count more than
//! there is (they are read one after the other). With [`Mappings`] the anonymous memory is told apart by mapping; without, jemalloc's
//! own books are taken off and the rest stays "other anonymous".
//!
//! jemalloc counts pages that nobody has written yet, or that were swapped out, as allocated. They are the negative part
//! [`PartName::NotInMemory`].
//!
//! What it is not: a proof of a leak. Growth within some seconds may be load; `leaks` tells.

mod parts;
mod text;
mod verdict;
mod words;

use serde::{Deserialize, Serialize};

use super::mappings::Mappings;
use super::model::Waterline;
use super::purge::Purge;
use super::reading::Reading;

pub use parts::size_classes;
pub use verdict::Verdict;

/// Value of [`Triage::schema`].
pub const SCHEMA: &str = "diag.triage/1";

/// One reading: the waterline, and the mappings if they were asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Survey {
    /// Allocator, kernel, cgroup.
    pub waterline: Waterline,
    /// Resident bytes by owner.
    #[serde(default)]
    pub mappings: Reading<Mappings>,
}

impl Survey {
    /// A waterline alone, as captures have it.
    pub fn of(waterline: Waterline) -> Self {
        Self { waterline, mappings: Reading::missing("the mappings were not read") }
    }
}

/// What a heap profile adds, and who asks.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The sampled heap, taken right after the second reading.
    pub sampled: Option<Sampled>,
    /// Old allocations by size class.
    pub holders: Vec<Holder>,
    /// What a purge after the second reading brought.
    pub purge: Option<Purge>,
    /// The process, where it is known.
    pub pid: Option<u32>,
    /// How the command line names the target, for [`Triage::next`].
    pub target: Target,
}

/// Whom the next command is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Nobody knows; commands say TARGET.
    #[default]
    Unknown,
    /// A process that answers, by this address.
    Live(String),
    /// A directory of captures or a file.
    Captures(String),
}

/// Live bytes as the heap profile has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sampled {
    /// The estimate.
    pub bytes: i64,
    /// Lower limit, 95 %.
    pub low_bytes: i64,
    /// Upper limit.
    pub high_bytes: i64,
    /// What sampling makes jemalloc keep besides, since each sampled object has pages of its own. Part of the fragmentation.
    pub own_pages_bytes: i64,
}

/// Code whose old objects are in a size class, and so hold its slabs. Seen from the heap profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// The size class.
    pub size_bytes: u64,
    /// First function of the user's own code.
    pub site: String,
    /// Estimated objects that were there before the first reading.
    pub objects: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Half of them are older, seconds.
    pub age_p50_s: f64,
}

/// What is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The resident set of the process.
    Process,
    /// What is charged to the memory cgroup.
    Cgroup,
}

/// What the verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// What grew between the readings.
    Growth,
    /// What there is, since nothing grew.
    Level,
    /// Neither points anywhere.
    Nothing,
}

/// Who has the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartName {
    /// Allocated and not freed; what threads cache to allocate again is in it.
    LiveHeap,
    /// Free room in pages that hold at least one allocation.
    Fragmentation,
    /// Unused pages that jemalloc keeps for reuse.
    DirtyPages,
    /// Unused pages given back lazily that the kernel has not taken yet.
    MuzzyPages,
    /// jemalloc's own structures.
    Metadata,
    /// Pages that jemalloc has given back and that huge pages filled in again.
    HugePages,
    /// Counted by jemalloc but not in memory: never written, or swapped out. Negative.
    NotInMemory,
    /// Tables of the heap collector.
    Profiler,
    /// Stacks of threads.
    ThreadStacks,
    /// glibc's heap.
    CHeap,
    /// Anonymous memory of nobody known: blocks of a C library's malloc, mmap.
    OtherAnonymous,
    /// Variables of the program and its libraries.
    ProgramData,
    /// Resident pages of files that the process maps.
    FileMappings,
    /// Page cache that is charged to the cgroup, mapped files included.
    PageCache,
    /// tmpfs, memfd, SysV.
    SharedMemory,
    /// Socket buffers.
    Sockets,
    /// Descriptors, dentries, inodes.
    KernelSlab,
    /// Kernel stacks of threads.
    KernelStacks,
    /// Page tables.
    PageTables,
    /// Kernel memory of no kind that is told.
    KernelOther,
    /// Anonymous memory in the cgroup that is not this process's.
    OtherProcesses,
}

/// Memory of one sort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub name: PartName,
    /// Bytes in the second reading.
    pub bytes: i64,
    /// Second minus first reading.
    pub growth_bytes: Option<i64>,
    /// What else is known, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A size class with free room in its slabs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SizeClass {
    /// Size of an object.
    pub size_bytes: u64,
    /// Free room in slabs.
    pub wasted_bytes: u64,
    /// Share of the slots that are in use.
    pub utilization: f64,
    /// By how much the free room grew.
    pub growth_bytes: Option<i64>,
}

/// Where the memory is and what grows; serializes as `diag.triage/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Triage {
    /// `diag.triage/1`.
    pub schema: String,
    /// The answer.
    pub verdict: Verdict,
    /// Whether it is about growth or about the level.
    pub basis: Basis,
    /// Why, in one or two sentences.
    pub evidence: String,
    /// Seconds between the readings.
    pub watched_s: f64,
    /// The process, where it is known.
    pub pid: Option<u32>,
    /// What is explained.
    pub scope: Scope,
    /// Its bytes; missing when the kernel does not tell.
    pub total_bytes: Reading<u64>,
    /// Second minus first reading.
    pub total_growth_bytes: Option<i64>,
    /// The parts, largest first.
    pub parts: Vec<Part>,
    /// The total less the parts; negative when the sources count more than there is.
    pub unexplained_bytes: i64,
    /// Second minus first reading.
    pub unexplained_growth_bytes: Option<i64>,
    /// Size classes with the most free room.
    pub size_classes: Vec<SizeClass>,
    /// Old objects in these.
    pub holders: Vec<Holder>,
    /// The heap as the profile has it.
    pub sampled: Option<Sampled>,
    /// Whether it agrees with what jemalloc says is allocated.
    pub sampled_agrees: Option<bool>,
    /// What a purge brought.
    pub purge: Option<Purge>,
    /// Sources that are missing, and why.
    pub missing: Vec<String>,
    /// What else one should know.
    pub notes: Vec<String>,
    /// Commands to run next.
    pub next: Vec<String>,
}

/// Explains the second reading and the growth since the first.
pub fn judge(base: &Survey, new: &Survey, extras: Extras) -> Triage {
    let scope = parts::scope(base, new);
    let (before, after) = (parts::ledger(base, scope.0), parts::ledger(new, scope.0));
    // Without one of two mappings both are read the same way: growth compares like with like.
    let (before, after) = if before.by_mapping == after.by_mapping {
        (before, after)
    } else {
        let plain = |s: &Survey| parts::ledger(&Survey::of(s.waterline.clone()), scope.0);
        (plain(base), plain(new))
    };
    let mut triage = parts::compare(&before, &after, scope, base, new);
    triage.sampled = extras.sampled;
    triage.holders = extras.holders;
    triage.purge = extras.purge;
    triage.pid = extras.pid;
    verdict::decide(&mut triage, base, new);
    triage.address(&extras.target);
    triage
}

impl Triage {
    /// Sets the target in [`next`](Self::next): the server does not know how its client calls it.
    pub fn address(&mut self, target: &Target) {
        self.next = words::next(self, target);
    }

    /// A part, if there is one.
    pub fn part(&self, name: PartName) -> Option<&Part> {
        self.parts.iter().find(|p| p.name == name)
    }

    /// Adds what a purge brought, and judges it. Set the target again afterwards.
    pub fn with_purge(mut self, purge: Purge) -> Self {
        self.purge = Some(purge);
        verdict::weigh_purge(&mut self);
        self
    }
}

#[cfg(test)]
mod tests;
