//! Rows of several profiles: by site, by site and line, or by stack; their sums, names and heaviest stacks.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::RowBy;
use crate::profile::estimate::{Accumulated, Estimator, Interval};
use crate::profile::frames::{FrameClasses, ShownFrame};
use crate::profile::keys::{Grouping, Keys};
use crate::profile::select::HeapColumns;
use crate::profile::{Profile, StackId};

/// The rows of several profiles: dense numbers, with the sums of each profile and column.
pub(super) struct Rows<'a> {
    profiles: Vec<&'a Profile>,
    columns: &'a HeapColumns,
    keys: Keys<'a>,
    by: RowBy,
    /// For each profile the row of each stack; `u32::MAX` when no sample has it.
    row_of_stack: Vec<Vec<u32>>,
    /// By row, profile, column.
    sums: Vec<i64>,
    used: Vec<bool>,
    /// With [`RowBy::Stack`]: a profile and stack for each row.
    stack_of_row: Vec<(u32, StackId)>,
}

/// What a row shows.
pub(super) struct Shown {
    pub(super) stacks: usize,
    pub(super) frames: Vec<ShownFrame>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(profiles: &[&'a Profile], columns: &'a HeapColumns, by: RowBy) -> Self {
        let grouping = if by == RowBy::Site { Grouping::Function } else { Grouping::Line };
        let mut rows = Self {
            profiles: profiles.to_vec(),
            columns,
            keys: Keys::new(profiles, &grouping),
            by,
            row_of_stack: profiles.iter().map(|p| vec![u32::MAX; p.stack_count()]).collect(),
            sums: Vec::new(),
            used: Vec::new(),
            stack_of_row: Vec::new(),
        };
        let mut stacks = StackTable::default();
        // One row more than keys: the empty stack has no site.
        let no_site = rows.keys.len() as u32;
        for (number, profile) in profiles.iter().enumerate() {
            for sample in profile.samples() {
                let mut row = rows.row_of_stack[number][sample.stack.index()];
                if row == u32::MAX {
                    row = match by {
                        RowBy::Stack => stacks.id(&rows.keys, number as u32, sample.stack),
                        RowBy::Site | RowBy::SiteLine => {
                            rows.keys.site(number, sample.stack).unwrap_or(no_site)
                        }
                    };
                    rows.row_of_stack[number][sample.stack.index()] = row;
                }
                rows.add(row, number, sample.values);
            }
        }
        rows.stack_of_row = stacks.stacks;
        rows
    }

    fn add(&mut self, row: u32, profile: usize, values: &[i64]) {
        let width = self.columns.width();
        let per_row = self.profiles.len() * width;
        let row = row as usize;
        if self.used.len() <= row {
            self.used.resize(row + 1, false);
            self.sums.resize((row + 1) * per_row, 0);
        }
        self.used[row] = true;
        let at = row * per_row + profile * width;
        for (column, sum) in self.sums[at..at + width].iter_mut().enumerate() {
            *sum = sum.saturating_add(values[self.columns.of_profile(profile, column)]);
        }
    }

    /// Rows that a sample belongs to.
    pub(super) fn used(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.used.len() as u32).filter(|&row| self.used[row as usize])
    }

    /// The sum of a row in one profile; column 0 is the compared one.
    pub(super) fn value(&self, row: u32, profile: usize, column: usize) -> i64 {
        let width = self.columns.width();
        self.sums[row as usize * self.profiles.len() * width + profile * width + column]
    }

    /// The name of a row's site.
    pub(super) fn site(&self, row: u32) -> String {
        let key = match self.by {
            RowBy::Stack => {
                let (profile, stack) = self.stack_of_row[row as usize];
                self.keys.site(profile as usize, stack)
            }
            _ => ((row as usize) < self.keys.len()).then_some(row),
        };
        key.map_or_else(|| "(no stack)".to_owned(), |key| self.keys.name(key))
    }

    /// What orders rows of equal weight: the site, its file and line, and with [`RowBy::Stack`] the frames.
    pub(super) fn name(&self, row: u32) -> Vec<(String, String, i64)> {
        let of_frame = |f: ShownFrame| (f.function, f.file, f.line);
        match self.by {
            RowBy::Stack => {
                let (profile, stack) = self.stack_of_row[row as usize];
                let keys = self.profiles[profile as usize]
                    .stack(stack)
                    .iter()
                    .flat_map(|&l| self.keys.location(profile as usize, l));
                keys.map(|&key| of_frame(self.keys.show(key))).collect()
            }
            _ if (row as usize) < self.keys.len() => vec![of_frame(self.keys.show(row))],
            _ => Vec::new(),
        }
    }

