//! Tables: the heaviest functions (files, lines, crates), and who calls them.
//!
//! As pprof counts: `flat` is the value of the stacks that end in a frame, `cum` that of the stacks the frame is in,
//! once for each stack however often it recurs. Inlined frames count like others.
//!
//! Cost: one visit of each frame of each distinct stack, without hashing; names are made for the rows that are kept.

use hashbrown::HashMap;
use serde::Serialize;

use super::estimate::{Accumulated, Estimator, Interval};
use super::frames::{FrameClass, ShownFrame};
use super::keys::{Grouping, Keys};
use super::pattern::Pattern;
use super::select::{LabelGroups, type_at};
use super::{Profile, ProfileError, StackId, ValueType};

/// Which value orders a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SortBy {
    /// Own value.
    #[default]
    Flat,
    /// Value with everything called.
    Cum,
}

/// How [`top`] groups, orders and cuts.
#[derive(Clone, Debug, Default)]
pub struct TopOptions {
    /// What one row is.
    pub grouping: Grouping,
    /// What comes first.
    pub sort: SortBy,
    /// Keep so many rows; all if `None`.
    pub limit: Option<usize>,
    /// Count as if the frames of runtimes and of the allocator were not there: their values are their callers'. As
    /// [`Filter::hide_runtime`](super::Filter), without making a profile of it; for groupings by function or finer.
    pub hide_runtime: bool,
}

/// The heaviest frames of a profile.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Top {
    /// What is counted: `inuse_space`.
    pub kind: String,
    /// Its unit.
    pub unit: String,
    /// Sum over the profile.
    pub total: i64,
    /// How many rows there were before the limit.
    pub rows_total: usize,
    /// Heaviest first; ties by name, file and line.
    pub rows: Vec<TopRow>,
}

/// A row of [`Top`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct TopRow {
    /// The function, or what the grouping says.
    #[serde(flatten)]
    pub frame: ShownFrame,
    /// Whose code it is.
    pub class: FrameClass,
    /// Value of the stacks that end here.
    pub flat: i64,
    /// 95 % limits of `flat` from sampling; `None` where the profile states no sampling period in bytes, and in
    /// [`peek`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat_low: Option<i64>,
    /// See `flat_low`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat_high: Option<i64>,
    /// Value of the stacks that pass or end here.
    pub cum: i64,
}

/// A row with its callers and callees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Peek {
    /// The function itself.
    #[serde(flatten)]
    pub row: TopRow,
    /// Who called it, heaviest first. Calls of itself are left out.
    pub callers: Vec<Edge>,
    /// Whom it called, heaviest first.
    pub callees: Vec<Edge>,
}

/// A caller or callee.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Edge {
    /// The other function.
    #[serde(flatten)]
    pub frame: ShownFrame,
    /// Value of the stacks in which the one calls the other, each stack once.
    pub value: i64,
}

/// The heaviest frames of a profile for the sample type at `type_index`.
///
/// # Errors
/// [`ProfileError::NoSampleType`].
pub fn top(profile: &Profile, type_index: usize, options: &TopOptions) -> Result<Top, ProfileError> {
    let value_type = type_at(profile, type_index)?.clone();
    if let Grouping::Label(_) = options.grouping {
        return Ok(top_labels(profile, type_index, value_type, options));
    }
    let keys = Keys::new(&[profile], &options.grouping);
    let hide = options.hide_runtime && !keys.is_coarse();
    let sums = Sums::of(profile, &keys, &by_stack(profile, type_index), hide);
    let mut rows: Vec<u32> = sums.nonzero().collect();
    let rows_total = rows.len();
    let order = |&key: &u32| {
        let (flat, cum) =
            (sums.by_key[key as usize].flat.unsigned_abs(), sums.by_key[key as usize].cum.unsigned_abs());
        std::cmp::Reverse(if options.sort == SortBy::Flat { (flat, cum) } else { (cum, flat) })
    };
    keep_first(&mut rows, options.limit, order, |&key| {
        let frame = keys.show(key);
        (frame.function, frame.file, frame.line)
    });
    let certainty = certainty(profile, &value_type, &sums, &rows);
    let mut rows: Vec<TopRow> = rows.into_iter().map(|key| sums.row(&keys, key)).collect();
    for (row, interval) in rows.iter_mut().zip(certainty.into_iter().flatten()) {
        (row.flat_low, row.flat_high) = (Some(interval.low), Some(interval.high));
    }
    Ok(Top {
        kind: value_type.kind,
        unit: value_type.unit,
        total: profile.total(type_index),
        rows_total,
        rows,
    })
}

