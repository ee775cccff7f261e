//! Interning tables: each distinct entry is kept once and named by its position.
//!
//! Entries are never removed, so a position stays valid for the life of the table.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

/// All strings of a profile in one buffer. Position 0 is the empty string.
#[derive(Clone, Debug)]
pub(crate) struct Strings {
    text: String,
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Strings {
    pub(crate) fn new() -> Self {
        let mut strings = Self {
            text: String::new(),
            ends: Vec::new(),
            index: HashTable::new(),
            hasher: Default::default(),
        };
        strings.intern("");
        strings
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of text held.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &str {
        slice(&self.text, &self.ends, index)
    }

    pub(crate) fn find(&self, s: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(s);
        self.index.find(hash, |&i| self.get(i as usize) == s).map(|&i| i as usize)
    }

    pub(crate) fn intern(&mut self, s: &str) -> usize {
        let hash = self.hasher.hash_one(s);
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        let entry = self.index.entry(
            hash,
            |&i| slice(text, ends, i as usize) == s,
            |&i| hasher.hash_one(slice(text, ends, i as usize)),
        );
        match entry {
            Entry::Occupied(e) => *e.get() as usize,
            Entry::Vacant(e) => {
                let at = self.ends.len();
                e.insert(at as u32);
                self.text.push_str(s);
                self.ends.push(self.text.len() as u32);
                at
            }
        }
    }
}

#[inline]
fn slice<'a>(text: &'a str, ends: &[u32], index: usize) -> &'a str {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &text[start..ends[index] as usize]
}

/// Distinct slices of `T`, flat in one buffer. Position 0 is the empty slice.
#[derive(Clone, Debug)]
pub(crate) struct Slices<T> {
    items: Vec<T>,
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T: Copy + Eq + Hash> Slices<T> {
    pub(crate) fn new() -> Self {
        let mut slices =
            Self { items: Vec::new(), ends: Vec::new(), index: HashTable::new(), hasher: Default::default() };
        slices.intern(&[]);
        slices
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Makes room for this many more slices with so many items in all.
    pub(crate) fn reserve(&mut self, count: usize, items_in_all: usize) {
        self.ends.reserve(count);
        self.items.reserve(items_in_all);
    }

    /// The same for finding them.
    pub(crate) fn reserve_index(&mut self, count: usize) {
        let (items, ends, hasher) = (&self.items, &self.ends, &self.hasher);
        self.index.reserve(count, |&i| hasher.hash_one(part(items, ends, i as usize)));
    }

    /// Items held over all slices.
    pub(crate) fn item_count(&self) -> usize {
        self.items.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &[T] {
        part(&self.items, &self.ends, index)
    }

    /// Adds a slice without looking whether there is an equal one; [`intern`](Self::intern) will not find it. `None` for an empty one.
    #[cfg(all(feature = "heap", target_os = "linux"))]
    pub(crate) fn push(&mut self, slice: impl Iterator<Item = T>) -> Option<usize> {
        let before = self.items.len();
        self.items.extend(slice);
        (self.items.len() > before).then(|| self.end())
    }

    /// Ends a slice whose items were added.
    fn end(&mut self) -> usize {
        self.ends.push(self.items.len() as u32);
        self.ends.len() - 1
    }

    pub(crate) fn intern(&mut self, slice: &[T]) -> usize {
        let hash = self.hasher.hash_one(slice);
        let (items, ends, hasher) = (&self.items, &self.ends, &self.hasher);
        let entry = self.index.entry(
            hash,
            |&i| part(items, ends, i as usize) == slice,
            |&i| hasher.hash_one(part(items, ends, i as usize)),
        );
        match entry {
            Entry::Occupied(e) => *e.get() as usize,
            Entry::Vacant(e) => {
                e.insert(self.ends.len() as u32);
                self.items.extend_from_slice(slice);
                self.end()
            }
        }
    }
}

#[inline]
fn part<'a, T>(items: &'a [T], ends: &[u32], index: usize) -> &'a [T] {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &items[start..ends[index] as usize]
}

/// Distinct small values in a vector.
#[derive(Clone, Debug)]
pub(crate) struct Values<T> {
    items: Vec<T>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T: Copy + Eq + Hash> Values<T> {
    pub(crate) fn new() -> Self {
        Self { items: Vec::new(), index: HashTable::new(), hasher: Default::default() }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.items
    }

    /// The position of `value`, and whether it is new.
    pub(crate) fn intern(&mut self, value: T) -> (usize, bool) {
        let hash = self.hasher.hash_one(value);
        let (items, hasher) = (&self.items, &self.hasher);
        let entry =
            self.index.entry(hash, |&i| items[i as usize] == value, |&i| hasher.hash_one(items[i as usize]));
        match entry {
            Entry::Occupied(e) => (*e.get() as usize, false),
            Entry::Vacant(e) => {
                let at = self.items.len();
                e.insert(at as u32);
                self.items.push(value);
                (at, true)
            }
        }
    }
}
