//! The judgement over a ledger, and the sentence and commands that go with it. Pure.

use serde::{Deserialize, Serialize};

use super::parts::signed;
use super::words::{change, hourly, label, scope_name, seconds};
use super::{Basis, Part, PartName, Survey, Triage};
use crate::memory::text::mib;

/// Growth below this is what any busy process does within seconds.
const LEAST_GROWTH_BYTES: i64 = 1 << 20;
/// And below this share of the total.
const LEAST_GROWTH_SHARE: f64 = 0.001;
/// A part counts as the main one of a level from this size on,
const LEAST_LEVEL_BYTES: i64 = 16 << 20;
/// and this share of the total.
const LEAST_LEVEL_SHARE: f64 = 0.4;
/// Files in memory are worth a verdict from here on: the kernel drops them when it must.
const LEAST_FILE_BYTES: i64 = 128 << 20;
/// A heap that grows by this share grows whatever else stands out; by less it is load.
const MUCH_OF_HEAP: f64 = 0.05;
/// A purge that returns this share of the total proves that it was dirty pages.
const PROVEN_SHARE: f64 = 0.25;
/// Pages read again a second, so near to the limit, that slow a program down. Seen at 128 MiB: 450 (2026-11-29).
const CRAWLING_FAULTS: f64 = 50.0;
const CRAWLING_SHARE: f64 = 0.97;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The program holds more.
    LiveGrowth,
    /// Pages are held by few objects each.
    Fragmentation,
    /// Unused pages that jemalloc has not given back.
    DirtyPages,
    /// Huge pages fill in what was given back.
    HugePages,
    /// Stacks.
    ThreadStacks,
    /// Files in memory.
    FileCache,
    /// tmpfs, memfd, SysV.
    SharedMemory,
    /// Socket buffers.
    SocketBuffers,
    /// Kernel memory.
    KernelMemory,
    /// C code, or mmap.
    OutsideJemalloc,
    /// jemalloc's own structures.
    Metadata,
    /// The heap collector.
    Profiler,
    /// Others in the cgroup.
    OtherProcesses,
    /// Something grows that no source explains.
    Unexplained,
    /// Nothing grows, and nothing but the live heap stands out.
    NoGrowth,
    /// The sources do not say enough.
    NotEnoughEvidence,
}

impl Verdict {
    fn of(part: PartName) -> Option<Self> {
        Some(match part {
            PartName::LiveHeap => Self::LiveGrowth,
            PartName::Fragmentation => Self::Fragmentation,
            PartName::DirtyPages | PartName::MuzzyPages => Self::DirtyPages,
            PartName::Metadata => Self::Metadata,
            PartName::HugePages => Self::HugePages,
            PartName::Profiler => Self::Profiler,
            PartName::ThreadStacks => Self::ThreadStacks,
            PartName::CHeap | PartName::OtherAnonymous | PartName::ProgramData => Self::OutsideJemalloc,
            PartName::FileMappings | PartName::PageCache => Self::FileCache,
            PartName::SharedMemory => Self::SharedMemory,
            PartName::Sockets => Self::SocketBuffers,
            PartName::KernelSlab | PartName::KernelStacks | PartName::PageTables | PartName::KernelOther => {
                Self::KernelMemory
            }
            PartName::OtherProcesses => Self::OtherProcesses,
            // Pages that were allocated before and are written only now: the heap comes into memory.
            PartName::NotInMemory => return None,
        })
    }
}

