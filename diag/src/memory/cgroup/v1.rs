//! The v1 memory controller (kernel documentation: admin-guide/cgroup-v1/memory). `total_*` lines of `memory.stat`
//! include children, as all of v2 does.

use super::super::fields::Fields;
use super::super::model::{Cgroup, Events, Pressure, Stat};
use super::super::reading::{Limit, Reading};
use super::super::source::Source;
use super::locate::Place;
use super::{Climb, climb, limited_by, note, number, with_fields, working_set};

pub(super) fn read(source: &Source, place: &Place, pressure: Reading<Pressure>) -> Cgroup {
    let current_bytes = number(source, place, "memory.usage_in_bytes");
    let (stat, swap_bytes, hierarchical) = with_fields(source, place, "memory.stat", |f| {
        (stat(source, place, f), f.number("total_swap"), f.number("hierarchical_memory_limit"))
    });
    let limit = settle(climb(source, place, "memory.limit_in_bytes"), &hierarchical);
    let oom_kill = with_fields(source, place, "memory.oom_control", |f| f.number("oom_kill"));
    Cgroup {
        version: 1,
        path: place.path.clone(),
        directory: place.directory.clone(),
        note: note(place, &limit.unreadable),
        working_set_bytes: working_set(&current_bytes, &stat.inactive_file_bytes),
        current_bytes,
        peak_bytes: number(source, place, "memory.max_usage_in_bytes"),
        limited_by: limited_by(source, limit.limited_by, "memory.usage_in_bytes"),
        limit_bytes: limit.limit,
        high_bytes: not_in_v1("memory.high"),
        swap_bytes,
        events: Events {
            oom: not_in_v1("the oom event"),
            oom_kill,
            max: number(source, place, "memory.failcnt"),
            high: not_in_v1("the high event"),
        },
        pressure,
        stat,
    }
}

fn stat(source: &Source, place: &Place, fields: &Fields<'_>) -> Stat {
    Stat {
        anon_bytes: fields.number("total_rss"),
        file_bytes: fields.number("total_cache"),
        kernel_bytes: number(source, place, "memory.kmem.usage_in_bytes"),
        slab_bytes: not_in_v1("slab"),
        sock_bytes: number(source, place, "memory.kmem.tcp.usage_in_bytes"),
        shmem_bytes: fields.number("total_shmem"),
        pagetables_bytes: not_in_v1("pagetables"),
        kernel_stack_bytes: not_in_v1("kernel_stack"),
        inactive_file_bytes: fields.number("total_inactive_file"),
    }
}

fn not_in_v1<T>(what: &str) -> Reading<T> {
    Reading::missing(format!("cgroup v1 does not count {what}"))
}

/// The kernel's own answer, `hierarchical_memory_limit`, knows ancestors outside the mount, and whether hierarchies
/// count at all (`use_hierarchy`). The climb then only says who set it.
fn settle(mut climb: Climb, hierarchical: &Reading<u64>) -> Climb {
    let Some(bytes) = hierarchical.value() else { return climb };
    if bytes >= super::fields::V1_UNLIMITED_FROM {
        climb.limit = Reading::Known(Limit::Unlimited);
        climb.limited_by = None;
    } else {
        climb.limit = Reading::Known(Limit::Bytes(bytes));
        if climb.limited_by.as_ref().is_none_or(|(_, found)| *found != bytes) {
            climb.limited_by = Some((None, bytes));
        }
    }
    climb.unreadable.clear();
    climb
}
