//! Which stacks are judged together.
//!
//! Stacks that differ only below the first frame of the user's own code are one group. All groups of one such function, its
//! site, are a group too, so that a leak spread over many callers is found, and one that comes from a single caller among
//! busy ones. And what a function allocates through several sites is a group, so that an object graph is found whose parts
//! grow too slowly each; only the nearest callers, and none that holds most of the program.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::cohorts::{Cohorts, Row};
use crate::profile::frames::{FrameClass, FrameClasses, function_of, leaf_first, name};
use crate::profile::{Profile, StackId};

/// Callers of a site that are groups, outwards.
const NEAREST_CALLERS: usize = 3;

/// What holds a group together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// All stacks of a site.
    Site,
    /// Those that come through this function of the user's own code.
    Caller(String),
    /// Several sites called by the function that the group is named after.
    Spread,
}

/// Rows that are judged together.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// The function it is named after.
    pub(super) site: String,
    pub(super) kind: Kind,
    pub(super) keys: Vec<u32>,
    pub(super) rows: Vec<&'a Row>,
    /// The sites it is made of, when there are several.
    pub(super) sites: BTreeSet<String>,
}

/// Rows with their numbers.
type Rows<'a> = Vec<(u32, &'a Row)>;

/// The groups in order of their names: first those of sites, then the spread ones.
pub(super) fn groups<'a>(
    cohorts: &'a Cohorts,
    profile: &Profile,
    stack_of: impl Fn(u32) -> Option<StackId>,
) -> Vec<Group<'a>> {
    let classes = FrameClasses::new(profile);
    let mut sites: BTreeMap<String, BTreeMap<String, Rows<'a>>> = BTreeMap::new();
    let mut spread: BTreeMap<String, (BTreeSet<String>, Rows<'a>)> = BTreeMap::new();
    let mut total = 0;
    for (key, row) in cohorts.rows() {
        let mut path =
            stack_of(key).map(|stack| path(profile, &classes, stack)).unwrap_or_default().into_iter();
        let site = path.next().unwrap_or_default();
        let callers: Vec<String> = path.collect();
        total += 1;
        for caller in &callers {
            let (sites, rows) = spread.entry(caller.clone()).or_default();
            sites.insert(site.clone());
            rows.push((key, row));
        }
        let caller = callers.into_iter().next().unwrap_or_default();
        sites.entry(site).or_default().entry(caller).or_default().push((key, row));
    }
    let mut groups = Vec::new();
    for (site, callers) in sites {
        let several = callers.len() > 1;
        let mut all: Rows<'a> = Vec::new();
        for (caller, rows) in callers {
            all.extend(&rows);
            if several {
                groups.push(Group::new(site.clone(), Kind::Caller(caller), rows, BTreeSet::new()));
            }
        }
        groups.push(Group::new(site, Kind::Site, all, BTreeSet::new()));
    }
    for (function, (sites, rows)) in spread {
        if sites.len() > 1 && rows.len() * 2 < total {
            groups.push(Group::new(function, Kind::Spread, rows, sites));
        }
    }
    groups
}

impl<'a> Group<'a> {
    fn new(site: String, kind: Kind, mut rows: Rows<'a>, sites: BTreeSet<String>) -> Self {
        rows.sort_unstable_by_key(|(key, _)| *key);
        let (keys, rows) = rows.into_iter().unzip();
        Self { site, kind, keys, rows, sites }
    }
}

/// The site of a stack and the nearest functions of the user's own code that call it, each once.
fn path(profile: &Profile, classes: &FrameClasses, stack: StackId) -> Vec<String> {
    let Some(site) = classes.site(profile, stack) else { return Vec::new() };
    let own = |at| function_of(profile, at).is_some_and(|f| classes.of(f) == FrameClass::User);
    let mut path = vec![name(profile, site)];
    for at in leaf_first(profile, stack).skip_while(|at| *at != site).skip(1).filter(|at| own(*at)) {
        let caller = name(profile, at);
        if !path.contains(&caller) {
            path.push(caller);
        }
        if path.len() > NEAREST_CALLERS {
            break;
        }
    }
    path
}
