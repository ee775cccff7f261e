//! Leaks in tests: runs a workload many times and fails when what it allocates stays, iteration after iteration.
//!
//! Every allocation is recorded meanwhile (a sampling period of one byte, unless there are very many), so there is no chance
//! in it, and iterations are the clock. What is born in one and is alive after the next counts as mature. A site leaks when it has mature objects of
//! every quarter of the iterations, and of the last not clearly fewer than of those before: a cache that fills levels
//! off, and one that is full replaces its old entries. A container that grows is one object: it leaks when it has grown by
//! half in each of the last three doublings of the number of iterations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::face::Diag;
use crate::heap::{Heap, HeapError, LiveSample};
use crate::leaks::stacks_by_number;
use crate::profile::Profile;
use crate::profile::frames::{FrameClasses, ShownFrame, name};
use crate::profile::units;

/// Fewest iterations that can be told apart in quarters.
const FEWEST_ITERATIONS: u32 = 8;
const QUARTERS: usize = 4;
/// Growth of a container over two doublings of the iterations.
const CONTAINER_GROWTH: f64 = 3.0;
/// A block of less is taken for no container.
const SMALLEST_CONTAINER: f64 = 512.0;
/// After 1/8, 1/4, 1/2 and all of the iterations.
const OCTAVES: usize = 4;
/// Allocations recorded of an iteration, about: a page each while they live.
const RECORDED_AN_ITERATION: f64 = 50_000.0;
/// Allocations of the first iteration, dead ones included, after which it is recorded coarsely.
const MOST_RECORDED: u64 = 500_000;
/// Period of the rest of an iteration that makes too many.
const COARSE_PERIOD: u64 = 16 << 10;
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// One at a time: each would see the other's allocations.
static RUNNING: Mutex<()> = Mutex::new(());

/// How a workload is checked. See [`assert_no_leak!`](crate::assert_no_leak) for the short form.
///
/// ```
/// #[global_allocator]
/// static ALLOC: diag::Allocator = diag::Allocator;
///
/// fn main() -> Result<(), diag::LeakFound> {
///     diag::LeakCheck::new().warmup(20).iterations(100).run(|| {
///         let order = vec![0u8; 1000]; // your workload
///         drop(order);
///     })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct LeakCheck {
    warmup: u32,
    iterations: u32,
    allowed_bytes: f64,
    /// `None`: chosen by what an iteration allocates.
    sample_bytes: Option<u64>,
}

/// What stays of each iteration, or why it could not be told.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeakFound {
    /// Memory stays.
    Leaks {
        /// Iterations after the warm-up.
        iterations: u32,
        /// The sites, most bytes first.
        leaks: Vec<LeakedSite>,
    },
    /// The heap collector does not run.
    Unavailable(HeapError),
}

/// Code whose allocations stay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeakedSite {
    /// First frame of the user's own code.
    pub site: String,
    /// Mature bytes an iteration.
    pub bytes_per_iteration: f64,
    /// Mature objects an iteration; below 1 for a container that grows.
    pub objects_per_iteration: f64,
    /// The stack with most of them, from the allocation outwards.
    pub frames: Vec<ShownFrame>,
}

impl Default for LeakCheck {
    fn default() -> Self {
        Self { warmup: 16, iterations: 64, allowed_bytes: 0.0, sample_bytes: None }
    }
}

impl LeakCheck {
    /// 16 iterations to warm up, 64 that count.
    pub fn new() -> Self {
        Self::default()
    }

    /// Iterations before those that count: long enough for caches and pools to fill.
    #[must_use]
    pub fn warmup(mut self, iterations: u32) -> Self {
        self.warmup = iterations;
        self
    }

    /// Iterations that count, at least 8.
    #[must_use]
    pub fn iterations(mut self, iterations: u32) -> Self {
        self.iterations = iterations.max(FEWEST_ITERATIONS);
        self
    }

    /// Bytes an iteration that a site may keep.
    #[must_use]
    pub fn allow_bytes_per_iteration(mut self, bytes: f64) -> Self {
        self.allowed_bytes = bytes;
        self
    }

    /// Records one allocation in so many bytes. Default: all of them, unless an iteration makes 500,000 or holds 50,000 at
    /// once, for each that is recorded takes a page while it lives; then about 50,000 are recorded, and values are estimates.
    #[must_use]
    pub fn sample_bytes(mut self, bytes: u64) -> Self {
        self.sample_bytes = Some(bytes.max(1));
        self
    }

