//! The unified hierarchy (kernel documentation: admin-guide/cgroup-v2).

use super::super::model::{Cgroup, Events, Pressure, Stat};
use super::super::reading::Reading;
use super::super::source::Source;
use super::locate::Place;
use super::{climb, limited_by, note, number, with_fields, working_set};

pub(super) fn read(source: &Source, place: &Place, pressure: Reading<Pressure>) -> Cgroup {
    let current_bytes = number(source, place, "memory.current");
    let limit = climb(source, place, "memory.max");
    let stat = with_fields(source, place, "memory.stat", |f| Stat {
        anon_bytes: f.number("anon"),
        file_bytes: f.number("file"),
        kernel_bytes: f.number("kernel"),
        slab_bytes: f.number("slab"),
        sock_bytes: f.number("sock"),
        shmem_bytes: f.number("shmem"),
        pagetables_bytes: f.number("pagetables"),
        kernel_stack_bytes: f.number("kernel_stack"),
        inactive_file_bytes: f.number("inactive_file"),
    });
    let events = with_fields(source, place, "memory.events", |f| Events {
        oom: f.number("oom"),
        oom_kill: f.number("oom_kill"),
        max: f.number("max"),
        high: f.number("high"),
    });
    Cgroup {
        version: 2,
        path: place.path.clone(),
        directory: place.directory.clone(),
        note: note(place, &limit.unreadable),
        working_set_bytes: working_set(&current_bytes, &stat.inactive_file_bytes),
        current_bytes,
        peak_bytes: number(source, place, "memory.peak"),
        limited_by: limited_by(source, limit.limited_by, "memory.current"),
        limit_bytes: limit.limit,
        high_bytes: climb(source, place, "memory.high").limit,
        swap_bytes: number(source, place, "memory.swap.current"),
        events,
        pressure,
        stat,
    }
}
