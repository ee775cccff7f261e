//! Can two profiles be compared? One process, in the order of time, sampled alike, nothing lost.

use crate::profile::{Mapping, Profile, units};

/// Reasons to doubt a comparison of `base` with `new`, a sentence each; empty when there are none.
pub fn origin_warnings(base: &Profile, new: &Profile) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Some(from), Some(to)) = (base.meta().time_unix_ns, new.meta().time_unix_ns)
        && to < from
    {
        warnings.push(format!(
            "the new profile is older than the base by {}: swap them if that is not meant",
            units::nanoseconds(from.saturating_sub(to))
        ));
    }
    if let Some(why) = other_process(base, new) {
        warnings.push(format!("the profiles come from different processes: {why}"));
    }
    if let (Some(a), Some(b)) = (&base.meta().period, &new.meta().period)
        && a != b
    {
        warnings.push(format!(
            "the sampling periods differ: {} and {}; values are unbiased, but not equally certain",
            units::value(a.value, &a.value_type.unit),
            units::value(b.value, &b.value_type.unit)
        ));
    }
    warnings.extend(other_length(base, new));
    for (name, profile) in [("base", base), ("new profile", new)] {
        for loss in profile.meta().losses.iter().filter(|l| l.count > 0) {
            warnings.push(format!("the {name} lost {} to {}", loss.count, loss.what));
        }
    }
    warnings
}

/// Time is spent during a recording: one of twice the length has twice as much. A few per cent are chance.
fn other_length(base: &Profile, new: &Profile) -> Option<String> {
    let of_time = |p: &Profile| p.sample_types().iter().any(|t| t.unit == "nanoseconds");
    let (from, to) = (base.meta().duration_ns?, new.meta().duration_ns?);
    let differ = from.abs_diff(to) > from.min(to).unsigned_abs() / 10;
    (of_time(base) && of_time(new) && from > 0 && to > 0 && differ).then(|| {
        format!(
            "the base was recorded for {} and the new profile for {}: record both as long to compare them",
            units::nanoseconds(from),
            units::nanoseconds(to)
        )
    })
}

/// What shows that the profiles are not of one process, if something does: other programs, other load addresses, or
/// totals since the start that fell.
fn other_process(base: &Profile, new: &Profile) -> Option<String> {
    let file_name = |p: &Profile, m: &Mapping| {
        let path = p.str(m.file);
        path.rsplit('/').next().unwrap_or(path).to_owned()
    };
    // What our own collectors write.
    let pid = |p: &Profile| p.meta().comments.iter().find_map(|c| c.strip_prefix("pid=").map(str::to_owned));
    if let (Some(a), Some(b)) = (pid(base), pid(new))
        && a != b
    {
        return Some(format!("process {a} and process {b}"));
    }
    // The main binary comes first, by convention.
    if let (Some(a), Some(b)) = (base.mappings().first(), new.mappings().first()) {
        let (ids, names) =
            ((base.str(a.build_id), new.str(b.build_id)), (file_name(base, a), file_name(new, b)));
        if names.0 != names.1 && !names.0.is_empty() && !names.1.is_empty() {
            return Some(format!("of {} and of {}", names.0, names.1));
        }
        if ids.0 != ids.1 && !ids.0.is_empty() && !ids.1.is_empty() {
            return Some(format!("of two builds of {}", names.0));
        }
        if a.start != b.start && a.file_offset == b.file_offset && a.start != 0 && b.start != 0 {
            return Some(format!("{} was loaded at another address", names.0));
        }
    }
    for kind in ["alloc_space", "alloc_objects"] {
        if let (Some(a), Some(b)) = (base.sample_type_index(kind), new.sample_type_index(kind)) {
            let in_order = base.meta().time_unix_ns <= new.meta().time_unix_ns;
            let cumulative = base.meta().duration_ns.is_none() && new.meta().duration_ns.is_none();
            if cumulative && in_order && new.total(b) < base.total(a) {
                return Some(format!("{kind}, a total since the start, is smaller in the new one"));
            }
        }
    }
    None
}
