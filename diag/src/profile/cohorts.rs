//! Birth cohorts: of each stack's sampled objects, how many were born when, and how many of those died when.
//!
//! Made from censuses: at a census every sampled object that is alive is shown with its birth. Objects of one stack whose
//! births fall into the same cell of a time grid are a cohort; what a cohort has less than at the census before has died
//! in between. No object has to be recognised again, so a census may come from the running process or from a file.
//!
//! Times are nanoseconds of one clock that neither jumps nor restarts. The grid's cells are [`Cohorts::resolution_ns`]
//! wide; an object is first seen when its cell is over, so those that die younger never show, which no test of mature
//! objects needs. When there are too many censuses or too much memory is used, every second census is dropped and the
//! cells double: the past is kept at 1/64 to 1/128 of its length.
//!
//! Lost: rows beyond the memory limit, counted in [`Cohorts::rows_dropped`].

mod captures;

use hashbrown::HashMap;

pub use captures::{
    CaptureSeries, STARTED_COMMENT, SeriesFault, TAKEN_COMMENT, WORK_COMMENT, process_started_ns,
};

/// Most censuses kept; even.
pub const MOST_CENSUSES: usize = 128;
/// With fewer the past is not thinned any further for the sake of memory.
const FEWEST_CENSUSES: usize = 16;
/// From this factor on a block has doubled: tables have a constant part, and sizes are rounded to classes.
const DOUBLED: f64 = 1.75;
/// Births so many cells before the first census share one cell: they are old, whatever is asked.
const CELLS_BEFORE_START: i64 = 64;

/// Sums over sampled objects.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Tally {
    /// How many samples.
    pub samples: u32,
    /// Objects they stand for.
    pub objects: f32,
    /// Bytes they stand for.
    pub bytes: f32,
    /// Sum of the squares of each sample's bytes.
    pub bytes_sq: f32,
}

impl Tally {
    /// One sample that stands for so many objects and bytes.
    pub fn of(objects: f64, bytes: f64) -> Self {
        Self { samples: 1, objects: objects as f32, bytes: bytes as f32, bytes_sq: (bytes * bytes) as f32 }
    }

    /// Adds the other's sums.
    pub fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.bytes_sq += other.bytes_sq;
    }

    /// What is missing in `now`; nothing, when there is more.
    fn lost(self, now: Self) -> Option<Self> {
        let samples = self.samples.checked_sub(now.samples).filter(|s| *s > 0)?;
        Some(Self {
            samples,
            objects: (self.objects - now.objects).max(0.0),
            bytes: (self.bytes - now.bytes).max(0.0),
            bytes_sq: (self.bytes_sq - now.bytes_sq).max(0.0),
        })
    }
}

/// Samples of one stack that died between two censuses.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Deaths {
    /// Number of the census that missed them first.
    pub census: u16,
    /// What died.
    pub tally: Tally,
}

/// Objects of one stack born in one cell of the grid.
#[derive(Clone, PartialEq, Debug)]
pub struct Cohort {
    /// Start of the cell.
    pub born_ns: i64,
    /// Alive at the last census.
    pub alive: Tally,
    /// Earlier deaths, by census.
    pub deaths: Vec<Deaths>,
    next: Tally,
}

/// Samples of a stack born so far.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Births {
    census: u16,
    samples: f32,
}

/// The largest object of a stack at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Largest {
    /// The census.
    pub at_ns: i64,
    /// Its size.
    pub bytes: u64,
}

/// The cohorts of one stack.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Row {
    /// By birth.
    pub cohorts: Vec<Cohort>,
    /// Samples born so far, where that changed from a census to the next; begins with the first that followed the stack.
    births: Vec<Births>,
    /// The times when the largest live object had about doubled since the entry before.
    pub largest: Vec<Largest>,
    largest_now: u64,
    largest_last: u64,
    births_now: f64,
}

/// A census as a whole.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Census {
    /// When.
    pub at_ns: i64,
    /// Samples taken since the start of the process, all stacks.
    pub births: f64,
    /// Bytes allocated since the start.
    pub allocated_bytes: f64,
    /// Units of work done since the start; 0 where nobody counts.
    pub work_units: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Cohorts {
    start_ns: i64,
    resolution_ns: i64,
    memory_limit: usize,
    censuses: Vec<Census>,
    rows: HashMap<u32, Row>,
    rows_dropped: u64,
}

/// A census being taken.
#[derive(Debug)]
pub struct Taking<'a> {
    cohorts: &'a mut Cohorts,
    at_ns: i64,
}

impl Cohorts {
    /// Nothing known yet. The grid begins at `start_ns`; `memory_limit` in bytes.
    pub fn new(start_ns: i64, resolution_ns: i64, memory_limit: usize) -> Self {
        Self {
            start_ns,
            resolution_ns: resolution_ns.max(1),
            memory_limit,
            censuses: Vec::new(),
            rows: HashMap::new(),
            rows_dropped: 0,
        }
    }

