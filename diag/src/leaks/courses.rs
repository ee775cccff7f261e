//! How the live memory of some code went, from the censuses kept for verdicts: what a suspect's card draws.

use serde::Serialize;

use super::{no_ages, stacks_by_number};
use crate::face::Diag;
use crate::heap::HeapError;
use crate::profile::frames::{FrameClasses, leaf_first, name};
use crate::profile::{Profile, StackId};
use crate::sys::clock;

/// More sites than a page shows.
const MOST_SITES: usize = 40;

/// Live bytes over time, as `diag.courses/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Courses {
    /// `diag.courses/1`.
    pub schema: &'static str,
    /// When each census was taken, unix milliseconds, oldest first.
    pub taken_unix_ms: Vec<u64>,
    /// What was asked for, in that order.
    pub sites: Vec<Course>,
}

/// Live bytes of one site.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Course {
    /// As a verdict names it.
    pub site: String,
    /// At each census, an estimate, of the stacks whose first function of the user's own code it is. What is younger than a cell
    /// of the census' grid is not in it.
    pub live_bytes: Vec<u64>,
    /// The same of all stacks with it: what it calls, too. A verdict that charges a function with several sites means these.
    pub with_callees_bytes: Vec<u64>,
}

impl Diag {
    /// The live bytes of sites, functions as verdicts name their suspects, at each census since the process started. At most 40.
    ///
    /// Names all stacks followed: tens of milliseconds.
    ///
    /// # Errors
    /// As [`leaks`](Self::leaks).
    pub fn leak_courses(&self, sites: &[String]) -> Result<Courses, HeapError> {
        let _unprofiled = crate::Unprofiled::begin();
        let heap = *self.heap()?;
        let mut cohorts = self.history().ok_or_else(no_ages)?.whole();
        heap.census(&mut cohorts, crate::work::total());
        let now = (heap.now_ns().unwrap_or(0), clock::unix_ns());
        let profile = heap.stacks_where(|stack| cohorts.contains(stack))?;
        #[cfg(feature = "symbols")]
        let profile = self.symbolize(&profile)?;
        let stacks = stacks_by_number(&profile);
        let sites = sites.get(..MOST_SITES).unwrap_or(sites);
        let bytes = |chosen: &[u32]| {
            let rows: Vec<_> = cohorts.rows().filter(|(key, _)| chosen.contains(key)).collect();
            let at = |census| rows.iter().map(|(_, row)| cohorts.alive_bytes_of(row, census)).sum::<f64>();
            (0..cohorts.censuses().len()).map(|census| at(census) as u64).collect::<Vec<u64>>()
        };
        let course = |(site, rows): (&String, Rows)| Course {
            site: site.clone(),
            live_bytes: bytes(&rows.its_own),
            with_callees_bytes: bytes(&rows.all),
        };
        let known: Vec<(u32, StackId)> = stacks.into_iter().collect();
        let sites = sites.iter().zip(rows_of(&profile, &known, sites)).map(course).collect();
        let unix_ms = |at_ns: i64| {
            let ago_ns = u64::try_from(now.0.saturating_sub(at_ns)).unwrap_or(0);
            now.1.saturating_sub(ago_ns) / 1_000_000
        };
        let taken_unix_ms = cohorts.censuses().iter().map(|c| unix_ms(c.at_ns)).collect();
        Ok(Courses { schema: "diag.courses/1", taken_unix_ms, sites })
    }
}

/// The rows of a site.
#[derive(Clone, Debug, Default)]
struct Rows {
    its_own: Vec<u32>,
    all: Vec<u32>,
}

/// The rows that belong to each site.
fn rows_of(profile: &Profile, stacks: &[(u32, StackId)], sites: &[String]) -> Vec<Rows> {
    let classes = FrameClasses::new(profile);
    let mut found = vec![Rows::default(); sites.len()];
    for (row, stack) in stacks {
        let own = classes.site(profile, *stack).map(|at| name(profile, at));
        let names: Vec<String> = leaf_first(profile, *stack).map(|at| name(profile, at)).collect();
        for (site, rows) in sites.iter().zip(&mut found) {
            if own.as_ref() == Some(site) {
                rows.its_own.push(*row);
            }
            if names.contains(site) {
                rows.all.push(*row);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::folded;

    #[test]
    fn a_site_is_the_first_own_function() {
        let profile = folded::parse(b"app::main;app::fill;app::keep 1\napp::main;app::fill 1\n").unwrap();
        let stacks: Vec<(u32, StackId)> =
            profile.samples().zip(7..).map(|(sample, row)| (row, sample.stack)).collect();
        let rows = |site: &str| {
            let rows = rows_of(&profile, &stacks, &[site.to_owned()]).remove(0);
            (rows.its_own.len(), rows.all.len())
        };
        let all = ["app::keep", "app::fill", "app::main", "app::no"].map(rows);
        assert_eq!(all, [(1, 1), (1, 2), (0, 2), (0, 0)]);
    }
}
