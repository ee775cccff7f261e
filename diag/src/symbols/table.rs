//! Resolved addresses, compact: texts once, frames as rows of numbers.

use hashbrown::HashMap;

use super::demangle::demangle;
use crate::profile::intern::Strings;
use crate::profile::symbolize::Frame;

/// A frame; texts are positions in a table of strings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Row {
    pub(super) name: u32,
    pub(super) system_name: u32,
    pub(super) file: u32,
    pub(super) line: u32,
    pub(super) start_line: u32,
}

/// How much is known of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Known {
    /// Nothing.
    #[default]
    Nothing,
    /// The line; the name of the function is still to be found.
    Line,
    /// The function, by a name without its path. A linkage name says more.
    Plain,
    /// The function, by the name the linker uses.
    Function,
}

/// Answers for a batch of addresses, by position.
#[derive(Debug)]
pub(super) struct Answers {
    strings: Strings,
    rows: Vec<Row>,
    /// For each address: how much is known, first row, number of rows.
    answers: Vec<(Known, u32, u32)>,
    /// Names by the position of the linkage name: (name, system_name).
    demangled: HashMap<u32, (u32, u32)>,
}

impl Answers {
    pub(super) fn new(count: usize) -> Self {
        Self {
            strings: Strings::new(),
            rows: Vec::new(),
            answers: vec![(Known::Nothing, 0, 0); count],
            demangled: HashMap::new(),
        }
    }

    pub(super) fn known(&self, position: usize) -> Known {
        self.answers.get(position).map_or(Known::Nothing, |a| a.0)
    }

    pub(super) fn text(&self, id: u32) -> &str {
        self.strings.get(id as usize)
    }

    pub(super) fn str(&mut self, text: &str) -> u32 {
        self.strings.intern(text) as u32
    }

    /// Display name and linkage name of a function, from its linkage name.
    pub(super) fn names(&mut self, linkage: &str) -> (u32, u32) {
        let raw = self.str(linkage);
        if let Some(&known) = self.demangled.get(&raw) {
            return known;
        }
        let names = match demangle(linkage) {
            Some(name) if name != linkage => (self.str(&name), raw),
            _ => (raw, 0),
        };
        self.demangled.insert(raw, names);
        names
    }

    /// Sets the frames of an address, innermost first, if that says more than what is known.
    pub(super) fn set(&mut self, position: usize, known: Known, rows: &[Row]) {
        let first = self.rows.len() as u32;
        match self.answers.get_mut(position) {
            Some(answer) if answer.0 < known && !rows.is_empty() => {
                *answer = (known, first, rows.len() as u32);
                self.rows.extend_from_slice(rows);
            }
            _ => {}
        }
    }

    /// Names the function of an address, by the linkage name of its symbol, if that says more than what is known.
    pub(super) fn name(&mut self, position: usize, linkage: &str) {
        let (name, system_name) = self.names(linkage);
        let Some(&(known, first, count)) = self.answers.get(position) else { return };
        match known {
            Known::Function => {}
            Known::Nothing => {
                self.set(position, Known::Function, &[Row { name, system_name, ..Row::default() }])
            }
            // A symbol that is no mangled name is no better than the function's own (`f.cold`, aliases).
            Known::Plain if system_name == 0 => {}
            Known::Line | Known::Plain => {
                let last = (first + count).wrapping_sub(1) as usize;
                if let Some(row) = self.rows.get_mut(last) {
                    (row.name, row.system_name) = (name, system_name);
                }
                if let Some(answer) = self.answers.get_mut(position) {
                    answer.0 = Known::Function;
                }
            }
        }
    }

    /// How many addresses have a name, and how many of those a line.
    pub(super) fn counts(&self) -> (usize, usize) {
        let named = (0..self.answers.len()).map(|i| self.frames(i)).filter_map(|mut frames| {
            let first = frames.next()?;
            Some(first.line != 0 || frames.any(|f| f.line != 0))
        });
        named.fold((0, 0), |(named, lined), has_line| (named + 1, lined + usize::from(has_line)))
    }

    /// Brings the answers into another order: that at `i` moves to `to[i]`.
    pub(super) fn reordered(mut self, to: &[usize], count: usize) -> Self {
        let mut answers = vec![(Known::Nothing, 0, 0); count];
        for (answer, &to) in self.answers.iter().zip(to) {
            if let Some(slot) = answers.get_mut(to) {
                *slot = *answer;
            }
        }
        self.answers = answers;
        self
    }

    /// The frames of an address; empty when nothing is known.
    pub(super) fn frames(&self, position: usize) -> impl Iterator<Item = Frame<'_>> {
        let (known, first, count) = self.answers.get(position).copied().unwrap_or_default();
        // A line without a function would be a frame without a name.
        let count = if known >= Known::Plain { count } else { 0 };
        let rows = self.rows.get(first as usize..(first + count) as usize).unwrap_or_default();
        rows.iter().map(|row| frame(&self.strings, row))
    }
}

fn frame<'a>(strings: &'a Strings, row: &Row) -> Frame<'a> {
    Frame {
        name: strings.get(row.name as usize),
        system_name: strings.get(row.system_name as usize),
        file: strings.get(row.file as usize),
        line: row.line,
        start_line: row.start_line,
    }
}

/// Frames by key, for keeping.
#[derive(Debug)]
pub(super) struct Table<K> {
    strings: Strings,
    rows: Vec<Row>,
    spans: HashMap<K, (u32, u32)>,
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    pub(super) fn new() -> Self {
        Self { strings: Strings::new(), rows: Vec::new(), spans: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes on the heap, estimated from what is held (hash tables at the fill they have on average).
    pub(super) fn bytes(&self) -> usize {
        const STRING_OVERHEAD: usize = 4 + 8;
        const SPAN_OVERHEAD: usize = 4;
        self.strings.text_bytes()
            + self.strings.len() * STRING_OVERHEAD
            + self.rows.len() * size_of::<Row>()
            + self.spans.len() * (size_of::<(K, (u32, u32))>() + SPAN_OVERHEAD)
    }

    /// Keeps the frames of a key that is not there yet. An empty list is an answer too: nothing is known.
    pub(super) fn insert<'f>(&mut self, key: K, frames: impl Iterator<Item = Frame<'f>>) {
        let first = self.rows.len() as u32;
        for f in frames {
            let row = Row {
                name: self.strings.intern(f.name) as u32,
                system_name: self.strings.intern(f.system_name) as u32,
                file: self.strings.intern(f.file) as u32,
                line: f.line,
                start_line: f.start_line,
            };
            self.rows.push(row);
        }
        self.spans.insert(key, (first, self.rows.len() as u32 - first));
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        self.spans.keys().copied()
    }

    pub(super) fn get(&self, key: K) -> Option<impl Iterator<Item = Frame<'_>>> {
        let &(first, count) = self.spans.get(&key)?;
        let rows = self.rows.get(first as usize..(first + count) as usize)?;
        Some(rows.iter().map(|row| frame(&self.strings, row)))
    }
}
