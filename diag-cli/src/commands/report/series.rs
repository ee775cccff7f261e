//! What becomes of each suspect's live bytes over the captures, and when those alive at the end were born.
//!
//! By site: the first function of the user's own code in a stack, as the verdict names its suspects.

use std::collections::BTreeMap;

use diag::profile::cohorts::{STARTED_COMMENT, TAKEN_COMMENT};
use diag::profile::frames::{FrameClasses, name};
use diag::profile::{LabelValue, Profile, Sample, StackId};

use super::axis::time_label;
use super::bars::Bar;

/// Bars over the life of the process.
const BIRTHS: i64 = 24;
/// The ages that a capture names, youngest first.
const AGES: [&str; 7] = ["0-10s", "10-60s", "1-10m", "10-60m", "1-6h", "6-24h", ">24h"];

/// Live bytes of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Course {
    /// In each capture that has a time.
    pub(super) live: Vec<(i64, Option<i64>)>,
    /// Of those in the last capture, by when they were born; empty when the capture does not say.
    pub(super) births: Vec<Bar>,
    /// By age, as the capture groups them; empty when it does not.
    pub(super) ages: Vec<Bar>,
}

/// What a site holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// First function of the user's own code.
    pub(super) site: String,
    /// Live.
    pub(super) bytes: i64,
    /// Live; 0 where the capture does not count them.
    pub(super) objects: i64,
}

/// What each site holds, most first, and how many sites there are in all.
pub(super) fn holdings(profile: &Profile, most: usize) -> (Vec<Holding>, usize) {
    let column = profile.sample_type_index("inuse_space").unwrap_or_else(|| profile.default_sample_type());
    let objects = profile.sample_type_index("inuse_objects");
    let classes = FrameClasses::new(profile);
    let mut site_of: BTreeMap<StackId, String> = BTreeMap::new();
    let mut sums: BTreeMap<String, Holding> = BTreeMap::new();
    for sample in profile.samples() {
        let site = site_of.entry(sample.stack).or_insert_with(|| {
            classes
                .site(profile, sample.stack)
                .map_or_else(|| "(no stack)".to_owned(), |at| name(profile, at))
        });
        let value = |column: usize| sample.values.get(column).copied().unwrap_or(0);
        let (bytes, objects) = (value(column), objects.map_or(0, value));
        if bytes == 0 && objects == 0 {
            continue;
        }
        if !sums.contains_key(site) {
            sums.insert(site.clone(), Holding { site: site.clone(), ..Holding::default() });
        }
        if let Some(sum) = sums.get_mut(site) {
            sum.bytes = sum.bytes.saturating_add(bytes);
            sum.objects = sum.objects.saturating_add(objects);
        }
    }
    let mut list: Vec<Holding> = sums.into_values().collect();
    let all = list.len();
    list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.site.cmp(&b.site)));
    list.truncate(most);
    (list, all)
}

/// The courses of these sites over captures in the order of time.
pub(super) fn courses(captures: &[&Profile], sites: &[&str]) -> Vec<Course> {
    let mut courses = vec![Course::default(); sites.len()];
    for profile in captures {
        let Some(at) = profile.meta().time_unix_ns else { continue };
        let mut sums = vec![0i64; sites.len()];
        each(profile, sites, |site, _, bytes| {
            if let Some(sum) = sums.get_mut(site) {
                *sum = sum.saturating_add(bytes);
            }
        });
        for (course, sum) in courses.iter_mut().zip(sums) {
            course.live.push((at, Some(sum)));
        }
    }
    if let Some(last) = captures.last() {
        by_age(last, sites, &mut courses);
    }
    courses
}

