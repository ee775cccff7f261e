//! All tasks of a runtime, by tokio's own hooks, in programs built with `--cfg tokio_unstable`.
//!
//! The hooks give a task's number and the place of its spawn, not its future, and no waker: whether such a task can be woken is
//! not known. Each poll looks the task up in a table, some 30 ns on top. A `LocalSet` and blocking code have no hooks (tokio 1.54).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::tokio::runtime::{Builder, TaskMeta};
use ::tokio::task::Id;

use super::live::Entry;
use super::runtimes::{Here, current};
use super::sites::{Kind, Origin, site};
use crate::sys::thread::Unprofiled;

const SHARDS: usize = 16;
/// In place of a future's type.
const UNKNOWN: &str = "(type not known)";

type Shard = HashMap<Id, Entry, BuildHasherDefault<DefaultHasher>>;

struct Tasks([Mutex<Shard>; SHARDS]);

static TASKS: Tasks = Tasks([const { Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) }; SHARDS]);

impl Tasks {
    fn of(&self, id: Id) -> MutexGuard<'_, Shard> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(id) as usize;
        let [first, ..] = &self.0;
        self.0.get(hash % SHARDS).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets the four task hooks of a runtime that is about to be built. tokio has one place for each: these replace those that were set
/// before, and are replaced by those that are set after.
pub fn hook(builder: &mut Builder) -> &mut Builder {
    builder
        .on_task_spawn(spawned)
        .on_before_task_poll(begins)
        .on_after_task_poll(ends)
        .on_task_terminate(terminated)
}

fn spawned(meta: &TaskMeta<'_>) {
    if Here::is_begun() {
        return;
    }
    let _unprofiled = Unprofiled::begin();
    let origin =
        Origin { at: meta.spawned_at(), future: UNKNOWN, future_bytes: 0, kind: Kind::Task, name: None };
    let entry = Entry::new(site(origin), current());
    TASKS.of(meta.id()).insert(meta.id(), entry);
}

fn begins(meta: &TaskMeta<'_>) {
    if let Some(entry) = TASKS.of(meta.id()).get(&meta.id()) {
        entry.0.hook_begins();
    }
}

fn ends(meta: &TaskMeta<'_>) {
    if let Some(entry) = TASKS.of(meta.id()).get(&meta.id()) {
        entry.0.hook_ends();
    }
}

fn terminated(meta: &TaskMeta<'_>) {
    let _unprofiled = Unprofiled::begin();
    let ended = TASKS.of(meta.id()).remove(&meta.id());
    // Outside of the table's lock. tokio does not say how it ended.
    if let Some(entry) = &ended {
        entry.0.hook_terminates();
    }
    drop(ended);
}
