//! From significant groups to suspects: what each is, who it is, and the evidence in words.

use std::collections::{BTreeMap, BTreeSet};

use super::container::{self, Doubling};
use super::flow::{self, Flow, Window};
use super::groups::{Group, Kind};
use super::{Found, Options, Report, Stacks, Suspect, SuspectVerdict};
use crate::profile::cohorts::{Cohorts, Row};
use crate::profile::frames::{FrameClasses, ShownFrame};
use crate::profile::units;
use crate::profile::{LabelValue, Profile, StackId};

/// Growth that goes on less than this (an exponent; see `flow.rs`) levels off.
const LEVELS_OFF: f64 = 0.5;
/// One-sided 95 %.
const Z_95: f64 = 1.645;
/// P of the second half's growth below which it still grows.
const STILL_GROWS: f64 = 1e-3;
/// A population of mean lifetime T has filled up after so many T, to 98 %.
const FIRST_FILL_LIFETIMES: f64 = 4.0;
/// What is charged to a function as the sum of its sites must keep nearly all: a sum of honest parts is the more sensitive to
/// a load that rises.
const SPREAD_LOSSES: f64 = 0.1;
/// Survivors found in less than this share of the epochs they would be in come from a part of the window only.
const SPREAD: f64 = 0.75;
/// A label's value is told when so much of the live bytes has it.
const LABEL_SHARE: f64 = 0.6;
/// Labels that say nothing of who is responsible.
const NO_LABELS: [&str; 4] = ["bytes", "age", "born_at", "realloc_chain"];

/// Live bytes of a profile, 0 when it does not tell.
pub(super) fn live_bytes(profile: &Profile) -> i64 {
    profile.sample_type_index("inuse_space").map_or(0, |t| profile.total(t))
}

/// Fills in the suspects, ranked, and what they leave unexplained.
pub(super) fn describe(
    report: &mut Report,
    cohorts: &Cohorts,
    stacks: Stacks<'_>,
    options: &Options,
    found: Vec<Found<'_>>,
    groups: &[Group<'_>],
    warming: bool,
) {
    let classes = FrameClasses::new(stacks.profile);
    let process_start_ns = options.process_start_ns.unwrap_or(cohorts.start_ns());
    let mut suspects: Vec<Suspect> = Vec::new();
    let mut explained = 0.0;
    for case in cases(cohorts, found, groups, options, process_start_ns) {
        explained += case.flow.net_bytes().0;
        suspects.push(case.into_suspect(cohorts, stacks, &classes, options, warming));
    }
    report.suspects = suspects;
    report.rank();
    if let Some(window) = super::windows(cohorts, process_start_ns, (report.maturity_s * 1e9) as i64).first()
    {
        let rows: Vec<&Row> = cohorts.rows().map(|(_, row)| row).collect();
        let all = Flow::of(cohorts, &rows, window).net_bytes().0;
        report.unexplained_bytes = (all - explained).round() as i64;
    }
}

/// What is accused, before it is described.
struct Case<'a> {
    site: String,
    keys: Vec<u32>,
    rows: Vec<&'a Row>,
    flow: Flow,
    window: Window,
    q_value: f64,
    /// Of its largest block, when that is the evidence.
    doubling: Option<Doubling>,
}

/// One case a site: the whole of it when that is significant, else its significant callers together. A function that spreads
/// its growth over several sites is one when none of them is, the innermost such function.
fn cases<'a>(
    cohorts: &Cohorts,
    found: Vec<Found<'a>>,
    groups: &[Group<'a>],
    options: &Options,
    process_start_ns: i64,
) -> Vec<Case<'a>> {
    let (mut spread, of_sites): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|f| f.group.kind == Kind::Spread);
    let mut by_site: BTreeMap<String, Vec<Found<'a>>> = BTreeMap::new();
    for one in of_sites {
        by_site.entry(one.group.site.clone()).or_default().push(one);
    }
    let window = by_site.values().flatten().next().map(|f| f.window);
    let mut cases = Vec::new();
    let mut accused: BTreeSet<String> = BTreeSet::new();
    for (site, mut of_site) in by_site {
        if let Some(whole) = of_site.iter().position(|f| f.group.kind == Kind::Site) {
            let whole = of_site.swap_remove(whole);
            of_site = vec![whole];
        }
        let Some(first) = of_site.first() else { continue };
        let (window, q_value) = (first.window, of_site.iter().map(|f| f.q_value).fold(1.0, f64::min));
        let keys: Vec<u32> = of_site.iter().flat_map(|f| &f.group.keys).copied().collect();
        let rows: Vec<&Row> = of_site.iter().flat_map(|f| &f.group.rows).copied().collect();
        let flow = Flow::of(cohorts, &rows, &window);
        accused.insert(site.clone());
        cases.push(Case { site, keys, rows, flow, window, q_value, doubling: None });
    }
    spread.sort_by_key(|f| f.group.rows.len());
    for Found { group, window, q_value } in spread {
        let flow = Flow::of(cohorts, &group.rows, &window);
        let keeps_all = f64::from(flow.lost.samples) <= SPREAD_LOSSES * f64::from(flow.gained.samples);
        if keeps_all && group.sites.iter().all(|site| !accused.contains(site)) {
            accused.extend(group.sites);
            cases.push(Case {
                site: group.site,
                keys: group.keys,
                rows: group.rows,
                flow,
                window,
                q_value,
                doubling: None,
            });
        }
    }
    let whole_watch = window.or_else(|| Window::new(cohorts, 0, cohorts.resolution_ns(), process_start_ns));
    let Some(window) = whole_watch else { return cases };
    for group in groups.iter().filter(|g| g.kind == Kind::Site && !accused.contains(&g.site)) {
        let doubling = container::doubling(&group.rows, &window, options.period_bytes.max(1));
        if doubling.is_some() {
            cases.push(Case {
                site: group.site.clone(),
                keys: group.keys.clone(),
                rows: group.rows.clone(),
                flow: Flow::of(cohorts, &group.rows, &window),
                window,
                q_value: 1.0,
                doubling,
            });
        }
    }
    cases
}

