//! Which code leaks, how sure that is, and what could not be told. Pure: time, names and limits come in as arguments.
//!
//! The test is gained against lost over birth cohorts ([`Cohorts`]; see `flow.rs`), for each group of stacks (`groups.rs`) and
//! for windows that end now and begin at 1/2, 3/4 and 7/8 of the watched time. False alarms are controlled over groups by
//! Benjamini and Hochberg's procedure ("Controlling the false discovery rate", 1995), without the groups that could not reach
//! significance whatever happened (Tarone, "A modified Bonferroni method for discrete data", 1990), and over windows by
//! spending alpha/(j(j+1)) on the j-th.
//!
//! What is significant grows. It is a leak when it also grows on (exponent), has survivors of the whole window (spread), and
//! the process is past its first fill: most other groups are level. Else it is `saturating` or `unbounded_so_far`.
//!
//! Simulated false alarms and power, beside two simpler tests, stand in `leak/simulation/`.

mod captures;
mod container;
mod declared;
mod flow;
mod groups;
mod report;
#[cfg(test)]
mod simulation;
mod suspect;
mod tail;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::profile::cohorts::Cohorts;
use crate::profile::{Profile, StackId};

pub use captures::judge_captures;
pub use declared::Declared;
use flow::{Flow, Window};
use groups::{Group, Kind, groups};
pub use report::{Report, SCHEMA, Suspect, SuspectVerdict, TaskSuspect, Verdict};

/// Nominal share of processes told of a leak that have none; shared out over groups and windows. What a process must get
/// past besides (dispersion, load ratio of at least 1, spread, exponent) makes it far less: 0 of 300 processes of 1,000
/// stacks in the simulation, at which a leak of 24 periods is found in 97 % (2026-11-21).
const ALPHA: f64 = 0.1;
/// Nobody is accused above this p, however few groups there are: some 12 samples, none of them lost.
const P_LIMIT: f64 = 3e-4;
/// A window shorter than so many ages of maturity is too short.
const MATURITIES_A_WINDOW: i64 = 4;
/// Least maturity in cells of the grid.
const CELLS_TO_MATURE: i64 = 2;
const LONGEST_MATURITY_NS: i64 = 60_000_000_000;
const SHORTEST_MATURITY_NS: i64 = 2_000_000_000;
/// The fewest censuses a verdict can rest on.
const FEWEST_CENSUSES: usize = 2;
/// Net samples by which a leak is found in 95 of 100 cases (simulated).
const SAMPLES_TO_FIND: f64 = 24.0;
/// Share of lost samples above which the innocence of what was seen says little.
const LOSSES_THAT_MATTER: f64 = 0.01;
/// Losses after which an object is not followed.
const UNSEEN: [&str; 4] = ["live_table_full", "site_table_full", "reentered_samples", "cohort_rows_dropped"];
/// A process younger than this, with most of its groups growing, is warming up.
const YOUNG_NS: i64 = 300_000_000_000;
/// One younger than this is warming up in any case: in the first seconds every cache grows. With a maturity of the
/// caller's, so many maturities if that is less.
const NEWBORN_NS: i64 = 45_000_000_000;
const NEWBORN_MATURITIES: i64 = 16;
/// Samples that came of age or died of a group that can be called level.
const LEVEL_SAMPLES: f64 = 8.0;

/// What the judge is told besides the cohorts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Age from which an object counts. Default: a twelfth of the watched time, from 2 s to 60 s.
    pub maturity: Option<Duration>,
    /// Mean bytes between samples, now.
    pub period_bytes: u64,
    /// When the process started, on the clock of the cohorts; default: the start of the grid.
    pub process_start_ns: Option<i64>,
    /// Memory limit and what is charged to it now.
    pub limit: Option<(u64, u64)>,
    /// Caps and gauges that the service declared.
    pub declared: Vec<Declared>,
    /// What was lost, by name.
    pub losses: BTreeMap<String, u64>,
    /// How the target is named in the commands that are suggested: `http://host:6060`.
    pub target: String,
}

/// The stacks of the cohorts' rows, with names where there are any, and their live memory.
#[derive(Clone, Copy)]
pub struct Stacks<'a> {
    /// Holds the stacks; its samples are the live memory, with labels.
    pub profile: &'a Profile,
    /// The stack of a row.
    pub of_row: &'a dyn Fn(u32) -> Option<StackId>,
}

/// A group whose growth is significant.
struct Found<'a> {
    group: Group<'a>,
    window: Window,
    q_value: f64,
}

/// Judges.
pub fn judge(cohorts: &Cohorts, stacks: Stacks<'_>, options: &Options) -> Report {
    let mut report = verdict(cohorts, stacks, options);
    report.next = next(report.verdict, &options.target);
    report
}