    /// When the next census is due.
    pub fn next_census_ns(&self) -> i64 {
        self.censuses.last().map_or(self.start_ns, |c| c.at_ns.saturating_add(self.resolution_ns))
    }

    /// Begins a census; `None` when its time is not after the last one's.
    pub fn census(&mut self, census: Census) -> Option<Taking<'_>> {
        if self.censuses.last().is_some_and(|last| census.at_ns <= last.at_ns) {
            return None;
        }
        self.censuses.push(census);
        Some(Taking { cohorts: self, at_ns: census.at_ns })
    }

    /// Start of the grid.
    pub fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// Width of a cell.
    pub fn resolution_ns(&self) -> i64 {
        self.resolution_ns
    }

    /// The censuses kept, oldest first.
    pub fn censuses(&self) -> &[Census] {
        &self.censuses
    }

    /// The stacks, by the caller's numbers, in no order.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.rows.iter().map(|(key, row)| (*key, row))
    }

    /// Sampled bytes that were alive at a census, of all cells that were over by then.
    pub fn alive_bytes_at(&self, census: usize) -> f64 {
        self.rows.values().map(|row| self.alive_bytes_of(row, census)).sum()
    }

    /// The same of one stack.
    pub fn alive_bytes_of(&self, row: &Row, census: usize) -> f64 {
        let Some(at_ns) = self.censuses.get(census).map(|c| c.at_ns) else { return 0.0 };
        let known = |c: &&Cohort| c.born_ns.saturating_add(self.resolution_ns) <= at_ns;
        let alive = |c: &Cohort| {
            let died = c
                .deaths
                .iter()
                .filter(|d| usize::from(d.census) > census)
                .map(|d| d.tally.bytes)
                .sum::<f32>();
            f64::from(c.alive.bytes + died)
        };
        row.cohorts.iter().filter(known).map(alive).sum()
    }

    /// Whether a stack has a row.
    pub fn contains(&self, row: u32) -> bool {
        self.rows.contains_key(&row)
    }

    /// Stacks that were not followed for want of memory.
    pub fn rows_dropped(&self) -> u64 {
        self.rows_dropped
    }

    /// About how much memory this takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let row = |row: &Row| {
            let deaths: usize = row.cohorts.iter().map(|c| c.deaths.capacity()).sum();
            size_of::<(u32, Row)>()
                + row.cohorts.capacity() * size_of::<Cohort>()
                + deaths * size_of::<Deaths>()
                + row.births.capacity() * size_of::<Births>()
                + row.largest.capacity() * size_of::<Largest>()
        };
        let unused = self.rows.capacity().saturating_sub(self.rows.len()) * size_of::<(u32, Row)>();
        unused + self.rows.values().map(row).sum::<usize>()
    }

    fn cell(&self, born_ns: i64) -> i64 {
        let cells = born_ns.saturating_sub(self.start_ns).div_euclid(self.resolution_ns);
        self.start_ns.saturating_add(cells.max(-CELLS_BEFORE_START).saturating_mul(self.resolution_ns))
    }

    /// Forgets the half of the rows with the fewest samples.
    fn drop_small_rows(&mut self) {
        let samples = |row: &Row| -> u64 {
            let of = |c: &Cohort| c.alive.samples + c.deaths.iter().map(|d| d.tally.samples).sum::<u32>();
            row.cohorts.iter().map(|c| u64::from(of(c))).sum()
        };
        let mut by_samples: Vec<(u64, u32)> =
            self.rows.iter().map(|(key, row)| (samples(row), *key)).collect();
        by_samples.sort_unstable();
        for (_, key) in by_samples.iter().take(by_samples.len().div_ceil(2)) {
            self.rows.remove(key);
            self.rows_dropped += 1;
        }
        self.rows.shrink_to_fit();
    }

    /// Keeps every second census, the last among them, and doubles the cells. Only for an even number of censuses.
    fn thin(&mut self) {
        self.resolution_ns = self.resolution_ns.saturating_mul(2);
        let mut keep = true;
        self.censuses.retain(|_| {
            keep = !keep;
            keep
        });
        let mut rows = std::mem::take(&mut self.rows);
        for row in rows.values_mut() {
            self.thin_row(row);
        }
        self.rows = rows;
    }

    fn thin_row(&self, row: &mut Row) {
        let mut merged: Vec<Cohort> = Vec::with_capacity(row.cohorts.len() / 2 + 1);
        for mut cohort in row.cohorts.drain(..) {
            cohort.born_ns = self.cell(cohort.born_ns);
            for deaths in &mut cohort.deaths {
                // The census that missed them, or the one after it, is kept; its new number is half of the old.
                deaths.census /= 2;
            }
            match merged.last_mut().filter(|last| last.born_ns == cohort.born_ns) {
                Some(last) => {
                    last.alive.add(cohort.alive);
                    last.deaths.append(&mut cohort.deaths);
                    last.deaths.sort_by_key(|d| d.census);
                }
                None => merged.push(cohort),
            }
        }
        for cohort in &mut merged {
            cohort.deaths.dedup_by(|later, kept| {
                let same = later.census == kept.census;
                if same {
                    kept.tally.add(later.tally);
                }
                same
            });
            cohort.deaths.shrink_to_fit();
        }
        merged.shrink_to_fit();
        row.cohorts = merged;
        for births in &mut row.births {
            births.census /= 2;
        }
        // Of two that fall together the later count is that of the census kept.
        row.births.dedup_by(|later, kept| {
            let same = later.census == kept.census;
            if same {
                *kept = *later;
            }
            same
        });
        row.births.shrink_to_fit();
    }
}