    /// Runs the workload, once more than was asked for to see how much it allocates. Memory counts whatever thread allocates it, except threads of other tests in the same program.
    /// Checks run one after the other. What lives across iterations is best made by the workload itself or while it warms up:
    /// blocks from before the check are not recorded, and replacing them looks like growth. Needs [`Allocator`](crate::Allocator) as the global allocator.
    ///
    /// # Errors
    /// [`LeakFound`], whose text names the sites with their stacks.
    pub fn run(&self, mut workload: impl FnMut()) -> Result<(), LeakFound> {
        let _one = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let diag = match Diag::running() {
            Some(diag) => diag,
            None => Diag::builder()
                .start()
                .or_else(|e| Diag::running().ok_or(e))
                .map_err(|e| LeakFound::unavailable(e.to_string()))?,
        };
        let heap = *diag.heap().map_err(LeakFound::Unavailable)?;
        if heap.now_ns().is_none() {
            return Err(LeakFound::unavailable("jemalloc's sample hooks are not to be had".to_owned()));
        }
        let restore = Restore { heap, period_bytes: heap.stats().sample_period_bytes };
        let period = self.sample_bytes.map_or_else(|| first_iteration(&heap, &mut workload), Ok);
        let set = |period| heap.set_sample_period_bytes(period).map(drop);
        period.and_then(set).map_err(LeakFound::Unavailable)?;
        let seen = self.measure(&heap, &mut workload);
        drop(restore);
        self.judge(&diag, &heap, &seen)
    }

    /// The iterations, with the time at which each began.
    fn measure(&self, heap: &Heap, workload: &mut impl FnMut()) -> Seen {
        let total = self.warmup + self.iterations;
        let mut seen = {
            let _unprofiled = crate::Unprofiled::begin();
            Seen {
                began_ns: Vec::with_capacity(total as usize + 1),
                octaves: Vec::new(),
                quarters: Vec::new(),
            }
        };
        use_up_gap();
        let quarter_ends: [u32; QUARTERS + 1] = std::array::from_fn(|q| {
            self.warmup + (u64::from(self.iterations) * q as u64 / QUARTERS as u64) as u32
        });
        let octave_ends: [u32; OCTAVES] = std::array::from_fn(|octave| total >> (OCTAVES - 1 - octave));
        for done in 0..=total {
            if done > 0 {
                seen.began_ns.push(heap.now_ns().unwrap_or(0));
                workload_of_leak_check(workload);
            }
            let _unprofiled = crate::Unprofiled::begin();
            if quarter_ends.contains(&done) {
                seen.quarters.push(heap.live());
            }
            if octave_ends.contains(&done) {
                seen.octaves.push(heap.live());
            }
        }
        seen
    }

    fn judge(&self, diag: &Diag, heap: &Heap, seen: &Seen) -> Result<(), LeakFound> {
        let _unprofiled = crate::Unprofiled::begin();
        let by_stack = self.mature(seen);
        let profile =
            heap.stacks_where(|stack| by_stack.contains_key(&stack)).map_err(LeakFound::Unavailable)?;
        #[cfg(feature = "symbols")]
        let profile = diag.symbolize(&profile).map_err(|e| LeakFound::unavailable(e.to_string()))?;
        #[cfg(not(feature = "symbols"))]
        let _ = diag;
        let mut leaks: Vec<LeakedSite> = by_site(&profile, &by_stack)
            .into_values()
            .filter(|site| site.mature.is_leak())
            .map(|site| LeakedSite {
                bytes_per_iteration: site.mature.bytes() / f64::from(self.iterations),
                objects_per_iteration: site.mature.objects() / f64::from(self.iterations),
                site: site.name,
                frames: site.frames,
            })
            .filter(|leak| leak.bytes_per_iteration > self.allowed_bytes)
            .collect();
        leaks.sort_by(|a, b| {
            b.bytes_per_iteration.total_cmp(&a.bytes_per_iteration).then(a.site.cmp(&b.site))
        });
        if leaks.is_empty() { Ok(()) } else { Err(LeakFound::Leaks { iterations: self.iterations, leaks }) }
    }