    /// For each of these rows the stack with the largest `weight` of its values in the profiles, matched across
    /// profiles; ties by the frames.
    pub(super) fn show(&self, rows: &[u32], weight: impl Fn(&[i64]) -> u64) -> Vec<Shown> {
        let mut slot_of_row = vec![u32::MAX; self.used.len()];
        for (slot, &row) in rows.iter().enumerate() {
            slot_of_row[row as usize] = slot as u32;
        }
        // Stacks are told apart by line also where rows are functions.
        let lines;
        let keys = match self.by {
            RowBy::Site => {
                lines = Keys::new(&self.profiles, &Grouping::Line);
                &lines
            }
            RowBy::SiteLine | RowBy::Stack => &self.keys,
        };
        let mut stacks = StackTable::default();
        let mut values: Vec<i64> = Vec::new();
        let mut slots: Vec<u32> = Vec::new();
        let width = self.profiles.len();
        for (number, profile) in self.profiles.iter().enumerate() {
            let column = self.columns.of_profile(number, 0);
            let mut id_of_stack = vec![u32::MAX; profile.stack_count()];
            for sample in profile.samples() {
                let row = self.row_of_stack[number][sample.stack.index()];
                let slot = slot_of_row[row as usize];
                if slot == u32::MAX {
                    continue;
                }
                let id = &mut id_of_stack[sample.stack.index()];
                if *id == u32::MAX {
                    *id = stacks.id(keys, number as u32, sample.stack);
                    if *id as usize == slots.len() {
                        slots.push(slot);
                        values.resize(values.len() + width, 0);
                    }
                }
                let sum = &mut values[*id as usize * width + number];
                *sum = sum.saturating_add(sample.values[column]);
            }
        }
        self.pick(rows.len(), &stacks, &slots, &values, weight)
    }

    /// The interval of the change from the first to the last profile, for each of these rows.
    pub(super) fn certainty(&self, rows: &[u32]) -> Option<Vec<Interval>> {
        let kind = &self.columns.value_type.kind;
        let (first, last) = (0, self.profiles.len().checked_sub(1)?);
        let mut slot_of_row = vec![u32::MAX; self.used.len()];
        for (slot, &row) in rows.iter().enumerate() {
            slot_of_row[row as usize] = slot as u32;
        }
        let sums = |number: usize| -> Option<Vec<Accumulated>> {
            let profile = self.profiles.get(number)?;
            let estimator = Estimator::new(profile, kind).ok()?;
            let mut sums = vec![Accumulated::default(); rows.len()];
            for sample in profile.samples() {
                let row = self.row_of_stack[number][sample.stack.index()];
                if let Some(sum) = sums.get_mut(slot_of_row[row as usize] as usize) {
                    estimator.add(sum, &sample);
                }
            }
            Some(sums)
        };
        let (base, new) = (sums(first)?, sums(last)?);
        let is_bytes = self.columns.bytes() == Some(0);
        let change = |(base, new): (&Accumulated, &Accumulated)| {
            if is_bytes { base.bytes_to(new) } else { base.objects_to(new) }
        };
        (is_bytes || self.columns.objects() == Some(0)).then(|| base.iter().zip(&new).map(change).collect())
    }

    fn pick(
        &self,
        rows: usize,
        stacks: &StackTable,
        slots: &[u32],
        values: &[i64],
        weight: impl Fn(&[i64]) -> u64,
    ) -> Vec<Shown> {
        let classes: Vec<FrameClasses> = self.profiles.iter().map(|p| FrameClasses::new(p)).collect();
        let frames = |id: usize| {
            let (profile, stack) = stacks.stacks[id];
            classes[profile as usize].shown(self.profiles[profile as usize], stack)
        };
        let order = |f: &ShownFrame| (f.function.clone(), f.file.clone(), f.line);
        let width = self.profiles.len();
        let mut counts = vec![0usize; rows];
        let mut best: Vec<Option<(u64, usize)>> = vec![None; rows];
        for (id, &slot) in slots.iter().enumerate() {
            let slot = slot as usize;
            counts[slot] += 1;
            let heavy = weight(&values[id * width..(id + 1) * width]);
            let better = match best[slot] {
                None => true,
                Some((w, other)) if w == heavy => {
                    frames(id).iter().map(order).lt(frames(other).iter().map(order))
                }
                Some((w, _)) => heavy > w,
            };
            if better {
                best[slot] = Some((heavy, id));
            }
        }
        best.iter()
            .zip(counts)
            .map(|(best, stacks)| Shown {
                stacks,
                frames: best.map(|(_, id)| frames(id)).unwrap_or_default(),
            })
            .collect()
    }
}

/// Stacks of several profiles by content: equal key sequences have one id.
#[derive(Default)]
struct StackTable {
    /// A profile and stack for each id.
    stacks: Vec<(u32, StackId)>,
    hashes: Vec<u64>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl StackTable {
    fn id(&mut self, keys: &Keys<'_>, profile: u32, stack: StackId) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        for key in keys.stack(profile as usize, stack) {
            hasher.write_u32(key);
        }
        let hash = hasher.finish();
        let (stacks, hashes) = (&mut self.stacks, &mut self.hashes);
        let same = |&id: &u32| {
            let (p, s) = stacks[id as usize];
            hashes[id as usize] == hash
                && ((p, s) == (profile, stack)
                    || keys.stack(p as usize, s).eq(keys.stack(profile as usize, stack)))
        };
        match self.index.entry(hash, same, |&id| hashes[id as usize]) {
            Entry::Occupied(e) => *e.get(),
            Entry::Vacant(e) => {
                let id = stacks.len() as u32;
                e.insert(id);
                stacks.push((profile, stack));
                hashes.push(hash);
                id
            }
        }
    }
}