impl Case<'_> {
    fn verdict(&self, warming: bool, cap: Option<u64>, live: i64) -> (SuspectVerdict, String) {
        let count = |n: u32, what: &str| format!("{n} {what}");
        if let Some(cap) = cap.filter(|cap| u64::try_from(live).unwrap_or(0) <= *cap) {
            return (
                SuspectVerdict::Saturating,
                format!(
                    "it grows, below the {} that the service declared as its cap",
                    units::bytes(i64::try_from(cap).unwrap_or(i64::MAX))
                ),
            );
        }
        if let Some(doubling) = self.doubling {
            let size = |n: u64| units::bytes(i64::try_from(n).unwrap_or(i64::MAX));
            let evidence = format!(
                "its largest block doubled {} times, once in each octave of the process's age, from {} to {} within the last {}",
                doubling.times,
                size(doubling.from_bytes),
                size(doubling.to_bytes),
                units::nanoseconds(doubling.over_ns),
            );
            let verdict = if warming { SuspectVerdict::UnboundedSoFar } else { SuspectVerdict::Leak };
            return (verdict, evidence);
        }
        let (exponent, error) = self.flow.exponent();
        let facts = format!(
            "in the last {} {}, {}",
            units::nanoseconds((self.window.seconds() * 1e9) as i64),
            count(self.flow.gained.samples, "samples came of age and live on"),
            count(self.flow.lost.samples, "older than that died"),
        );
        if exponent + Z_95 * error <= LEVELS_OFF {
            let evidence = format!("{facts}; but growth slows down (exponent {exponent:.1})");
            // Less of it may be less load.
            let ended = self.flow.p_second_half > STILL_GROWS;
            return (
                if ended { SuspectVerdict::Saturating } else { SuspectVerdict::UnboundedSoFar },
                evidence,
            );
        }
        let age_s = (self.window.to_ns - self.window.process_start_ns) as f64 / 1e9;
        let turns_over = self.flow.lost.samples * 5 > self.flow.gained.samples;
        let filling = turns_over && age_s < FIRST_FILL_LIFETIMES * self.flow.age_at_death_s;
        // A queue that falls behind turns over too.
        if filling && !flow::first_in_first_out(&self.rows) {
            return (
                SuspectVerdict::UnboundedSoFar,
                format!(
                    "{facts}; but what dies is {:.0} s old in the mean, and the process too young to have filled up once",
                    self.flow.age_at_death_s
                ),
            );
        }
        if self.window.early {
            return (
                SuspectVerdict::UnboundedSoFar,
                format!(
                    "{facts}; but there is no capture between the start of the process and the last ones"
                ),
            );
        }
        if self.flow.spread < SPREAD {
            return (
                SuspectVerdict::UnboundedSoFar,
                format!("{facts}; but the living were born in a part of that time only"),
            );
        }
        if warming {
            return (
                SuspectVerdict::UnboundedSoFar,
                format!("{facts}; but the process is too young to tell a leak from a cache that fills"),
            );
        }
        let course =
            if exponent > LEVELS_OFF { "growth goes on" } else { "that growth slows down is not certain" };
        (SuspectVerdict::Leak, format!("{facts}; {course} (exponent {exponent:.1})"))
    }

    fn into_suspect(
        self,
        cohorts: &Cohorts,
        stacks: Stacks<'_>,
        classes: &FrameClasses,
        options: &Options,
        warming: bool,
    ) -> Suspect {
        let profile = stacks.profile;
        let of_rows: BTreeSet<StackId> = self.keys.iter().filter_map(|key| (stacks.of_row)(*key)).collect();
        let live = Live::of(profile, &of_rows);
        let cap = options.declared.iter().filter(|d| d.speaks_of(&self.site)).find_map(|d| d.cap_bytes);
        let (verdict, mut evidence) = self.verdict(warming, cap, live.bytes);
        if let Some(gauge) = options.declared.iter().find(|d| d.len.is_some() && d.speaks_of(&self.site)) {
            let room = gauge.capacity.map(|c| format!(", room for {c}")).unwrap_or_default();
            evidence.push_str(&format!("; its gauge {} says {}{room}", gauge.name, gauge.len.unwrap_or(0)));
        }
        let hours = self.window.seconds() / 3600.0;
        let (per_hour, per_hour_low) = match self.doubling {
            // One sample, that of a block, tells nothing by its coming and going.
            Some(doubling) => (doubling.bytes_per_hour, doubling.bytes_per_hour_low),
            None => {
                let (net, low) = self.flow.net_bytes();
                (net / hours, low.max(0.0) / hours)
            }
        };
        let censuses = cohorts.censuses();
        let work = |census: usize| censuses.get(census).map_or(0, |c| c.work_units);
        let units_done = work(self.window.last).saturating_sub(work(self.window.first));
        let seconds_to_limit = options
            .limit
            .filter(|_| per_hour > 0.0)
            .map(|(limit, used)| limit.saturating_sub(used) as f64 / per_hour * 3600.0);
        let next = format!("diag-cli flamegraph {} -o heap.svg", options.target);
        Suspect {
            rank: 0,
            verdict,
            frames: self.heaviest(stacks, classes),
            stacks: of_rows.len().max(1),
            live_bytes: live.bytes,
            live_objects: live.objects,
            bytes_per_hour: per_hour,
            bytes_per_hour_low: per_hour_low,
            bytes_per_work_unit: (units_done > 0).then(|| per_hour * hours / units_done as f64),
            q_value: self.q_value,
            growth_exponent: self.flow.exponent().0,
            generations: flow::generations(cohorts, &self.rows, self.window.maturity_ns),
            age_p50_s: median_age_s(&self.rows, self.window.to_ns),
            labels: live.labels,
            seconds_to_limit,
            gained_samples: self.flow.gained.samples,
            lost_samples: self.flow.lost.samples,
            doublings: self.doubling.map(|d| d.times),
            evidence,
            next,
            site: self.site,
        }
    }

    /// The stack with most survivors that came of age in the window.
    fn heaviest(&self, stacks: Stacks<'_>, classes: &FrameClasses) -> Vec<ShownFrame> {
        let from = self.window.from_ns - self.window.maturity_ns;
        let young = |row: &Row| -> f64 {
            row.cohorts.iter().filter(|c| c.born_ns >= from).map(|c| f64::from(c.alive.bytes)).sum()
        };
        let all = |row: &Row| -> f64 { row.cohorts.iter().map(|c| f64::from(c.alive.bytes)).sum() };
        let weight = |row: &Row| (young(row), all(row));
        let heaviest = self.keys.iter().zip(&self.rows).max_by(|a, b| {
            let (a, b) = (weight(a.1), weight(b.1));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let stack = heaviest.and_then(|(key, _)| (stacks.of_row)(*key));
        stack.map(|stack| classes.shown(stacks.profile, stack)).unwrap_or_default()
    }
}

/// Live memory of some stacks.
struct Live {
    bytes: i64,
    objects: i64,
    labels: BTreeMap<String, String>,
}

impl Live {
    fn of(profile: &Profile, stacks: &BTreeSet<StackId>) -> Self {
        let (space, count) =
            (profile.sample_type_index("inuse_space"), profile.sample_type_index("inuse_objects"));
        let (mut bytes, mut objects) = (0i64, 0i64);
        let mut values: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
        for sample in profile.samples().filter(|s| stacks.contains(&s.stack)) {
            let value =
                |column: Option<usize>| column.and_then(|c| sample.values.get(c)).copied().unwrap_or(0);
            let here = value(space);
            bytes = bytes.saturating_add(here);
            objects = objects.saturating_add(value(count));
            for label in profile.label_set(sample.labels) {
                if let LabelValue::Str(text) = label.value {
                    *values
                        .entry(profile.str(label.key))
                        .or_default()
                        .entry(profile.str(text))
                        .or_default() += here;
                }
            }
        }
        let most = |(key, of_key): (&&str, &BTreeMap<&str, i64>)| {
            let (value, share) = of_key.iter().max_by_key(|(_, bytes)| **bytes)?;
            let told =
                !NO_LABELS.contains(key) && *share as f64 >= LABEL_SHARE * bytes as f64 && !value.is_empty();
            told.then(|| ((*key).to_owned(), (*value).to_owned()))
        };
        let labels = values.iter().filter_map(most).collect();
        Self { bytes, objects, labels }
    }
}

/// Age that half of the live bytes exceed.
fn median_age_s(rows: &[&Row], now_ns: i64) -> f64 {
    let mut births: Vec<(i64, f64)> = rows
        .iter()
        .flat_map(|row| &row.cohorts)
        .filter(|c| c.alive.samples > 0)
        .map(|c| (c.born_ns, f64::from(c.alive.bytes)))
        .collect();
    births.sort_by_key(|(born, _)| *born);
    let half = births.iter().map(|(_, bytes)| bytes).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    for (born, bytes) in births {
        sum += bytes;
        if sum >= half {
            return (now_ns - born) as f64 / 1e9;
        }
    }
    0.0
}