/// Sets verdict, basis and evidence.
pub(super) fn decide(t: &mut Triage, base: &Survey, new: &Survey) {
    weigh_sample(t);
    (t.verdict, t.basis, t.evidence) = verdict(t, base, new);
    if t.unexplained_bytes < -LEAST_GROWTH_BYTES {
        t.notes.push(format!(
            "the parts are {} more than the total: the sources are not read at the same moment",
            mib(t.unexplained_bytes.unsigned_abs())
        ));
    }
    if let (super::Scope::Cgroup, Some(rss)) = (t.scope, new.waterline.process.rss_bytes.value()) {
        t.notes.push(format!("the process itself has {} RSS", mib(rss)));
    }
    if let Some(swap) = new.waterline.process.swap_bytes.value().filter(|&b| b > 1 << 20) {
        t.notes.push(format!("{} are swapped out and not part of the total", mib(swap)));
    }
    t.notes.extend(crawling(t.watched_s, base, new));
    weigh_purge(t);
}

/// Before the kernel kills at a limit it takes back what files hold, and that is the program's own code.
fn crawling(watched_s: f64, base: &Survey, new: &Survey) -> Option<String> {
    let faults = |survey: &Survey| survey.waterline.process.major_faults_total.value();
    let a_second = faults(new)?.checked_sub(faults(base)?)? as f64 / watched_s;
    let limited = new.waterline.cgroup.known()?.limited_by.as_ref()?;
    let (limit, current) = (limited.limit_bytes, limited.current_bytes.value()?);
    let is_crawling = a_second >= CRAWLING_FAULTS && current as f64 >= limit as f64 * CRAWLING_SHARE;
    is_crawling.then(|| {
        format!(
            "the process crawls: below the limit of {} there is so little room that it has to read {a_second:.0} pages a second of its own \
             code and files again; this may last for minutes before the kernel kills it",
            mib(limit)
        )
    })
}

fn verdict(t: &Triage, base: &Survey, new: &Survey) -> (Verdict, Basis, String) {
    let not_enough = |why: &str| (Verdict::NotEnoughEvidence, Basis::Nothing, why.to_owned());
    let Some(total) = t.total_bytes.value().map(signed) else {
        return not_enough("the kernel does not tell how much memory the process has");
    };
    let Some(growth) = t.total_growth_bytes else {
        return not_enough("the first reading does not tell how much memory the process had");
    };
    if new.waterline.taken_at_unix_ns <= base.waterline.taken_at_unix_ns {
        return not_enough("the second reading is not later than the first; give the older one first");
    }
    let least = LEAST_GROWTH_BYTES.max((total as f64 * LEAST_GROWTH_SHARE) as i64);
    // What the kernel can drop hides neither growth nor its absence.
    let droppable = sum(t, |p| if is_droppable(p.name) { p.growth_bytes.unwrap_or(0) } else { 0 });
    let held = growth.saturating_sub(droppable);
    if held >= least {
        return of_growth(t, held, droppable, least);
    }
    if growth >= least && droppable >= least / 2 {
        let evidence = format!(
            "{} grew by {} in {}, and pages of files by {}; the rest did not grow",
            scope_name(t.scope),
            mib(growth.unsigned_abs()),
            seconds(t.watched_s),
            mib(droppable.unsigned_abs())
        );
        return (Verdict::FileCache, Basis::Growth, evidence);
    }
    let level = standing_out(t, total);
    let (heap, live) = t.part(PartName::LiveHeap).map_or((0, 0), |p| (p.bytes, p.growth_bytes.unwrap_or(0)));
    let much = live >= least && live as f64 >= heap.saturating_sub(live) as f64 * MUCH_OF_HEAP;
    if let Some(part) = level.filter(|p| !is_droppable(p.name) && !much) {
        return of_level(t, part, total, held);
    }
    if live >= least {
        let evidence = format!(
            "the live heap grew by {} in {}; {} stays level ({}), because pages that were free are used again",
            mib(live.unsigned_abs()),
            seconds(t.watched_s),
            scope_name(t.scope),
            change(growth)
        );
        return (Verdict::LiveGrowth, Basis::Growth, evidence);
    }
    if let Some(part) = level {
        return of_level(t, part, total, held);
    }
    let evidence = format!(
        "{} is {} and changed by {} in {}; growth of less than {} could not be told from noise",
        scope_name(t.scope),
        mib(total.unsigned_abs()),
        change(growth),
        seconds(t.watched_s),
        mib(least.unsigned_abs())
    );
    (Verdict::NoGrowth, Basis::Nothing, evidence)
}