fn verdict(cohorts: &Cohorts, stacks: Stacks<'_>, options: &Options) -> Report {
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        sampling_period_bytes: options.period_bytes,
        losses: options.losses.clone(),
        live_bytes: suspect::live_bytes(stacks.profile),
        ..Report::default()
    };
    if cohorts.rows_dropped() > 0 {
        report.losses.insert("cohort_rows_dropped".to_owned(), cohorts.rows_dropped());
    }
    let (Some(first), Some(last)) = (cohorts.censuses().first(), cohorts.censuses().last()) else {
        report.reasons.push("nothing was watched yet".to_owned());
        return report;
    };
    let watched_ns = last.at_ns - first.at_ns;
    let maturity_ns = maturity(cohorts, watched_ns, options.maturity);
    report.watched_s = watched_ns as f64 / 1e9;
    report.maturity_s = maturity_ns as f64 / 1e9;
    report.work_units = last.work_units.saturating_sub(first.work_units);

    let process_start_ns = options.process_start_ns.unwrap_or(cohorts.start_ns());
    let windows = windows(cohorts, process_start_ns, maturity_ns);
    let Some(longest) = windows.first().copied() else {
        report.reasons.push(format!(
            "{:.0} s were watched, too short to tell growth from objects that are still in use; ask again after {:.0} s",
            report.watched_s,
            shortest_watch_s(maturity_ns)
        ));
        return report;
    };
    report.window_s = longest.seconds();
    report.minimum_detectable_bytes_per_hour =
        SAMPLES_TO_FIND * options.period_bytes as f64 / longest.seconds() * 3600.0;

    let groups = groups(cohorts, stacks.profile, stacks.of_row);
    report.tested = groups.len();
    let tested: Vec<Tested> = windows.iter().map(|w| Tested::of(cohorts, &groups, *w)).collect();
    let found = find(&groups, &tested);
    report.level = level(&groups, &tested);
    let newborn_ns =
        options.maturity.map_or(NEWBORN_NS, |_| NEWBORN_NS.min(NEWBORN_MATURITIES * maturity_ns));
    let growing = growing(&groups, &found);
    let warming = warming(growing, report.level, last.at_ns - process_start_ns, newborn_ns);
    suspect::describe(&mut report, cohorts, stacks, options, found, &groups, warming.is_some());
    conclude(&mut report, cohorts, &groups, &tested, warming);
    report
}

/// The age from which objects count, whole cells.
fn maturity(cohorts: &Cohorts, watched_ns: i64, asked: Option<Duration>) -> i64 {
    let resolution = cohorts.resolution_ns();
    let wanted = match asked {
        Some(asked) => i64::try_from(asked.as_nanos()).unwrap_or(i64::MAX),
        None => (watched_ns / 12).clamp(SHORTEST_MATURITY_NS, LONGEST_MATURITY_NS),
    };
    let cells = wanted.saturating_add(resolution - 1) / resolution;
    cells.max(CELLS_TO_MATURE).saturating_mul(resolution)
}

fn shortest_watch_s(maturity_ns: i64) -> f64 {
    (2 * MATURITIES_A_WINDOW * maturity_ns) as f64 / 1e9
}

/// The windows to test, longest first. A process that is watched from its start is judged by its second half; one that
/// was older when the watch began, by the whole watch.
fn windows(cohorts: &Cohorts, process_start_ns: i64, maturity_ns: i64) -> Vec<Window> {
    let censuses = cohorts.censuses();
    let (Some(begin), Some(end)) = (censuses.first(), censuses.last()) else { return Vec::new() };
    if censuses.len() < FEWEST_CENSUSES {
        return Vec::new();
    }
    let half = process_start_ns + (end.at_ns - process_start_ns) / 2;
    let longest = end.at_ns - half.max(begin.at_ns);
    let mut windows: Vec<Window> = Vec::new();
    for part in 0..3 {
        let length = longest >> part;
        if length < MATURITIES_A_WINDOW * maturity_ns {
            break;
        }
        let wanted_ns = end.at_ns - length;
        let from = censuses.partition_point(|c| c.at_ns <= wanted_ns).saturating_sub(1);
        let window = Window::new(cohorts, from, maturity_ns, process_start_ns);
        windows.extend(window.map(|w| Window { early: w.from_ns < wanted_ns - maturity_ns, ..w }));
    }
    windows
}

/// All groups in one window.
struct Tested {
    window: Window,
    /// By group.
    flows: Vec<Flow>,
}

