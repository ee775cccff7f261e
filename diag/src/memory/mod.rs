//! The memory waterline: where the process's memory stands, from jemalloc, the kernel and the cgroup, at one moment.
//!
//! One struct ([`Waterline`]), one JSON (serde, `diag.memory/1`), one text table (`Display`). A source that is not
//! there is said to be missing, with the reason; it is never zero. Sizes are bytes. Reading costs some 30 small files
//! and, unless it is to be [quick](read_quick), a walk of the page tables (see `process.rs`); no lock of the host's, and
//! bounded memory.
//!
//! What it is not: a history (take two and compare), or a verdict. That is [`triage`], which compares two, better with
//! [`Mappings`] beside them.

mod cgroup;
mod fields;
mod jemalloc;
mod mappings;
mod model;
mod process;
mod purge;
mod reading;
mod source;
mod text;
pub mod triage;
#[cfg(feature = "triggers")]
pub(crate) mod watch;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub use mappings::{Mappings, read_mappings};
pub use model::{
    Arena, Bin, Cgroup, Events, Jemalloc, LimitedBy, Machine, Pressure, Process, Stall, Stat, Waterline,
};
#[cfg(feature = "triggers")]
pub(crate) use purge::give_back;
pub use purge::{Idle, Purge, purge};
pub use reading::{Limit, Reading};

/// Value of [`Waterline::schema`].
pub const SCHEMA: &str = "diag.memory/1";

/// How much a reading may cost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Everything.
    Full,
    /// Without the walk of the page tables.
    Quick,
}

/// Reads the waterline of this process now.
pub fn read() -> Waterline {
    read_with(Effort::Full)
}

/// The same without PSS, huge pages and lazily freed pages, which cost about 30 ms a GiB: for readings every few seconds.
pub fn read_quick() -> Waterline {
    read_with(Effort::Quick)
}

fn read_with(effort: Effort) -> Waterline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let taken_at_unix_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let jemalloc = jemalloc::read();
    read_below(Path::new("/"), taken_at_unix_ns, jemalloc, effort)
}

/// The same with the parts outside `/proc` and `/sys` given, and with another directory for `/`.
fn read_below(root: &Path, taken_at_unix_ns: u64, jemalloc: Reading<Jemalloc>, effort: Effort) -> Waterline {
    let source = source::Source::new(root);
    Waterline {
        schema: SCHEMA.to_owned(),
        taken_at_unix_ns,
        jemalloc,
        diag_bytes: Reading::missing("the heap collector was not asked"),
        process: process::read(&source, effort),
        cgroup: cgroup::read(&source),
        machine: process::read_machine(&source),
    }
}

/// What [`read`] and [`read_mappings`] give, with another directory for `/`.
#[cfg(diag_fuzz)]
pub(crate) fn survey_below(root: &Path) -> triage::Survey {
    let jemalloc = Reading::missing("another process has it");
    let waterline = read_below(root, 1_795_266_322_123_000_000, jemalloc, Effort::Full);
    triage::Survey { waterline, mappings: mappings::read_below(&source::Source::new(root), 0) }
}

#[cfg(test)]
mod tests;