    /// What stays, by stack.
    fn mature(&self, seen: &Seen) -> BTreeMap<u32, Mature> {
        let mut by_stack: BTreeMap<u32, Mature> = BTreeMap::new();
        let Some(last) = seen.octaves.last() else { return by_stack };
        let counted = self.iterations as usize;
        for object in last {
            let iteration = seen.began_ns.partition_point(|began| *began <= object.born_ns);
            // Numbered from 1. What the last one left is young.
            let Some(number) = iteration.checked_sub(1 + self.warmup as usize) else { continue };
            if number + 1 >= counted {
                continue;
            }
            if let Some(quarter) =
                by_stack.entry(object.stack).or_default().quarters.get_mut(number * QUARTERS / counted)
            {
                quarter.0 += object.objects;
                quarter.1 += object.bytes;
            }
        }
        for (quarter, live) in seen.quarters.iter().enumerate() {
            for object in live {
                if let Some(objects) = by_stack.entry(object.stack).or_default().live.get_mut(quarter) {
                    *objects += object.objects;
                }
            }
        }
        for (octave, live) in seen.octaves.iter().enumerate() {
            for object in live {
                let size = object.bytes / object.objects;
                if let Some(largest) = by_stack.entry(object.stack).or_default().largest.get_mut(octave) {
                    *largest = largest.max(size);
                }
            }
        }
        by_stack
    }
}

/// Puts the sampling period back, also when the workload panics.
struct Restore {
    heap: Heap,
    period_bytes: u64,
}

impl Drop for Restore {
    fn drop(&mut self) {
        // Refused only where setting it was refused before.
        let _ = self.heap.set_sample_period_bytes(self.period_bytes);
    }
}

/// Runs one iteration with everything recorded, and gives the period at which the next ones are: the same, unless that was too
/// much. Then the rest of this one is recorded coarsely.
fn first_iteration(heap: &Heap, workload: &mut impl FnMut()) -> Result<u64, HeapError> {
    heap.set_sample_period_bytes(1)?;
    use_up_gap();
    let before = heap.allocated();
    let (done, heavy) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Ends also when the workload panics.
        let _done = SetOnDrop(&done);
        let spawned = std::thread::Builder::new().name("diag".to_owned()).spawn_scoped(scope, || {
            let _unprofiled = crate::Unprofiled::begin();
            let start = heap.stats();
            while !done.load(Ordering::Acquire) {
                std::thread::sleep(LOOK_EVERY);
                let now = heap.stats();
                let too_many = now.live_samples > start.live_samples + RECORDED_AN_ITERATION as u64
                    || now.samples_total > start.samples_total + MOST_RECORDED;
                if too_many {
                    heavy.store(heap.set_sample_period_bytes(COARSE_PERIOD).is_ok(), Ordering::Release);
                    break;
                }
            }
        });
        // Without the guard nobody would stop a workload that makes millions of blocks.
        if spawned.is_err() {
            heavy.store(heap.set_sample_period_bytes(COARSE_PERIOD).is_ok(), Ordering::Release);
        }
        workload_of_leak_check(workload);
    });
    if !heavy.load(Ordering::Acquire) {
        return Ok(1);
    }
    let bytes = heap.allocated().bytes - before.bytes;
    Ok((bytes / RECORDED_AN_ITERATION) as u64 + 1)
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The gap this thread is in was drawn from the old period.
fn use_up_gap() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(64 << 20)));
}

/// A frame that says whose workload an allocation belongs to. Not inlined, so that it is in every stack.
#[inline(never)]
fn workload_of_leak_check(workload: &mut impl FnMut()) {
    workload();
    std::hint::black_box(());
}

/// What was seen of the iterations.
struct Seen {
    /// When each began.
    began_ns: Vec<i64>,
    /// What was alive after 1/8, 1/4, 1/2 and all of them.
    octaves: Vec<Vec<LiveSample>>,
    /// What was alive after the warm-up and after each quarter of those that count.
    quarters: Vec<Vec<LiveSample>>,
}

/// What is known of a stack or a site.
#[derive(Clone, Copy, Debug, Default)]
struct Mature {
    /// Objects and bytes that stay, by the quarter they were born in.
    quarters: [(f64, f64); QUARTERS],
    /// Objects alive after the warm-up and after each quarter.
    live: [f64; QUARTERS + 1],
    /// Size of the largest object after each octave.
    largest: [f64; OCTAVES],
}