impl Tested {
    fn of(cohorts: &Cohorts, groups: &[Group<'_>], window: Window) -> Self {
        let flows = groups.iter().map(|g| Flow::of(cohorts, &g.rows, &window)).collect();
        Self { window, flows }
    }
}

/// The significant groups, each in the longest window that shows it.
fn find<'a>(groups: &[Group<'a>], tested: &[Tested]) -> Vec<Found<'a>> {
    let mut found: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
    let first = tested.first();
    for (number, tested) in tested.iter().enumerate() {
        let j = number as f64 + 1.0;
        let share = 1.0 / (j * (j + 1.0));
        for (group, q_value) in discoveries(&tested.flows, ALPHA * share) {
            // What a leak adds lately it adds to the longer window too; a wave does not.
            let net = |flows: &[Flow]| flows.get(group).map_or(0.0, Flow::net);
            let longest = first.map_or(0.0, |first| net(&first.flows));
            if longest < net(&tested.flows) / 2.0 {
                continue;
            }
            found.entry(group).or_insert((number, q_value / share));
        }
    }
    let one = |(group, (number, q_value)): (usize, (usize, f64))| {
        let tested = tested.get(number)?;
        Some(Found { group: groups.get(group)?.clone(), window: tested.window, q_value: q_value.min(1.0) })
    };
    found.into_iter().filter_map(one).collect()
}

/// Benjamini and Hochberg's procedure over those that could be significant at all; group numbers with q-values.
fn discoveries(flows: &[Flow], alpha: f64) -> Vec<(usize, f64)> {
    // Tarone: the smallest k such that at most k groups could reach alpha/k.
    let mut reachable: Vec<f64> = flows.iter().map(Flow::smallest_p).collect();
    reachable.sort_by(f64::total_cmp);
    let able = |k: usize| reachable.partition_point(|p| *p <= alpha / k as f64);
    let k = (1..=flows.len()).find(|k| able(*k) <= *k).unwrap_or(flows.len()).max(1);
    let threshold = alpha / k as f64;
    let mut able: Vec<(f64, usize)> = flows
        .iter()
        .enumerate()
        .filter(|(_, f)| f.smallest_p() <= threshold)
        .map(|(group, f)| (f.p, group))
        .collect();
    able.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let tests = able.len().max(1) as f64;
    let mut q = 1.0f64;
    let mut with_q: Vec<(usize, f64)> = Vec::new();
    for (rank, (p, group)) in able.iter().enumerate().rev() {
        q = q.min(p * tests / (rank as f64 + 1.0));
        with_q.push((*group, q));
    }
    with_q.retain(|(group, q)| *q <= alpha && flows.get(*group).is_some_and(|f| f.p <= P_LIMIT));
    with_q.reverse();
    with_q
}