/// The interval of the flat value of each of these rows.
fn certainty(
    profile: &Profile,
    value_type: &ValueType,
    counted: &Sums,
    rows: &[u32],
) -> Option<Vec<Interval>> {
    let estimator = Estimator::new(profile, &value_type.kind).ok()?;
    let mut slot_of_key = vec![u32::MAX; counted.by_key.len()];
    for (slot, &key) in rows.iter().enumerate() {
        slot_of_key[key as usize] = slot as u32;
    }
    let mut sums = vec![Accumulated::default(); rows.len()];
    for sample in profile.samples() {
        let leaf = counted.leaf_of_stack[sample.stack.index()];
        let slot = slot_of_key.get(leaf as usize).copied().unwrap_or(u32::MAX);
        if let Some(sum) = sums.get_mut(slot as usize) {
            estimator.add(sum, &sample);
        }
    }
    let interval = |sum: &Accumulated| {
        let estimate = sum.estimate();
        if value_type.unit == "bytes" { estimate.bytes } else { estimate.objects.unwrap_or_default() }
    };
    Some(sums.iter().map(interval).collect())
}

/// The functions (or what `grouping` says) whose name matches, with callers and callees, heaviest first.
///
/// # Errors
/// [`ProfileError::NoSampleType`].
pub fn peek(
    profile: &Profile,
    type_index: usize,
    grouping: &Grouping,
    pattern: &Pattern,
) -> Result<Vec<Peek>, ProfileError> {
    type_at(profile, type_index)?;
    let keys = Keys::new(&[profile], grouping);
    let values = by_stack(profile, type_index);
    let sums = Sums::of(profile, &keys, &values, false);
    let wanted: Vec<bool> = (0..keys.len() as u32).map(|key| pattern.matches(&keys.name(key))).collect();
    let edges = edges(&keys, &values, &wanted);

    let mut rows: Vec<u32> = sums.nonzero().filter(|&key| wanted[key as usize]).collect();
    let heaviest = |&key: &u32| std::cmp::Reverse(sums.by_key[key as usize].cum.unsigned_abs());
    let name = |key: u32| {
        let frame = keys.show(key);
        (frame.function, frame.file, frame.line)
    };
    keep_first(&mut rows, None, heaviest, |&key| name(key));
    let mut callers: HashMap<u32, Vec<(u32, i64)>> = HashMap::new();
    let mut callees: HashMap<u32, Vec<(u32, i64)>> = HashMap::new();
    for (&(caller, callee), edge) in &edges {
        if wanted[callee as usize] {
            callers.entry(callee).or_default().push((caller, edge.value));
        }
        if wanted[caller as usize] {
            callees.entry(caller).or_default().push((callee, edge.value));
        }
    }
    let list = |edges: Option<Vec<(u32, i64)>>| {
        let mut edges = edges.unwrap_or_default();
        keep_first(&mut edges, None, |e| std::cmp::Reverse(e.1.unsigned_abs()), |e| name(e.0));
        edges.into_iter().map(|(key, value)| Edge { frame: keys.show(key), value }).collect()
    };
    Ok(rows
        .into_iter()
        .map(|key| Peek {
            row: sums.row(&keys, key),
            callers: list(callers.remove(&key)),
            callees: list(callees.remove(&key)),
        })
        .collect())
}

/// The value of each distinct stack.
fn by_stack(profile: &Profile, type_index: usize) -> Vec<i64> {
    let mut values = vec![0i64; profile.stack_count()];
    for sample in profile.samples() {
        let sum = &mut values[sample.stack.index()];
        *sum = sum.saturating_add(sample.values[type_index]);
    }
    values
}

/// The values of each key.
struct Sums {
    by_key: Vec<Sum>,
    /// The key that the flat value of each stack went to; `u32::MAX` for stacks without a value.
    leaf_of_stack: Vec<u32>,
}

/// Kept together: the loop over all frames touches one cache line a frame.
#[derive(Clone, Copy, Default)]
struct Sum {
    cum: i64,
    flat: i64,
    /// The last stack, counted from 1, that the key was seen in.
    seen_in: u32,
    is_hidden: bool,
}

impl Sum {
    /// Adds the value of a stack, once.
    #[inline]
    fn see(&mut self, generation: u32, value: i64) {
        if self.seen_in != generation {
            self.seen_in = generation;
            self.cum = self.cum.saturating_add(value);
        }
    }
}

