//! Which stacks are judged together.
//!
//! Stacks that differ only below the first frame of the user's own code are one group; all groups of one such function are
//! a group too, so that a leak spread over many callers is found, and one that comes from a single caller among busy
//! ones.

use std::collections::BTreeMap;

use crate::profile::cohorts::{Cohorts, Row};
use crate::profile::frames::{FrameClass, FrameClasses, function_of, leaf_first, name};
use crate::profile::{Profile, StackId};

/// Rows of one site, or of one site and caller.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) site: String,
    /// The next function of the user's own code outwards; `None` for the whole site.
    pub(super) caller: Option<String>,
    pub(super) keys: Vec<u32>,
    pub(super) rows: Vec<&'a Row>,
}

/// Rows with their numbers, by caller.
type Callers<'a> = BTreeMap<String, Vec<(u32, &'a Row)>>;

/// The groups in order of their names.
pub(super) fn groups<'a>(
    cohorts: &'a Cohorts,
    profile: &Profile,
    stack_of: impl Fn(u32) -> Option<StackId>,
) -> Vec<Group<'a>> {
    let classes = FrameClasses::new(profile);
    let mut sites: BTreeMap<String, Callers<'a>> = BTreeMap::new();
    for (key, row) in cohorts.rows() {
        let (site, caller) = match stack_of(key) {
            Some(stack) => place(profile, &classes, stack),
            None => (String::new(), String::new()),
        };
        sites.entry(site).or_default().entry(caller).or_default().push((key, row));
    }
    let mut groups = Vec::new();
    for (site, callers) in sites {
        let mut whole = Group { site: site.clone(), caller: None, keys: Vec::new(), rows: Vec::new() };
        let several = callers.len() > 1;
        for (caller, mut rows) in callers {
            rows.sort_unstable_by_key(|(key, _)| *key);
            let keys: Vec<u32> = rows.iter().map(|(key, _)| *key).collect();
            let rows: Vec<&Row> = rows.into_iter().map(|(_, row)| row).collect();
            whole.keys.extend(&keys);
            whole.rows.extend(&rows);
            if several {
                groups.push(Group { site: site.clone(), caller: Some(caller), keys, rows });
            }
        }
        groups.push(whole);
    }
    groups
}

/// The site and the next function of the user's own code that calls it.
fn place(profile: &Profile, classes: &FrameClasses, stack: StackId) -> (String, String) {
    let Some(site) = classes.site(profile, stack) else { return (String::new(), String::new()) };
    let own = |at| function_of(profile, at).is_some_and(|f| classes.of(f) == FrameClass::User);
    let site_name = name(profile, site);
    let caller = leaf_first(profile, stack)
        .skip_while(|at| *at != site)
        .skip(1)
        .filter(|at| own(*at))
        .map(|at| name(profile, at))
        .find(|caller| *caller != site_name);
    (site_name, caller.unwrap_or_default())
}
