//! Tasks without any instrumentation: from a heap profile. Pure.
//!
//! An executor allocates each task as one block, under a frame of its own: tokio under `RawTask::new`, async-task (smol,
//! async-std) under `RawTask::allocate`. So the live samples below such a frame are a sample of the live tasks, and the frames
//! outside of it say who spawned them. Needs names. At a sampling period of 512 KiB a task of 512 bytes is sampled once in a
//! thousand: the count is an estimate with a wide interval, until there are thousands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::profile::frames::{FrameClasses, leaf_first, name};
use crate::profile::{
    Function, Line, LocationId, Profile, ProfileBuilder, ProfileError, StackId, ValueType, units,
};

/// What an executor allocates a task in.
const ALLOCATE: [&str; 4] = [
    "tokio::runtime::task::raw::RawTask::new",
    "tokio::runtime::task::core::Cell<",
    "async_task::raw::RawTask<",
    "tokio::runtime::task::new_task",
];

/// Frames between the allocation and the code that spawns.
const BETWEEN: [&str; 8] =
    ["tokio::", "<tokio::", "async_task::", "async_executor::", "core::", "std::", "alloc::", "<core::"];

/// Live tasks of one place, estimated.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct SampledSite {
    /// The function that spawned them.
    pub site: String,
    /// Live tasks, about.
    pub live: i64,
    /// Their bytes, about: futures with the executor's own part.
    pub bytes: i64,
}

fn allocates_task(function: &str) -> bool {
    ALLOCATE.iter().any(|start| function.starts_with(start))
}

/// `tasks/count` and `future/bytes` of a heap profile with names: stacks from the code that spawned outwards.
///
/// # Errors
/// When the result would not be a valid profile.
pub fn from_heap(heap: &Profile) -> Result<Profile, ProfileError> {
    let types = vec![ValueType::new("tasks", "count"), ValueType::new("future", "bytes")];
    let mut builder = ProfileBuilder::new(types);
    let objects = heap.sample_type_index("inuse_objects");
    let bytes = heap.sample_type_index("inuse_space");
    let mut locations = BTreeMap::new();
    let labels = builder.labels(&[]);
    for sample in heap.samples() {
        let value = |column: Option<usize>| column.and_then(|c| sample.values.get(c)).copied().unwrap_or(0);
        let values = [value(objects), value(bytes)];
        if values == [0, 0] {
            continue;
        }
        let Some(frames) = outside(heap, sample.stack) else { continue };
        let frames: Vec<LocationId> = frames
            .into_iter()
            .map(|(function, file, line)| frame(&mut builder, &mut locations, function, file, line))
            .collect();
        let stack = builder.stack(&frames);
        builder.sample(stack, labels, &values);
    }
    let meta = builder.meta_mut();
    meta.default_sample_type = Some(0);
    meta.time_unix_ns = heap.meta().time_unix_ns;
    meta.comments.push(
        "no task is tracked: these are estimates from the samples of the heap; diag::spawn in place of tokio::spawn counts each task"
            .to_owned(),
    );
    builder.finish()
}

/// The frames outside of the executor's, by name, file and line; `None` where no task was allocated.
fn outside(heap: &Profile, stack: StackId) -> Option<Vec<(String, String, u32)>> {
    let frames: Vec<_> = leaf_first(heap, stack).collect();
    let names: Vec<String> = frames.iter().map(|at| name(heap, *at)).collect();
    let allocated = names.iter().rposition(|name| allocates_task(name))?;
    // Between the executor's functions stand closures and wrappers of the standard library.
    let executors = |name: &&String| BETWEEN.iter().any(|start| name.starts_with(start));
    let beyond = names.iter().skip(allocated + 1).take_while(executors).count();
    let kept = frames.iter().zip(&names).skip(allocated + 1 + beyond);
    let shown = kept.map(|(at, name)| {
        let shown = crate::profile::frames::show(heap, *at);
        (name.clone(), shown.file, u32::try_from(shown.line).unwrap_or(0))
    });
    Some(shown.collect())
}

