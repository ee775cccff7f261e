//! The memory cgroup of this process: where it is ([`locate`]), and what it says ([`v1`], [`v2`]).

mod locate;
mod v1;
mod v2;

use super::fields::{self, Fields};
use super::model::{Cgroup, LimitedBy, Pressure};
use super::reading::{Limit, Reading};
use super::source::Source;
use locate::{Hierarchy, Place};

pub(super) const MACHINE_PRESSURE: &str = "/proc/pressure/memory";
/// Deeper trees than this do not exist (the kernel's own default for depth is far above any real one).
const MOST_LEVELS: usize = 64;

pub(super) fn read(source: &Source) -> Reading<Cgroup> {
    let own = match source.read(locate::CGROUP) {
        Ok(text) => text,
        Err(why) => return Reading::missing(why),
    };
    // Without mountinfo the usual mount points are tried.
    let mounts = source.read(locate::MOUNTINFO).unwrap_or_default();
    let mut reasons = Vec::new();
    for hierarchy in [Hierarchy::V1Memory, Hierarchy::V2] {
        match locate::locate(hierarchy, &own, &mounts) {
            Ok(candidates) => {
                // An older mount may show another part of the tree; the first that shows this cgroup counts.
                let place = candidates.iter().find(|p| source.is_dir(&p.directory));
                match place {
                    Some(place) if controls_memory(hierarchy, source, place) => {
                        let pressure = read_pressure(source, &own, &mounts);
                        return Reading::Known(match hierarchy {
                            Hierarchy::V1Memory => v1::read(source, place, pressure),
                            Hierarchy::V2 => v2::read(source, place, pressure),
                        });
                    }
                    Some(place) => {
                        reasons.push(format!("{} has no memory controller", place.directory));
                    }
                    None => reasons.push(format!("{} is not to be seen", hierarchy.name())),
                }
            }
            Err(why) => reasons.push(why),
        }
    }
    Reading::missing(reasons.join("; "))
}

fn controls_memory(hierarchy: Hierarchy, source: &Source, place: &Place) -> bool {
    let marker = match hierarchy {
        Hierarchy::V1Memory => "memory.usage_in_bytes",
        // The root has no memory.current, but it has the statistics.
        Hierarchy::V2 => "memory.stat",
    };
    source.read(&join(&place.directory, marker)).is_ok()
}

/// Pressure of the v2 cgroup, which on a hybrid machine stands beside the v1 hierarchy; else of the machine.
fn read_pressure(source: &Source, own: &str, mounts: &str) -> Reading<Pressure> {
    let machine = || source.read(MACHINE_PRESSURE).map(|t| fields::pressure(MACHINE_PRESSURE, &t)).into();
    let Ok(candidates) = locate::locate(Hierarchy::V2, own, mounts) else {
        return machine();
    };
    let Some(place) = candidates.iter().find(|p| p.note.is_empty()) else {
        return machine();
    };
    let file = join(&place.directory, "memory.pressure");
    Reading::from(source.read(&file).map(|t| fields::pressure(&file, &t))).or_else(machine)
}

/// The smallest limit from the cgroup up to the mount point, and the cgroup that sets it.
struct Climb {
    limit: Reading<Limit>,
    limited_by: Option<(Option<String>, u64)>,
    /// Levels whose limit could not be read, though they are not the root of the tree (which has none in v2).
    unreadable: Vec<String>,
}

fn climb(source: &Source, place: &Place, file: &str) -> Climb {
    let mut smallest: Option<(String, u64)> = None;
    let mut own_reason = None;
    let mut any_known = false;
    let mut unreadable = Vec::new();
    for directory in place.levels().take(MOST_LEVELS) {
        let path = join(directory, file);
        match fields::limit(&path, source.read(&path)) {
            Reading::Known(limit) => {
                any_known = true;
                if let Limit::Bytes(bytes) = limit
                    && smallest.as_ref().is_none_or(|(_, least)| bytes < *least)
                {
                    smallest = Some((directory.to_owned(), bytes));
                }
            }
            Reading::Missing { missing } => {
                own_reason.get_or_insert(missing);
                if directory != place.mount_point {
                    unreadable.push(directory.to_owned());
                }
            }
        }
    }
    let is_root = place.directory == place.mount_point && place.is_whole_tree();
    let limit = match (&smallest, own_reason) {
        (Some((_, bytes)), _) => Reading::Known(Limit::Bytes(*bytes)),
        (None, _) if any_known || is_root => Reading::Known(Limit::Unlimited),
        (None, reason) => Reading::missing(reason.unwrap_or_else(|| format!("no {file}"))),
    };
    Climb { limit, limited_by: smallest.map(|(directory, bytes)| (Some(directory), bytes)), unreadable }
}

fn note(place: &Place, unreadable: &[String]) -> String {
    let mut note = place.note.clone();
    if !unreadable.is_empty() {
        if !note.is_empty() {
            note.push_str("; ");
        }
        note.push_str(&format!("the limit of {} could not be read", unreadable.join(", ")));
    }
    note
}

fn limited_by(source: &Source, found: Option<(Option<String>, u64)>, usage_file: &str) -> Option<LimitedBy> {
    found.map(|(directory, limit_bytes)| {
        let current_bytes = match &directory {
            Some(directory) => {
                let usage = join(directory, usage_file);
                fields::number(&usage, source.read(&usage))
            }
            None => Reading::missing("the cgroup that sets the limit is not to be seen from here"),
        };
        LimitedBy { directory, limit_bytes, current_bytes }
    })
}

/// Usage minus the page cache that was not used lately, never below zero (both are moving).
fn working_set(current: &Reading<u64>, inactive_file: &Reading<u64>) -> Reading<u64> {
    match (current.as_result(), inactive_file.as_result()) {
        (Ok(current), Ok(inactive)) => Reading::Known(current.saturating_sub(*inactive)),
        (Err(why), _) | (_, Err(why)) => Reading::missing(why),
    }
}

fn join(directory: &str, file: &str) -> String {
    format!("{}/{file}", directory.trim_end_matches('/'))
}

fn number(source: &Source, place: &Place, file: &str) -> Reading<u64> {
    let path = join(&place.directory, file);
    fields::number(&path, source.read(&path))
}

fn with_fields<T>(source: &Source, place: &Place, file: &str, f: impl FnOnce(&Fields<'_>) -> T) -> T {
    let path = join(&place.directory, file);
    let text = source.read(&path);
    f(&Fields::new(&path, &text))
}
