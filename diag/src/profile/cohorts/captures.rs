//! Cohorts from captured profiles: each with ages (`ages=1`) is a census.
//!
//! Stacks are recognised by their addresses, which stay the same in one process; without addresses by their names.

use hashbrown::HashMap;

use super::{Census, Cohorts, Tally};
use crate::profile::{LabelSetId, LabelValue, Profile, StackId, sampling};

/// Comments that a capture with ages carries: when its process started, and when it was taken, on one clock that
/// does not jump (nanoseconds since the Unix epoch at the start plus monotonic time since).
pub const STARTED_COMMENT: &str = "process_started_unix_ns=";
/// See [`STARTED_COMMENT`].
pub const TAKEN_COMMENT: &str = "taken_process_clock_ns=";

/// Cells of the grid over the time from the first capture to the last.
const CELLS: i64 = 64;
/// Memory for the cohorts of files: not in a service.
const MEMORY_LIMIT: usize = 1 << 30;

/// Why captures make no cohorts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesFault {
    /// A profile has no births.
    #[error("the profiles carry no ages")]
    NoAges,
    /// There are not two different times.
    #[error("there are no two captures of different times")]
    OneTime,
    /// The process restarted between captures.
    #[error("the captures are of different processes")]
    Restarted,
}

/// Captures of one process as cohorts.
#[derive(Debug)]
#[non_exhaustive]
pub struct CaptureSeries {
    /// The cohorts; rows are numbered by stack over all captures.
    pub cohorts: Cohorts,
    /// Which of the given captures is the last by the process's own time; the wall clock may have been set back since.
    pub newest: usize,
    /// Its stacks by row.
    pub stacks: HashMap<u32, StackId>,
    /// When the process started, on the same clock; `None` where the captures do not say.
    pub process_start_ns: Option<i64>,
    /// The sampling period of the last capture.
    pub period_bytes: u64,
}

impl CaptureSeries {
    /// From captures with ages, in any order.
    ///
    /// # Errors
    /// [`SeriesFault`].
    pub fn new(captures: &[&Profile]) -> Result<Self, SeriesFault> {
        let mut captures: Vec<(i64, usize, &Profile)> = captures
            .iter()
            .enumerate()
            .map(|(position, p)| taken_ns(p).map(|at| (at, position, *p)))
            .collect::<Option<_>>()
            .ok_or(SeriesFault::NoAges)?;
        captures.sort_by_key(|(at, ..)| *at);
        captures.dedup_by_key(|(at, ..)| *at);
        let (Some((first, ..)), Some((last, newest, last_profile))) = (captures.first(), captures.last())
        else {
            return Err(SeriesFault::OneTime);
        };
        if first == last {
            return Err(SeriesFault::OneTime);
        }
        let started: Vec<Option<i64>> = captures.iter().map(|(.., p)| process_started_ns(p)).collect();
        if started.windows(2).any(|pair| pair.first() != pair.last()) {
            return Err(SeriesFault::Restarted);
        }
        // The capture of a start has no live sample yet, and so no birth either.
        let holds = |p: &Profile| p.sample_type_index("inuse_space").is_some_and(|t| p.total(t) > 0);
        let ageless = |p: &Profile| {
            p.find_str("born_at").is_none() && (holds(p) || comment(p, TAKEN_COMMENT).is_none())
        };
        if captures.iter().any(|(.., p)| ageless(p)) {
            return Err(SeriesFault::NoAges);
        }
        let mut series = Self {
            cohorts: Cohorts::new(*first, last.saturating_sub(*first) / CELLS, MEMORY_LIMIT),
            newest: *newest,
            stacks: HashMap::new(),
            process_start_ns: started.first().copied().flatten(),
            period_bytes: period(last_profile),
        };
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        for (at, _, profile) in &captures {
            series.stacks = series.show(*at, profile, &mut numbers);
        }
        Ok(series)
    }