impl Mature {
    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.quarters.iter_mut().zip(other.quarters) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
        for (mine, theirs) in self.live.iter_mut().zip(other.live) {
            *mine += theirs;
        }
        for (mine, theirs) in self.largest.iter_mut().zip(other.largest) {
            *mine = mine.max(theirs);
        }
    }

    fn objects(&self) -> f64 {
        self.quarters.iter().map(|(objects, _)| objects).sum()
    }

    fn bytes(&self) -> f64 {
        let of_objects: f64 = self.quarters.iter().map(|(_, bytes)| bytes).sum();
        let [first, .., last] = self.largest;
        if self.container_grows() { of_objects.max(last - first) } else { of_objects }
    }

    /// By two octaves each: how a container's capacity falls between marks does not matter then.
    fn container_grows(&self) -> bool {
        let [eighth, quarter, half, all] = self.largest;
        eighth > 0.0
            && half >= CONTAINER_GROWTH * eighth
            && all >= CONTAINER_GROWTH * quarter
            && all >= SMALLEST_CONTAINER
    }

    fn is_leak(&self) -> bool {
        let [first, second, third, last] = self.quarters.map(|(objects, _)| objects);
        let each = first.min(second).min(third).min(last) > 0.0;
        let goes_on = last * 2.0 >= first.max(second).max(third);
        // What is born may only take the place of what died.
        let more = self.live.is_sorted_by(|before, after| before < after);
        let [begin, .., end] = self.live;
        let by_chance = 2.0 * self.objects().sqrt();
        (each && goes_on && more && end - begin > by_chance) || self.container_grows()
    }
}

struct Site {
    name: String,
    mature: Mature,
    frames: Vec<ShownFrame>,
    heaviest: f64,
}

/// The stacks by the first frame of the user's own code, without those of other tests.
fn by_site(profile: &Profile, by_stack: &BTreeMap<u32, Mature>) -> BTreeMap<String, Site> {
    let classes = FrameClasses::new(profile);
    let mut sites: BTreeMap<String, Site> = BTreeMap::new();
    for (number, stack) in stacks_by_number(profile) {
        let Some(mature) = by_stack.get(&number) else { continue };
        let frames = classes.shown(profile, stack);
        let has = |wanted: fn(&str) -> bool| frames.iter().any(|f| wanted(&f.function));
        if has(|f| f.starts_with("test::")) && !has(|f| f.contains("workload_of_leak_check")) {
            continue;
        }
        let site = classes.site(profile, stack).map(|at| name(profile, at)).unwrap_or_default();
        let entry = sites.entry(site.clone()).or_insert_with(|| Site {
            name: site,
            mature: Mature::default(),
            frames: Vec::new(),
            heaviest: -1.0,
        });
        entry.mature.add(mature);
        if mature.bytes() > entry.heaviest {
            entry.heaviest = mature.bytes();
            entry.frames = frames;
        }
    }
    sites
}

impl LeakFound {
    fn unavailable(why: String) -> Self {
        Self::Unavailable(HeapError::Unavailable {
            why,
            next: "a leak check needs diag's heap collector: use diag::Allocator as the global allocator of the test".to_owned(),
        })
    }
}

impl std::error::Error for LeakFound {}

impl fmt::Display for LeakFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (iterations, leaks) = match self {
            Self::Unavailable(why) => return write!(f, "the leak check could not run: {why}"),
            Self::Leaks { iterations, leaks } => (iterations, leaks),
        };
        write!(f, "memory stays of each iteration ({iterations} were run after the warm-up):")?;
        for leak in leaks {
            write!(
                f,
                "\n  {}: {} in {:.1} objects an iteration",
                leak.site,
                units::bytes(leak.bytes_per_iteration.round() as i64),
                leak.objects_per_iteration
            )?;
            for frame in &leak.frames {
                if frame.function.contains("workload_of_leak_check") {
                    break;
                }
                match (frame.file.is_empty(), frame.line) {
                    (true, _) => write!(f, "\n    {}", frame.function)?,
                    (false, line) => write!(f, "\n    {}  {}:{line}", frame.function, frame.file)?,
                }
            }
        }
        Ok(())
    }
}

/// Fails the test when a workload leaks: runs it often, warms up, and panics with the sites and stacks of what stays.
///
/// ```
/// #[global_allocator]
/// static ALLOC: diag::Allocator = diag::Allocator;
///
/// fn main() {
///     diag::assert_no_leak!(|| drop(vec![0u8; 100]));
///     diag::assert_no_leak!(warmup = 4, iterations = 32, || drop(String::from("x")));
/// }
/// ```
#[macro_export]
macro_rules! assert_no_leak {
    (warmup = $warmup:expr, iterations = $iterations:expr, $workload:expr $(,)?) => {
        if let Err(found) = $crate::LeakCheck::new().warmup($warmup).iterations($iterations).run($workload) {
            panic!("{found}");
        }
    };
    ($workload:expr $(,)?) => {
        if let Err(found) = $crate::LeakCheck::new().run($workload) {
            panic!("{found}");
        }
    };
}