fn is_droppable(name: PartName) -> bool {
    matches!(name, PartName::PageCache | PartName::FileMappings)
}

fn sum(t: &Triage, of: impl Fn(&Part) -> i64) -> i64 {
    t.parts.iter().map(of).fold(0, i64::saturating_add)
}

fn of_level(t: &Triage, part: &Part, total: i64, growth: i64) -> (Verdict, Basis, String) {
    let without_files = !is_droppable(part.name);
    let of_files = sum(t, |p| if is_droppable(p.name) { p.bytes } else { 0 });
    let whole = if without_files { total.saturating_sub(of_files) } else { total };
    let aside = if without_files && of_files > whole { " without pages of files" } else { "" };
    let evidence = format!(
        "nothing grew ({} in {}), but {} is {} of {}{aside}, {:.0} %",
        change(growth),
        seconds(t.watched_s),
        label(part.name),
        mib(part.bytes.unsigned_abs()),
        mib(whole.unsigned_abs()),
        part.bytes as f64 * 100.0 / whole.max(1) as f64
    );
    (Verdict::of(part.name).unwrap_or(Verdict::Unexplained), Basis::Level, evidence)
}

/// `held`: growth without pages of files, of which there are `droppable` more than before.
fn of_growth(t: &Triage, held: i64, droppable: i64, least: i64) -> (Verdict, Basis, String) {
    let by_growth = |p: &&Part| p.growth_bytes.unwrap_or(0);
    let named = |p: &&Part| Verdict::of(p.name).is_some() && !is_droppable(p.name);
    let largest = t.parts.iter().filter(named).max_by_key(by_growth);
    let untouched = t.part(PartName::NotInMemory).and_then(|p| p.growth_bytes).unwrap_or(0);
    let unexplained = t.unexplained_growth_bytes.unwrap_or(0);
    let anonymous_is_known =
        t.parts.iter().any(|p| matches!(p.name, PartName::LiveHeap | PartName::OtherAnonymous));
    let hourly = match t.watched_s {
        1.0.. => format!(", {}", hourly(held, t.watched_s)),
        _ => String::new(),
    };
    let begin = format!(
        "{}{} grew by {} in {}{hourly}",
        scope_name(t.scope),
        if droppable == 0 { "" } else { " without pages of files" },
        mib(held.unsigned_abs()),
        seconds(t.watched_s)
    );
    match largest {
        Some(p) if p.growth_bytes.unwrap_or(0) >= (least / 2).max(unexplained).max(untouched) => {
            let grown = p.growth_bytes.unwrap_or(0);
            let detail = if p.detail.is_empty() { String::new() } else { format!(" ({})", p.detail) };
            let name = label(p.name);
            let evidence = format!(
                "{begin}; {name} grew by {}{detail}, more than any other part",
                mib(grown.unsigned_abs())
            );
            (Verdict::of(p.name).unwrap_or(Verdict::Unexplained), Basis::Growth, evidence)
        }
        _ if untouched > unexplained && untouched >= least / 2 => {
            let evidence = format!(
                "{begin}; {} that were allocated earlier were written for the first time, or came back from swap",
                mib(untouched.unsigned_abs())
            );
            (Verdict::LiveGrowth, Basis::Growth, evidence)
        }
        _ if unexplained >= least / 2 && anonymous_is_known => {
            let evidence = format!("{begin}; {} of that are in no part", mib(unexplained.unsigned_abs()));
            (Verdict::Unexplained, Basis::Growth, evidence)
        }
        _ => {
            let why = "the sources that could say where are missing, or no part grew by more than a little";
            (Verdict::NotEnoughEvidence, Basis::Nothing, format!("{begin}, and {why}"))
        }
    }
}