    /// Takes the census of one capture; gives its stacks by row.
    fn show(
        &mut self,
        at_ns: i64,
        profile: &Profile,
        numbers: &mut HashMap<u64, u32>,
    ) -> HashMap<u32, StackId> {
        let hashes = location_hashes(profile);
        let mut rows: HashMap<StackId, u32> = HashMap::new();
        let mut row_of = |stack: StackId| {
            *rows.entry(stack).or_insert_with(|| {
                let hash = profile
                    .stack(stack)
                    .iter()
                    .fold(0, |hash, location| mix(hash ^ hashes.get(location.index()).copied().unwrap_or(0)));
                let next = numbers.len() as u32;
                *numbers.entry(hash).or_insert(next)
            })
        };
        let column = |kind: &str| profile.sample_type_index(kind);
        let columns = ["inuse_objects", "inuse_space", "alloc_objects", "alloc_space"].map(column);
        let period = period(profile);
        let mut births: HashMap<u32, f64> = HashMap::new();
        let (mut all_births, mut allocated_bytes) = (0.0, 0.0);
        let mut objects: Vec<(u32, i64, u64, Tally)> = Vec::new();
        for sample in profile.samples() {
            let row = row_of(sample.stack);
            let [in_objects, in_bytes, al_objects, al_bytes] =
                columns.map(|c| c.and_then(|c| sample.values.get(c)).copied().unwrap_or(0) as f64);
            let size = number(profile, sample.labels, "bytes").unwrap_or(0).max(0) as u64;
            if al_objects > 0.0 {
                let born = al_objects * sampling::probability(size, period);
                *births.entry(row).or_default() += born;
                all_births += born;
                allocated_bytes += al_bytes;
            }
            if let Some(born_ns) = number(profile, sample.labels, "born_at").filter(|_| in_bytes > 0.0) {
                objects.push((row, born_ns, size, Tally::of(in_objects, in_bytes)));
            }
        }
        let census = Census { at_ns, births: all_births, allocated_bytes, work_units: work(profile) };
        if let Some(mut taking) = self.cohorts.census(census) {
            for (row, born_ns, size, tally) in objects {
                taking.object(row, born_ns, size, tally);
            }
            for (row, samples) in births {
                taking.births(row, samples);
            }
            taking.finish();
        }
        rows.into_iter().map(|(stack, row)| (row, stack)).collect()
    }
}

/// Units of work done since the process began, as a capture with ages says.
pub const WORK_COMMENT: &str = "work_units=";

fn work(profile: &Profile) -> u64 {
    comment(profile, WORK_COMMENT).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

/// When the process of a capture started, nanoseconds since the Unix epoch, if it says so.
pub fn process_started_ns(profile: &Profile) -> Option<i64> {
    comment(profile, STARTED_COMMENT)
}

fn taken_ns(profile: &Profile) -> Option<i64> {
    comment(profile, TAKEN_COMMENT).or(profile.meta().time_unix_ns)
}

fn comment(profile: &Profile, name: &str) -> Option<i64> {
    profile.meta().comments.iter().find_map(|c| c.strip_prefix(name)?.parse().ok())
}

fn period(profile: &Profile) -> u64 {
    let period = profile.meta().period.as_ref();
    period.filter(|p| p.value_type.unit == "bytes").map_or(0, |p| u64::try_from(p.value).unwrap_or(0))
}

/// A numeric label.
fn number(profile: &Profile, labels: LabelSetId, key: &str) -> Option<i64> {
    let key = profile.find_str(key)?;
    profile.label_set(labels).iter().find(|l| l.key == key).and_then(|l| match l.value {
        LabelValue::Num(number, _) => Some(number),
        LabelValue::Str(_) => None,
    })
}

/// For each location a number that is the same in every capture of the process.
fn location_hashes(profile: &Profile) -> Vec<u64> {
    let hash = |id| {
        let location = profile.location(id);
        if location.address != 0 {
            return mix(location.address);
        }
        location.lines.iter().fold(1, |hash, line| {
            let name = profile.str(profile.function(line.function).name);
            let named = name.bytes().fold(hash, |hash, byte| mix(hash ^ u64::from(byte)));
            mix(named ^ line.line as u64)
        })
    };
    profile.location_ids().map(hash).collect()
}

fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xa076_1d64_78bd_642f);
    (product as u64) ^ ((product >> 64) as u64)
}
