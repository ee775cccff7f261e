//! The names of threads, as the kernel has them: also of those that ended.

use std::collections::HashMap;

/// Names of threads by number.
#[derive(Default)]
pub(super) struct Names(HashMap<u32, String>);

/// Threads whose names are kept; those beyond are nameless.
const NAMES: usize = 1 << 15;

impl Names {
    /// Reads a name that is not known yet.
    pub(super) fn look(&mut self, thread: u32) {
        if !self.0.contains_key(&thread) {
            self.read(thread);
        }
    }

    /// Reads the name as it is now: threads are often named after they began.
    pub(super) fn read(&mut self, thread: u32) {
        if let Ok(name) = std::fs::read(format!("/proc/self/task/{thread}/comm")) {
            self.put(thread, &name);
        }
    }

    /// Takes what came with a sample, which is right where the name that the sampler read may still be that of the thread's maker.
    pub(super) fn note(&mut self, thread: u32, name: &[u8; 16]) {
        if name.first().is_some_and(|b| *b != 0) {
            self.put(thread, name);
        }
    }

    fn put(&mut self, thread: u32, name: &[u8]) {
        let end = name.iter().position(|b| *b == 0 || *b == b'\n').unwrap_or(name.len());
        if self.0.len() < NAMES || self.0.contains_key(&thread) {
            self.0.insert(thread, String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned());
        }
    }

    pub(super) fn get(&self, thread: u32) -> &str {
        self.0.get(&thread).map_or("(unknown thread)", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_with_a_sample_is_the_right_one() {
        let mut names = Names::default();
        let me = crate::sys::thread::thread_id();
        names.look(me);
        assert_ne!(names.get(me), "worker");
        names.note(me, b"its maker\0\0\0\0\0\0\0");
        names.note(me, b"worker\0\0\0\0\0\0\0\0\0\0");
        names.note(me, &[0; 16]);
        names.look(me);
        assert_eq!(names.get(me), "worker");
        assert_eq!(names.get(0), "(unknown thread)");
    }
}