/// Sites with enough samples that came of age or died, and as many of the one as of the other.
fn level(groups: &[Group<'_>], tested: &[Tested]) -> usize {
    let is_level = |f: &&Flow| {
        let (gained, lost) = f.effective();
        gained + lost >= LEVEL_SAMPLES && f.p > 0.1
    };
    let flows = tested.first().map(|longest| longest.flows.as_slice()).unwrap_or_default();
    let of_sites = groups.iter().zip(flows).filter(|(group, _)| group.kind == Kind::Site);
    of_sites.map(|(_, flow)| flow).filter(is_level).count()
}

/// How many things grow: sites, those as one that a function calls which calls no site but growing ones (the parts of an
/// object graph).
fn growing(groups: &[Group<'_>], found: &[Found<'_>]) -> usize {
    let mut sites: BTreeSet<&str> =
        found.iter().filter(|f| f.group.kind == Kind::Site).map(|f| f.group.site.as_str()).collect();
    let mut graphs = 0;
    for graph in groups.iter().filter(|g| g.kind == Kind::Spread) {
        if graph.sites.len() > 1 && graph.sites.iter().all(|site| sites.contains(site.as_str())) {
            graph.sites.iter().chain([&graph.site]).for_each(|site| {
                sites.remove(site.as_str());
            });
            graphs += 1;
        }
    }
    sites.len() + graphs
}

/// Why the process as a whole is taken to be in its first fill: it is very young, or it is young and more of it grows than
/// is level.
fn warming(growing: usize, level: usize, age_ns: i64, newborn_ns: i64) -> Option<String> {
    if age_ns < newborn_ns {
        let age_s = age_ns / 1_000_000_000;
        return Some(format!("the process is {age_s} s old, and in its first seconds every cache grows"));
    }
    (age_ns < YOUNG_NS && growing > 1 && growing > level)
        .then(|| "the process is young and most of what it keeps is still growing".to_owned())
}

fn conclude(
    report: &mut Report,
    cohorts: &Cohorts,
    groups: &[Group<'_>],
    tested: &[Tested],
    warming: Option<String>,
) {
    let leak = report.suspects.iter().any(|s| s.verdict == SuspectVerdict::Leak);
    let undecided = report.suspects.iter().any(|s| s.verdict == SuspectVerdict::UnboundedSoFar);
    if let Some(why) = warming.filter(|_| undecided) {
        report.reasons.push(format!("{why}: honest caches that fill look the same; ask again later"));
    }
    let samples: u32 = cohorts.rows().flat_map(|(_, r)| &r.cohorts).map(|c| c.alive.samples).sum();
    let flows = tested.first().map(|t| t.flows.as_slice()).unwrap_or_default();
    let moved: u32 = flows.iter().map(|f| f.gained.samples + f.lost.samples).sum();
    if !leak && samples == 0 && moved == 0 {
        report.reasons.push(
            "no sampled object lived long enough to be judged: the process does too little, or samples too rarely".to_owned(),
        );
    }
    let lost: u64 = UNSEEN.iter().filter_map(|what| report.losses.get(*what)).sum();
    let births = cohorts.censuses().last().map_or(0.0, |c| c.births);
    let blind = lost as f64 > LOSSES_THAT_MATTER * births.max(1.0);
    if blind {
        report.reasons.push(format!(
            "{lost} samples were lost or not followed, so that a leak among them is not seen; raise heap_table_bytes or the \
             sampling period"
        ));
    }
    let unexplained = !leak
        && !undecided
        && (grows_unevenly(report, groups, tested) || grows_as_a_whole(report, cohorts, tested));
    report.verdict = if leak {
        Verdict::Leak
    } else if unexplained || blind || undecided || (samples == 0 && moved == 0) {
        Verdict::NotEnoughEvidence
    } else {
        Verdict::NoLeak
    };
}

/// Whether a site grew by more than would be found, and plainly so if its objects were born and died one by one: they come or
/// go in bursts, of which the window has too few to tell a leak from a batch that is not over.
fn grows_unevenly(report: &mut Report, groups: &[Group<'_>], tested: &[Tested]) -> bool {
    let flows = tested.first().map(|longest| longest.flows.as_slice()).unwrap_or_default();
    let unevenly = |flow: &Flow| {
        flow.dispersion > 1.0 && flow.net() >= SAMPLES_TO_FIND && flow.p_one_by_one() <= P_LIMIT
    };
    let sites = groups.iter().zip(flows).filter(|(group, flow)| group.kind == Kind::Site && unevenly(flow));
    let Some((group, flow)) = sites.max_by(|a, b| a.1.net().total_cmp(&b.1.net())) else { return false };
    report.reasons.push(format!(
        "{} keeps {} more than when the window began, but its objects come and go unevenly (index of dispersion {:.1}): a \
         leak under uneven load, a queue that falls behind and a batch that is not over look the same; watch longer",
        group.site,
        crate::profile::units::bytes(flow.net_bytes().0 as i64),
        flow.dispersion,
    ));
    true
}

/// Whether the live heap as a whole grew all through the window though no place in the code does so by this test: queues
/// that fall behind, structures that are copied or rewritten, few large blocks.
fn grows_as_a_whole(report: &mut Report, cohorts: &Cohorts, tested: &[Tested]) -> bool {
    const PARTS: usize = 4;
    const SHARE: f64 = 0.1;
    let Some(window) = tested.first().map(|t| t.window) else { return false };
    let at = |part: usize| cohorts.alive_bytes_at(window.first + (window.last - window.first) * part / PARTS);
    let course: Vec<f64> = (0..=PARTS).map(at).collect();
    let (Some(begin), Some(end)) = (course.first(), course.last()) else { return false };
    let grown = end - begin;
    let least = (SHARE * begin).max(SAMPLES_TO_FIND * report.sampling_period_bytes as f64);
    let rises = window.last - window.first >= PARTS && course.is_sorted_by(|a, b| a < b);
    let of_suspects: f64 = report.suspects.iter().map(|s| s.bytes_per_hour * window.seconds() / 3600.0).sum();
    if !rises || grown < least || of_suspects > grown / 2.0 {
        return false;
    }
    report.reasons.push(format!(
        "the live heap grew by {} all through the window, and no place in the code keeps its own so long that this test \
         can tell: a queue that falls behind, a structure that is copied, a few large blocks, or rising load; `diag-cli diff` of \
         two captures shows where",
        crate::profile::units::bytes(grown as i64)
    ));
    true
}

/// The commands to run after a verdict.
fn next(verdict: Verdict, target: &str) -> Vec<String> {
    match verdict {
        Verdict::Leak => vec![
            format!("diag-cli flamegraph {target} -o heap.svg"),
            format!("diag-cli capture {target} --every 1m --for 10m -o captures"),
        ],
        Verdict::NotEnoughEvidence => vec![format!("diag-cli leaks {target} --watch 5m")],
        Verdict::NoLeak => vec![format!("diag-cli triage {target}")],
    }
}

#[cfg(test)]
mod tests;