impl Sums {
    fn of(profile: &Profile, keys: &Keys<'_>, values: &[i64], hide_runtime: bool) -> Self {
        let is_hidden = |key: u32| hide_runtime && keys.class(key).is_hidden();
        let empty = |key| Sum { is_hidden: is_hidden(key), ..Sum::default() };
        let mut by_key: Vec<Sum> = (0..keys.len() as u32).map(empty).collect();
        let mut leaf_of_stack = vec![u32::MAX; values.len()];
        for (i, &value) in values.iter().enumerate().filter(|(_, v)| **v != 0) {
            let (stack, generation) = (StackId::from_index(i), i as u32 + 1);
            let mut leaf = None;
            for &location in profile.stack(stack) {
                for &key in keys.location(0, location) {
                    let sum = &mut by_key[key as usize];
                    if !sum.is_hidden {
                        leaf = leaf.or(Some(key));
                        sum.see(generation, value);
                    }
                }
            }
            // A stack of nothing but runtime keeps its site.
            if let Some(key) = leaf.or_else(|| keys.site(0, stack)) {
                let sum = &mut by_key[key as usize];
                sum.see(generation, value);
                sum.flat = sum.flat.saturating_add(value);
                leaf_of_stack[i] = key;
            }
        }
        Self { by_key, leaf_of_stack }
    }

    /// Keys that are in a stack with a value.
    fn nonzero(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.by_key.len() as u32).filter(|&k| self.by_key[k as usize].seen_in != 0)
    }

    fn row(&self, keys: &Keys<'_>, key: u32) -> TopRow {
        TopRow {
            frame: keys.show(key),
            class: keys.class(key),
            flat: self.by_key[key as usize].flat,
            flat_low: None,
            flat_high: None,
            cum: self.by_key[key as usize].cum,
        }
    }
}

struct EdgeSum {
    value: i64,
    seen_in: u32,
}

/// Calls (caller, callee) that touch a wanted key.
fn edges(keys: &Keys<'_>, values: &[i64], wanted: &[bool]) -> HashMap<(u32, u32), EdgeSum> {
    let mut edges: HashMap<(u32, u32), EdgeSum> = HashMap::new();
    let mut stack = Vec::new();
    for (i, &value) in values.iter().enumerate().filter(|(_, v)| **v != 0) {
        keys.stack_into(0, StackId::from_index(i), &mut stack);
        for pair in stack.windows(2) {
            let &[callee, caller] = pair else { continue };
            if caller == callee || !(wanted[caller as usize] || wanted[callee as usize]) {
                continue;
            }
            let edge = edges.entry((caller, callee)).or_insert(EdgeSum { value: 0, seen_in: u32::MAX });
            if edge.seen_in != i as u32 {
                edge.seen_in = i as u32;
                edge.value = edge.value.saturating_add(value);
            }
        }
    }
    edges
}

/// Sorts by `order`, ties by `name`, and keeps the first `limit`. Names are made only where they decide.
pub(crate) fn keep_first<T, O: Ord, N: Ord>(
    rows: &mut Vec<T>,
    limit: Option<usize>,
    order: impl Fn(&T) -> O,
    name: impl Fn(&T) -> N,
) {
    rows.sort_by_cached_key(|row| order(row));
    let limit = limit.unwrap_or(usize::MAX);
    let mut from = 0;
    while from < rows.len().min(limit) {
        let key = order(&rows[from]);
        let ties = rows[from..].iter().take_while(|row| order(row) == key).count();
        if ties > 1 {
            rows[from..from + ties].sort_by_cached_key(|row| name(row));
        }
        from += ties;
    }
    rows.truncate(limit);
}

fn top_labels(profile: &Profile, type_index: usize, value_type: ValueType, options: &TopOptions) -> Top {
    let groups = LabelGroups::new(&[profile], &options.grouping);
    let mut sums: HashMap<u32, i64> = HashMap::new();
    for sample in profile.samples() {
        if let Some(group) = groups.of(0, sample.labels) {
            let sum = sums.entry(group).or_default();
            *sum = sum.saturating_add(sample.values[type_index]);
        }
    }
    let mut rows: Vec<(u32, i64)> = sums.into_iter().collect();
    let rows_total = rows.len();
    keep_first(&mut rows, options.limit, |r| std::cmp::Reverse(r.1.unsigned_abs()), |r| groups.name(r.0));
    let row = |(group, value): (u32, i64)| TopRow {
        frame: ShownFrame { function: groups.name(group), file: String::new(), line: 0, inlined: false },
        class: FrameClass::User,
        flat: value,
        flat_low: None,
        flat_high: None,
        cum: value,
    };
    Top {
        kind: value_type.kind,
        unit: value_type.unit,
        total: profile.total(type_index),
        rows_total,
        rows: rows.into_iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
