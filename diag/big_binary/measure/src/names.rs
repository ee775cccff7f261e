//! How many addresses have names, in a profile that somebody wrote.

use std::path::Path;

use diag::profile::{Profile, pprof};

use crate::Result;

/// Distinct addresses of the program, and how many of them have a function, and a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named {
    pub addresses: usize,
    pub functions: usize,
    pub lines: usize,
}

impl Named {
    pub fn percent(&self) -> (f64, f64) {
        let of = |n: usize| 100.0 * n as f64 / self.addresses.max(1) as f64;
        (of(self.functions), of(self.lines))
    }
}

pub fn read(path: &Path) -> Result<Profile> {
    Ok(pprof::decode(&std::fs::read(path)?)?)
}

/// Of the addresses in the main program.
pub fn count(profile: &Profile) -> Named {
    let mut named = Named::default();
    for id in profile.location_ids() {
        let location = profile.location(id);
        if location.mapping.is_none_or(|m| m.index() != 0) {
            continue;
        }
        named.addresses += 1;
        let has_name = |l: &diag::profile::Line| !profile.str(profile.function(l.function).name).is_empty();
        named.functions += usize::from(location.lines.iter().any(has_name));
        named.lines += usize::from(location.lines.iter().any(|l| l.line != 0));
    }
    named
}
