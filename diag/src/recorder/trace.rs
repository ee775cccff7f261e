//! [`Trace`]: what was recorded, as slices of time by thread. Pure.
//!
//! Times are nanoseconds since the window began. Slices of a thread are nested: of two, one lies within the other or they do not
//! meet. They are in the order of their threads, then of their beginning, the outer one first.

use std::fmt;

use super::fields::Value;

/// What spans, events, polls and counters did in a window of time.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// When the window began.
    pub(super) began_unix_ns: u64,
    pub(super) length_ns: u64,
    /// How much of it, from its beginning, may have gaps because it was overwritten.
    pub(super) missing_ns: u64,
    pub(super) pid: u32,
    pub(super) service_name: String,
    pub(super) threads: Vec<Thread>,
    pub(super) sites: Vec<Site>,
    pub(super) spans: Vec<Span>,
    pub(super) slices: Vec<Slice>,
    pub(super) polls: Vec<Poll>,
    pub(super) events: Vec<Told>,
    pub(super) counters: Vec<Reading>,
    pub(super) samples: Vec<CpuSample>,
    /// Names of code addresses, where somebody gave them.
    pub(super) code_names: std::collections::HashMap<u64, String>,
    pub(super) losses: Vec<(&'static str, u64)>,
    /// What tasks are called by site, and where that is, where somebody said so.
    pub(super) task_sites: Vec<(String, String)>,
}

/// A thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Thread {
    /// The kernel's number, or one above all of the kernel's when that belongs to an earlier thread.
    pub(super) id: u32,
    pub(super) name: String,
}

/// A place in the code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Site {
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) level: &'static str,
    pub(super) fields: Vec<&'static str>,
}

/// A span, whenever it was entered.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Span {
    pub(super) id: u64,
    /// Position of its place, when that is known.
    pub(super) site: Option<u32>,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// What is to be said of the ends of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ends {
    /// It began before the window, or before what is known of the thread.
    pub(super) began_before: bool,
    /// It had not ended when the window did, or its end was overwritten.
    pub(super) end_unknown: bool,
    /// The rest of one that was cut, because spans were not left in the order in which they were entered.
    pub(super) continued: bool,
}

/// From entering a span to leaving it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Slice {
    pub(super) thread: u32,
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    /// Slices around it.
    pub(super) depth: u32,
    pub(super) span: u32,
    /// The task that was polled, or 0.
    pub(super) task: u32,
    pub(super) ends: Ends,
}

/// A poll of a task.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Poll {
    pub(super) thread: u32,
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    pub(super) depth: u32,
    pub(super) task: u32,
    /// Number of its site plus one, or 0.
    pub(super) site: u32,
    pub(super) ends: Ends,
}

/// Something that was told.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Told {
    pub(super) thread: u32,
    pub(super) at_ns: u64,
    pub(super) site: Option<u32>,
    /// Id of the span it was told in, or 0.
    pub(super) in_span: u64,
    pub(super) task: u32,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// A number at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    pub(super) at_ns: u64,
    pub(super) counter: Counter,
    pub(super) value: u64,
}

/// Where a thread was on a processor, when a CPU profile was recorded meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CpuSample {
    pub(super) thread: u32,
    pub(super) at_ns: u64,
    /// Addresses ready for a look-up, innermost first.
    pub(super) frames: Box<[u64]>,
}

/// The numbers that are looked at, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Counter {
    /// Bytes in use, as the allocator counts.
    Live = 0,
    /// Bytes of the allocator that are resident.
    Resident = 1,
    /// Bytes allocated since the start, freed or not, as estimated from samples.
    Allocated = 2,
}

impl Counter {
    pub(super) fn of(number: u32) -> Option<Self> {
        [Self::Live, Self::Resident, Self::Allocated].get(number as usize).copied()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "live bytes",
            Self::Resident => "allocator's resident bytes",
            Self::Allocated => "bytes allocated since the start (estimate)",
        }
    }
}

impl Trace {
    /// Says of which service it is.
    #[must_use]
    pub fn with_service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = name.into();
        self
    }

    /// Says what tasks are called, and where that is, by the number of their site.
    #[must_use]
    #[cfg(any(test, feature = "symbols", feature = "triggers"))]
    pub(crate) fn with_task_sites(mut self, sites: Vec<(String, String)>) -> Self {
        self.task_sites = sites;
        self
    }

    /// The code addresses of its CPU samples, each once.
    #[must_use]
    pub fn code_addresses(&self) -> Vec<u64> {
        let all: std::collections::BTreeSet<u64> =
            self.samples.iter().flat_map(|sample| sample.frames.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Names them; those without a name are shown as addresses.
    #[must_use]
    pub fn with_code_names(mut self, names: impl IntoIterator<Item = (u64, String)>) -> Self {
        self.code_names = names.into_iter().collect();
        self
    }

    /// When the window began, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn began_unix_ns(&self) -> u64 {
        self.began_unix_ns
    }

    /// How long the window is.
    #[must_use]
    pub fn length(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.length_ns)
    }

    /// How much of the window, from its beginning, has gaps because it was overwritten already.
    #[must_use]
    pub fn missing(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.missing_ns)
    }

    /// Slices of spans, slices of polls, and events in it.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.slices.len(), self.polls.len(), self.events.len())
    }

    /// What was lost, by name: of this trace, and of the recorder since it began.
    #[must_use]
    pub fn losses(&self) -> &[(&'static str, u64)] {
        &self.losses
    }

    /// The name of a span's slices.
    pub(super) fn span_name(&self, span: &Span) -> &'static str {
        self.site(span.site).map_or(UNKNOWN, |site| site.name)
    }

    pub(super) fn site(&self, number: Option<u32>) -> Option<&Site> {
        self.sites.get(number? as usize)
    }

    pub(super) fn code_name(&self, address: u64) -> String {
        self.code_names.get(&address).cloned().unwrap_or_else(|| format!("{address:#x}"))
    }

    /// What the task of a poll is called, and where it was spawned.
    pub(super) fn task_site(&self, poll: &Poll) -> Option<&(String, String)> {
        self.task_sites.get(poll.site.checked_sub(1)? as usize)
    }
}

/// The name of a span of which nothing is known any more.
pub(super) const UNKNOWN: &str = "(unknown span)";

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(v) => v.fmt(f),
            Self::I64(v) => v.fmt(f),
            Self::F64(v) => v.fmt(f),
            Self::Bool(v) => v.fmt(f),
            Self::Text(v) => v.fmt(f),
        }
    }
}