/// Calls `visit` with the number of the site, the sample and its live bytes, for all samples of these sites.
fn each(profile: &Profile, sites: &[&str], mut visit: impl FnMut(usize, &Sample<'_>, i64)) {
    let Some(column) = profile.sample_type_index("inuse_space") else { return };
    let classes = FrameClasses::new(profile);
    let mut site_of: BTreeMap<StackId, Option<usize>> = BTreeMap::new();
    for sample in profile.samples() {
        let site = *site_of.entry(sample.stack).or_insert_with(|| {
            let site = name(profile, classes.site(profile, sample.stack)?);
            sites.iter().position(|s| **s == site)
        });
        let bytes = sample.values.get(column).copied().unwrap_or(0);
        if let Some(site) = site.filter(|_| bytes > 0) {
            visit(site, &sample, bytes);
        }
    }
}

fn by_age(profile: &Profile, sites: &[&str], courses: &mut [Course]) {
    let mut born: Vec<Vec<(i64, i64)>> = vec![Vec::new(); sites.len()];
    let mut ages: Vec<BTreeMap<usize, i64>> = vec![BTreeMap::new(); sites.len()];
    let (born_key, age_key) = (profile.find_str("born_at"), profile.find_str("age"));
    each(profile, sites, |site, sample, bytes| {
        for label in profile.label_set(sample.labels) {
            match label.value {
                LabelValue::Num(at, _) if Some(label.key) == born_key => {
                    if let Some(born) = born.get_mut(site) {
                        born.push((at, bytes));
                    }
                }
                LabelValue::Str(text) if Some(label.key) == age_key => {
                    let Some(bucket) = AGES.iter().position(|a| *a == profile.str(text)) else { continue };
                    if let Some(ages) = ages.get_mut(site) {
                        let sum = ages.entry(bucket).or_default();
                        *sum = sum.saturating_add(bytes);
                    }
                }
                _ => {}
            }
        }
    });
    let end = comment(profile, TAKEN_COMMENT).or(profile.meta().time_unix_ns);
    let start = comment(profile, STARTED_COMMENT);
    for ((course, born), ages) in courses.iter_mut().zip(born).zip(ages) {
        course.births = end.map(|end| births(&born, start, end)).unwrap_or_default();
        let oldest = ages.keys().next_back().copied();
        let shown = AGES.iter().enumerate().filter(|(n, _)| Some(*n) <= oldest);
        course.ages = shown
            .map(|(n, age)| Bar { name: (*age).to_owned(), value: ages.get(&n).copied().unwrap_or(0) })
            .collect();
    }
}

/// Live bytes by birth, in equal parts of the time from the start of the process (or the oldest birth) to `end`.
fn births(born: &[(i64, i64)], start: Option<i64>, end: i64) -> Vec<Bar> {
    let Some(oldest) = born.iter().map(|b| b.0).min() else { return Vec::new() };
    let start = start.map_or(oldest, |s| s.min(oldest));
    let span = end.saturating_sub(start).max(1);
    let cell_ns = (span / BIRTHS).max(1);
    let mut cells = [0i64; BIRTHS as usize];
    for (at, bytes) in born {
        let cell = usize::try_from(at.saturating_sub(start) / cell_ns).unwrap_or(0).min(cells.len() - 1);
        if let Some(sum) = cells.get_mut(cell) {
            *sum = sum.saturating_add(*bytes);
        }
    }
    let at = |n: usize| start.saturating_add(cell_ns.saturating_mul(n as i64));
    // Bars of a process of weeks are hours wide: then days tell more.
    let step_ns = if span > 2 * 86_400 * 1_000_000_000 { 86_400 * 1_000_000_000 } else { 0 };
    cells
        .iter()
        .enumerate()
        .map(|(n, value)| Bar { name: time_label(at(n), step_ns), value: *value })
        .collect()
}

/// A number that a capture carries as a comment.
pub(super) fn comment(profile: &Profile, name: &str) -> Option<i64> {
    text_comment(profile, name)?.parse().ok()
}

/// A text that a capture carries as a comment.
pub(super) fn text_comment<'p>(profile: &'p Profile, name: &str) -> Option<&'p str> {
    profile.meta().comments.iter().find_map(|c| c.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn births_fill_the_life_of_the_process() {
        let s = 1_000_000_000;
        let bars = births(&[(10 * s, 5), (20 * s, 7), (34 * s, 1)], Some(10 * s), 34 * s);
        assert_eq!(bars.len(), 24);
        let values: Vec<i64> = bars.iter().map(|b| b.value).collect();
        assert_eq!((values[0], values[10], values[23]), (5, 7, 1));
        assert_eq!((bars[0].name.as_str(), bars[23].name.as_str()), ("00:00:10", "00:00:33"));
        assert!(births(&[], Some(0), s).is_empty());
        assert_eq!(births(&[(5, 3)], None, 5).iter().map(|b| b.value).sum::<i64>(), 3);
        assert_eq!(births(&[(i64::MAX, 3), (i64::MIN, 3)], Some(0), 7).len(), 24);
    }
}
