//! Names of the threads that allocate, interned.
//!
//! A thread's name is asked of the kernel on its first sample and again on its 2nd, 4th, 8th...: threads are named after
//! they have begun to allocate. 1,024 distinct names are kept; later ones become "(other threads)".

use crate::sys::lock::Lock;
use crate::sys::thread::{self, ThreadState};

const LIMIT: usize = 1024;
/// Position of threads beyond the limit.
const OTHER: u32 = 0;

pub(crate) struct ThreadNames {
    names: Lock<Names>,
}

struct Names {
    /// Filled before the hooks run, so that adding never allocates.
    list: Vec<[u8; 16]>,
    used: usize,
}

impl ThreadNames {
    pub(crate) fn new() -> Self {
        Self { names: Lock::new(Names { list: vec![[0; 16]; LIMIT], used: 1 }) }
    }

    /// Position of the thread's name. Runs inside allocations.
    pub(crate) fn of_in_handler(&self, thread: &ThreadState) -> u32 {
        let samples = thread.samples.get().wrapping_add(1);
        thread.samples.set(samples);
        if let Some(known) = thread.name.get().checked_sub(1)
            && !samples.is_power_of_two()
        {
            return known;
        }
        let position = self.intern(thread::kernel_name());
        thread.name.set(position + 1);
        position
    }

    fn intern(&self, name: [u8; 16]) -> u32 {
        let mut names = self.names.lock();
        let used = names.used;
        if let Some(known) = names.list.iter().take(used).skip(1).position(|n| *n == name) {
            return known as u32 + 1;
        }
        match names.list.get_mut(used) {
            Some(place) => {
                *place = name;
                names.used += 1;
                used as u32
            }
            None => OTHER,
        }
    }

    /// All names, by position.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut out = Vec::with_capacity(LIMIT);
        out.push("(other threads)".to_owned());
        let raw: Vec<[u8; 16]> = {
            let mut copy = Vec::with_capacity(LIMIT);
            let names = self.names.lock();
            copy.extend(names.list.iter().take(names.used).skip(1));
            copy
        };
        out.extend(raw.iter().map(|name| {
            let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
            String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned()
        }));
        out
    }

    /// For fork.
    pub(crate) fn acquire(&self) {
        self.names.acquire();
    }

    /// For fork.
    pub(crate) fn release(&self) {
        self.names.release();
    }
}