/// The largest part that is not the live heap, if it is most of what there is; pages of files last.
fn standing_out(t: &Triage, total: i64) -> Option<&Part> {
    let droppable = sum(t, |p| if is_droppable(p.name) { p.bytes } else { 0 });
    let fits = |p: &&Part| {
        let (least, whole) = match Verdict::of(p.name) {
            None | Some(Verdict::LiveGrowth) => return false,
            Some(_) if is_droppable(p.name) => (LEAST_FILE_BYTES, total),
            Some(_) => (LEAST_LEVEL_BYTES, total.saturating_sub(droppable)),
        };
        p.bytes >= least && p.bytes as f64 >= whole as f64 * LEAST_LEVEL_SHARE
    };
    t.parts.iter().filter(fits).max_by_key(|p| (!is_droppable(p.name), p.bytes))
}

/// Whether the sampled heap agrees with jemalloc's count: within its interval, and what threads cache and what lived before the
/// collector started.
fn weigh_sample(t: &mut Triage) {
    let (Some(s), Some(allocated)) = (t.sampled, t.part(PartName::LiveHeap).map(|p| p.bytes)) else { return };
    let slack = (allocated as f64 * 0.05) as i64 + (4 << 20);
    let low = s.low_bytes.saturating_sub(slack);
    let high = s.high_bytes.saturating_add(slack);
    t.sampled_agrees = Some((low..=high).contains(&allocated));
    if t.sampled_agrees == Some(false) {
        t.notes.push(format!(
            "the heap profile does not agree with jemalloc: it finds {} ({} to {}) where {} are allocated; the rest lived before the \
             collector started, is cached by threads, or was lost (`diag-cli doctor` says)",
            mib(s.bytes.unsigned_abs()),
            mib(s.low_bytes.unsigned_abs()),
            mib(s.high_bytes.unsigned_abs()),
            mib(allocated.unsigned_abs())
        ));
    }
    let fragmentation = t.part(PartName::Fragmentation).map_or(0, |p| p.bytes);
    if s.own_pages_bytes > LEAST_GROWTH_BYTES && s.own_pages_bytes > fragmentation / 4 {
        t.notes.push(format!(
            "about {} of the fragmentation are the profiler's, since each sampled object has pages of its own; a larger \
             DIAG_SAMPLE_BYTES takes less",
            mib(s.own_pages_bytes.unsigned_abs())
        ));
    }
}

/// Lets a purge prove or refute that it is dirty pages.
pub(super) fn weigh_purge(t: &mut Triage) {
    let Some(purge) = &t.purge else { return };
    let Some(returned) = purge.returned_bytes() else {
        t.notes.push("the purge was done, but the kernel does not tell what it brought".to_owned());
        return;
    };
    let before = purge.before.rss_bytes.value().map_or(0, signed);
    let shown = format!(
        "the purge took {:.0} ms and returned {} of {} RSS; dirty pages went from {} to {}",
        purge.took_s * 1000.0,
        change(returned).trim_start_matches('+'),
        mib(before.unsigned_abs()),
        purge.before.dirty_bytes.value().map_or_else(|| "?".to_owned(), mib),
        purge.after.dirty_bytes.value().map_or_else(|| "?".to_owned(), mib)
    );
    let much = returned >= LEAST_GROWTH_BYTES && returned as f64 >= before as f64 * PROVEN_SHARE;
    if much && t.basis != Basis::Growth && t.verdict != Verdict::DirtyPages {
        t.verdict = Verdict::DirtyPages;
        t.basis = Basis::Level;
        t.evidence = shown;
    } else if t.verdict == Verdict::DirtyPages {
        let proven = if much { "proven" } else { "not proven" };
        t.evidence = format!("{}; {proven}: {shown}", t.evidence);
    } else {
        t.notes.push(shown);
    }
}