type Known = BTreeMap<(String, String, u32), LocationId>;

fn frame(
    builder: &mut ProfileBuilder,
    known: &mut Known,
    function: String,
    file: String,
    line: u32,
) -> LocationId {
    let key = (function, file, line);
    if let Some(known) = known.get(&key) {
        return *known;
    }
    let (name, file) = (builder.str(&key.0), builder.str(&key.1));
    let function = builder.function(Function { name, system_name: name, file, start_line: 0 });
    let location = builder.location(None, 0, &[Line { function, line: i64::from(line) }]);
    known.insert(key, location);
    location
}

/// The tasks by the first function of the user's own code, most first. Of a profile that [`from_heap`] made.
pub fn sites(tasks: &Profile) -> Vec<SampledSite> {
    let classes = FrameClasses::new(tasks);
    let mut sites: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for sample in tasks.samples() {
        let site =
            classes.site(tasks, sample.stack).map_or_else(|| "(unknown)".to_owned(), |at| name(tasks, at));
        let (live, bytes) = sites.entry(site).or_default();
        *live += sample.values.first().copied().unwrap_or(0);
        *bytes += sample.values.get(1).copied().unwrap_or(0);
    }
    let mut sites: Vec<SampledSite> =
        sites.into_iter().map(|(site, (live, bytes))| SampledSite { site, live, bytes }).collect();
    sites.sort_by(|a, b| b.live.cmp(&a.live).then_with(|| a.site.cmp(&b.site)));
    sites
}

/// As text, for people.
pub fn text(sites: &[SampledSite]) -> String {
    let total: i64 = sites.iter().map(|site| site.live).sum();
    let mut out = format!("tasks profile: total about {total}, estimated from the samples of the heap\n");
    for site in sites {
        // Writing to a String does not fail.
        let _ = writeln!(out, "about {} ({}) @\n#\t{}\n", site.live, units::bytes(site.bytes), site.site);
    }
    out.push_str(
        "# no task is tracked: diag::spawn in place of tokio::spawn (feature tokio of diag) counts each one, and knows its age and state\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::folded;

    #[test]
    fn task_allocations_are_charged_to_who_spawned() {
        let text = "main;app::serve;tokio::task::spawn::spawn;tokio::runtime::task::new_task;tokio::runtime::task::raw::RawTask::new;alloc::alloc::exchange_malloc 7\n\
                    main;app::serve;app::keep 100\n\
                    main;app::other;smol::spawn;async_task::raw::RawTask<F,T,S,M>::allocate 3\n";
        let heap = folded::parse(text.as_bytes()).unwrap();
        // A folded file has one column; as a heap profile has it.
        let mut builder = ProfileBuilder::new(vec![
            ValueType::new("inuse_objects", "count"),
            ValueType::new("inuse_space", "bytes"),
        ]);
        let mut locations = BTreeMap::new();
        for sample in heap.samples() {
            let names: Vec<String> = leaf_first(&heap, sample.stack).map(|at| name(&heap, at)).collect();
            let frames: Vec<_> =
                names.into_iter().map(|n| frame(&mut builder, &mut locations, n, String::new(), 0)).collect();
            let stack = builder.stack(&frames);
            let labels = builder.labels(&[]);
            builder.sample(stack, labels, &[sample.values[0], sample.values[0] * 512]);
        }
        let tasks = from_heap(&builder.finish().unwrap()).unwrap();
        let found = sites(&tasks);
        let rows: Vec<(&str, i64, i64)> = found.iter().map(|s| (s.site.as_str(), s.live, s.bytes)).collect();
        assert_eq!(rows, [("app::serve", 7, 3584), ("app::other", 3, 1536)]);
        assert!(super::text(&found).starts_with("tasks profile: total about 10,"));
    }
}
