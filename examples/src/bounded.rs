//! A map with a limit: the oldest entry goes when a new one would be too many.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// First in, first out; a present key keeps its place.
#[derive(Clone, Debug)]
pub struct Bounded<K, V> {
    limit: usize,
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// At most `limit` entries.
    pub fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::new(), order: VecDeque::new() }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Puts a value in, and the oldest out if there are too many.
    pub fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        while self.entries.len() > self.limit {
            let Some(oldest) = self.order.pop_front() else { return };
            self.entries.remove(&oldest);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn the_oldest_goes() {
        let mut map = Bounded::new(2);
        for n in [1, 2, 1, 3] {
            map.insert(n, n * 10);
        }
        assert_eq!((map.get(&1), map.get(&2), map.get(&3), map.len()), (None, Some(&20), Some(&30), 2));
    }
}
