//! The tokio runtimes in which tasks were spawned: to tell what share of all tasks is tracked, and whose a task is.
//!
//! A runtime has a number from the first spawn in it on. The handles of the first [`MOST_WATCHED`] are kept, to ask how many tasks
//! they have: a few kilobytes each for the life of the process, once they are shut down.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use ::tokio::runtime::{Handle, Id};

use super::record::State;
use super::sites::Kind;
use super::snapshot::{Coverage, SiteReading, TaskReading};
use crate::sys::thread::Unprofiled;

const MOST_WATCHED: usize = 4;
/// Runtimes that get a number.
const MOST_NUMBERED: usize = 4096;

struct Known {
    numbered: Vec<Id>,
    watched: Vec<Handle>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { numbered: Vec::new(), watched: Vec::new() });

thread_local! {
    /// The runtime this thread spawned in last.
    static LAST: Cell<Option<(Id, u16)>> = const { Cell::new(None) };
    /// Inside one of our spawns.
    #[cfg(tokio_unstable)]
    static HERE: Cell<bool> = const { Cell::new(false) };
}

/// The task that is being spawned is tracked already, while this lives: the runtime's hooks leave it alone.
#[derive(Debug)]
pub(super) struct Here(());

impl Here {
    #[inline]
    pub(super) fn begin() -> Self {
        #[cfg(tokio_unstable)]
        let _ = HERE.try_with(|here| here.set(true));
        Self(())
    }

    #[cfg(tokio_unstable)]
    pub(super) fn is_begun() -> bool {
        HERE.try_with(Cell::get).unwrap_or(false)
    }
}

impl Drop for Here {
    #[inline]
    fn drop(&mut self) {
        #[cfg(tokio_unstable)]
        let _ = HERE.try_with(|here| here.set(false));
    }
}

/// The number of the runtime that this thread is in; 0 outside.
#[inline]
pub(super) fn current() -> u16 {
    Handle::try_current().map_or(0, |handle| number(&handle))
}

/// The number of a runtime; 0 for those that came too late.
#[inline]
pub(super) fn number(handle: &Handle) -> u16 {
    let id = handle.id();
    match LAST.try_with(Cell::get) {
        Ok(Some((last, number))) if last == id => number,
        _ => {
            let number = find_or_add(handle, id);
            let _ = LAST.try_with(|last| last.set(Some((id, number))));
            number
        }
    }
}

fn find_or_add(handle: &Handle, id: Id) -> u16 {
    let _unprofiled = Unprofiled::begin();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = known.numbered.iter().position(|known| *known == id) {
        return at as u16 + 1;
    }
    if known.numbered.len() >= MOST_NUMBERED {
        return 0;
    }
    if known.watched.len() < MOST_WATCHED {
        known.watched.push(handle.clone());
    }
    known.numbered.push(id);
    known.numbered.len() as u16
}

/// What share of the watched runtimes' tasks is among these. `None` before anything was spawned, and where there are runtimes
/// that are not watched.
pub(super) fn coverage(tasks: &[TaskReading], sites: &[SiteReading]) -> Option<Coverage> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtimes = known.watched.len();
    if runtimes == 0 || known.numbered.len() > runtimes {
        return None;
    }
    let alive: usize = known.watched.iter().map(|handle| handle.metrics().num_alive_tasks()).sum();
    // A LocalSet's tasks and blocking ones are not in tokio's count; one that is done is no longer.
    let is_counted = |task: &&TaskReading| {
        sites.get(task.site).is_some_and(|site| site.kind == Kind::Task)
            && task.runtime > 0
            && task.state != State::Done
    };
    let seen = tasks.iter().filter(is_counted).count();
    let share = if alive == 0 { 1.0 } else { (seen as f64 / alive as f64).min(1.0) };
    Some(Coverage { runtimes, seen, alive, share })
}