impl Row {
    /// Size of the largest object at the last census.
    pub fn largest_bytes(&self) -> u64 {
        self.largest_last
    }

    /// Samples born up to a census. Before the stack was first followed: spread as those of the whole process were.
    pub fn births_at(&self, census: usize, all: &[Census]) -> f64 {
        let known = self.births.partition_point(|b| usize::from(b.census) <= census);
        if let Some(births) = known.checked_sub(1).and_then(|at| self.births.get(at)) {
            return f64::from(births.samples);
        }
        let Some(first) = self.births.first() else { return 0.0 };
        let of_process = |census: usize| all.get(census).map_or(0.0, |c| c.births);
        let then = of_process(usize::from(first.census));
        if then > 0.0 { f64::from(first.samples) * of_process(census) / then } else { 0.0 }
    }
}

/// Makes room for one more. By half: most lists here stay at one to three entries, where doubling begins with four.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 2 + 1);
    }
}

impl Taking<'_> {
    /// An object that is alive.
    pub fn object(&mut self, row: u32, born_ns: i64, size_bytes: u64, tally: Tally) {
        let cohorts = &mut *self.cohorts;
        let cell = cohorts.cell(born_ns);
        if cell.saturating_add(cohorts.resolution_ns) > self.at_ns {
            return;
        }
        if !cohorts.rows.contains_key(&row) {
            // About what a row costs with its first cohort; the true sum is looked at after each census.
            if cohorts.rows.len() * (size_of::<(u32, Row)>() + 4 * size_of::<Cohort>()) > cohorts.memory_limit
            {
                cohorts.rows_dropped += 1;
                return;
            }
            cohorts.rows.insert(row, Row::default());
        }
        let Some(row) = cohorts.rows.get_mut(&row) else { return };
        row.largest_now = row.largest_now.max(size_bytes);
        // Mostly the last one or one of the last.
        let at = row.cohorts.partition_point(|c| c.born_ns < cell);
        match row.cohorts.get_mut(at).filter(|c| c.born_ns == cell) {
            Some(cohort) => cohort.next.add(tally),
            None => {
                grow(&mut row.cohorts);
                let alive = Tally::default();
                row.cohorts.insert(at, Cohort { born_ns: cell, alive, deaths: Vec::new(), next: tally });
            }
        }
    }

    /// Samples of a stack born since the start. Stacks without mature objects may be told or not.
    pub fn births(&mut self, row: u32, samples: f64) {
        if let Some(row) = self.cohorts.rows.get_mut(&row) {
            row.births_now = samples;
        }
    }

    /// Ends the census.
    pub fn finish(self) {
        let cohorts = self.cohorts;
        let number = cohorts.censuses.len().saturating_sub(1) as u16;
        for row in cohorts.rows.values_mut() {
            let samples = row.births_now as f32;
            if row.births.last().is_none_or(|last| last.samples != samples) {
                grow(&mut row.births);
                row.births.push(Births { census: number, samples });
            }
            for cohort in &mut row.cohorts {
                if let Some(tally) = cohort.alive.lost(cohort.next) {
                    grow(&mut cohort.deaths);
                    cohort.deaths.push(Deaths { census: number, tally });
                }
                cohort.alive = std::mem::take(&mut cohort.next);
            }
            let doubled =
                row.largest.last().is_none_or(|last| row.largest_now as f64 >= DOUBLED * last.bytes as f64);
            if doubled && row.largest_now > 0 {
                grow(&mut row.largest);
                row.largest.push(Largest { at_ns: self.at_ns, bytes: row.largest_now });
            }
            row.largest_last = std::mem::take(&mut row.largest_now);
        }
        let over = |c: &Cohorts| c.memory_bytes() > c.memory_limit;
        while cohorts.censuses.len().is_multiple_of(2)
            && (cohorts.censuses.len() >= MOST_CENSUSES
                || (cohorts.censuses.len() >= FEWEST_CENSUSES && over(cohorts)))
        {
            cohorts.thin();
        }
        while over(cohorts) && !cohorts.rows.is_empty() {
            cohorts.drop_small_rows();
        }
    }
}

#[cfg(test)]
mod tests;
