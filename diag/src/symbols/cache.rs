//! Resolved addresses kept in memory, bounded in number and bytes.
//!
//! Two generations: what is used moves to the young one; when that has reached half of a bound, the old one is dropped
//! and the young one takes its place. So the bound holds without bookkeeping an entry, and what is in use stays.

use super::table::Table;
use crate::profile::symbolize::Frame;

/// A module (numbered by the resolver) and an offset in its file.
pub(super) type Key = (u32, u64);

#[derive(Debug)]
pub(super) struct Cache {
    young: Table<Key>,
    old: Table<Key>,
    max_addresses: usize,
    max_bytes: usize,
}

impl Cache {
    pub(super) fn new(max_addresses: usize, max_bytes: usize) -> Self {
        Self { young: Table::new(), old: Table::new(), max_addresses, max_bytes }
    }

    pub(super) fn addresses(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes()
    }

    /// Calls `found` with the frames of an address, if they are known. An empty list: known to have no name.
    pub(super) fn get(&mut self, key: Key, found: &mut dyn FnMut(&[Frame<'_>])) -> bool {
        if let Some(frames) = self.young.get(key) {
            found(&frames.collect::<Vec<_>>());
            return true;
        }
        let Some(frames) = self.old.get(key) else { return false };
        let frames: Vec<_> = frames.collect();
        found(&frames);
        self.young.insert(key, frames.into_iter());
        self.age();
        true
    }

    pub(super) fn insert(&mut self, key: Key, frames: &[Frame<'_>]) {
        if self.young.get(key).is_none() {
            self.young.insert(key, frames.iter().copied());
            self.age();
        }
    }

    fn age(&mut self) {
        if self.young.len() > self.max_addresses / 2 || self.young.bytes() > self.max_bytes / 2 {
            self.old = std::mem::replace(&mut self.young, Table::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str) -> Frame<'_> {
        Frame { name, line: 7, ..Frame::default() }
    }

    fn get(cache: &mut Cache, offset: u64) -> Option<String> {
        let mut name = None;
        cache.get((0, offset), &mut |frames| name = Some(frames[0].name.to_owned()));
        name
    }

    #[test]
    fn bounds_hold_and_what_is_used_stays() {
        let mut cache = Cache::new(100, 1 << 20);
        for offset in 0..10_000u64 {
            cache.insert((0, offset), &[frame(&format!("f{offset}"))]);
            assert!(cache.addresses() <= 102, "{}", cache.addresses());
            assert_eq!(get(&mut cache, 0).as_deref(), Some("f0"));
            assert_eq!(get(&mut cache, offset).unwrap(), format!("f{offset}"));
        }
        assert_eq!(get(&mut cache, 5), None);
        let mut cache = Cache::new(1_000_000, 64 << 10);
        for offset in 0..10_000u64 {
            cache.insert((0, offset), &[frame(&format!("a_rather_long_function_name_{offset}"))]);
            assert!(cache.bytes() <= (64 << 10) + 256, "{}", cache.bytes());
        }
        assert!(cache.addresses() > 100);
    }

    #[test]
    fn no_name_is_an_answer() {
        let mut cache = Cache::new(10, 1 << 20);
        cache.insert((3, 4), &[]);
        let mut count = None;
        assert!(cache.get((3, 4), &mut |frames| count = Some(frames.len())));
        assert_eq!(count, Some(0));
        assert!(!cache.get((4, 4), &mut |_| {}));
    }
}
