//! What the host declares of its own structures: the most bytes one may take, how many items it has now.
//!
//! A verdict reads them: growth towards a declared cap is no leak, growth beyond it is one. Declarations last as long as
//! their guard. [`MOST`] are kept at a time; those beyond do nothing and are counted. Gauges run only when asked for
//! ([`Diag::status`](crate::Diag::status), a verdict), on the asker's thread, outside of the lock.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Problem;
use crate::leak::Declared;
use crate::sys::thread::Unprofiled;

/// Declarations at a time.
const MOST: usize = 256;
/// Longest name, in bytes; the rest is cut.
const NAME_LIMIT: usize = 128;

static DECLARATIONS: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// What a gauge reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct GaugeReading {
    /// Items now; `None` when that cannot be known at the moment.
    pub len: Option<u64>,
    /// Items that there is room for, where that means something.
    pub capacity: Option<u64>,
}

/// The number of items.
impl From<usize> for GaugeReading {
    fn from(len: usize) -> Self {
        Self { len: Some(len as u64), capacity: None }
    }
}

/// The number of items and the room for them.
impl From<(usize, usize)> for GaugeReading {
    fn from((len, capacity): (usize, usize)) -> Self {
        Self { len: Some(len as u64), capacity: Some(capacity as u64) }
    }
}

/// `None`: not to be had now.
impl<R: Into<GaugeReading>> From<Option<R>> for GaugeReading {
    fn from(reading: Option<R>) -> Self {
        reading.map(Into::into).unwrap_or_default()
    }
}

/// Keeps a declaration; it ends with the guard.
#[derive(Debug)]
#[must_use = "the declaration ends when this is dropped; keep it beside the structure, or call forever()"]
pub struct Declaration {
    entry: Option<Arc<Entry>>,
}

struct Entry {
    name: String,
    site: &'static Location<'static>,
    what: What,
}

enum What {
    Cap(u64),
    Gauge {
        read: Box<dyn Fn() -> GaugeReading + Send + Sync>,
        /// It panicked once and is not asked again.
        panicked: AtomicBool,
    },
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("site", &self.site).finish_non_exhaustive()
    }
}

/// Declares the most bytes that a structure is meant to take: a cache's bound, a pool's size.
///
/// The name is best a part of the path of the code that fills it (`sessions` of `shop::sessions::Store::insert`); the file
/// of the call counts as well. Keep the guard as long as the structure lives.
///
/// ```
/// struct Sessions {
///     // ...
///     _cap: diag::Declaration,
/// }
/// let sessions = Sessions { _cap: diag::declare_cap("sessions", 64 << 20) };
/// # drop(sessions);
/// ```
#[track_caller]
pub fn declare_cap(name: impl Into<String>, bytes: u64) -> Declaration {
    declare(name.into(), What::Cap(bytes))
}

/// Declares how to learn the number of items of a structure: a length, a length with a capacity, or an option of those.
///
/// `read` is called when somebody asks, on a thread of diag's; it should not wait long, so `try_lock` rather than `lock`. If
/// it panics, it is not called again. It may still run for a moment after the guard is dropped.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// let sessions = Arc::new(Mutex::new(std::collections::HashMap::<u64, String>::new()));
/// let seen = Arc::clone(&sessions);
/// let _gauge = diag::gauge("sessions", move || seen.try_lock().ok().map(|s| (s.len(), s.capacity())));
/// ```
#[track_caller]
pub fn gauge<R: Into<GaugeReading>>(
    name: impl Into<String>,
    read: impl Fn() -> R + Send + Sync + 'static,
) -> Declaration {
    let read = Box::new(move || read().into());
    declare(name.into(), What::Gauge { read, panicked: AtomicBool::new(false) })
}

#[track_caller]
fn declare(mut name: String, what: What) -> Declaration {
    name.truncate(name.floor_char_boundary(NAME_LIMIT));
    let entry = Arc::new(Entry { name, site: Location::caller(), what });
    let mut all = lock();
    if all.len() >= MOST {
        drop(all);
        REFUSED.fetch_add(1, Ordering::Relaxed);
        return Declaration { entry: None };
    }
    all.push(Arc::clone(&entry));
    Declaration { entry: Some(entry) }
}

impl Declaration {
    /// Lets the declaration stand for the life of the process.
    pub fn forever(mut self) {
        self.entry = None;
    }
}

impl Drop for Declaration {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let mut all = lock();
        let gone = all.iter().position(|e| Arc::ptr_eq(e, &entry)).map(|at| all.remove(at));
        // The host's closure is dropped outside of the lock: it may declare or end declarations itself.
        drop(all);
        drop((gone, entry));
    }
}

fn lock() -> MutexGuard<'static, Vec<Arc<Entry>>> {
    DECLARATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Declarations that were ignored, and gauges that are.
pub(crate) fn problems() -> Vec<Problem> {
    let refused = REFUSED.load(Ordering::Relaxed);
    let ignored = (refused > 0).then(|| Problem {
        part: "declared".into(),
        what: format!(
            "{refused} caps or gauges were declared beyond the {MOST} that are kept, and are ignored"
        ),
        next: "declare a structure once, not once a request, and keep its guard only as long as it lives"
            .into(),
    });
    let all = lock().clone();
    let broken = all.iter().filter(|entry| entry.has_panicked()).map(|entry| Problem {
        part: "declared".into(),
        what: format!("the gauge of {} at {} panicked, and is not asked again", entry.name, entry.site),
        next: "see standard error for the panic; a gauge should only read".into(),
    });
    ignored.into_iter().chain(broken).collect()
}

/// All that is declared now. Declarations of one name and file are one structure: their numbers are added up, as for
/// the shards of a map; the line is that of the cap, or else of the first gauge. Asks the gauges.
pub(crate) fn snapshot() -> Vec<Declared> {
    let _unprofiled = Unprofiled::begin();
    let mut all = lock().clone();
    all.sort_by_key(|e| (e.name.clone(), e.site.file(), matches!(e.what, What::Gauge { .. }), e.site.line()));
    let mut out: Vec<Declared> = Vec::new();
    for entry in all {
        let same = |d: &Declared| d.name == entry.name && d.site_file == entry.site.file();
        if !out.last().is_some_and(same) {
            out.push(Declared {
                name: entry.name.clone(),
                site_file: entry.site.file().to_owned(),
                site_line: entry.site.line(),
                ..Declared::default()
            });
        }
        if let Some(declared) = out.last_mut() {
            entry.add_to(declared);
        }
    }
    out
}

impl Entry {
    fn add_to(&self, declared: &mut Declared) {
        match &self.what {
            What::Cap(bytes) => add(&mut declared.cap_bytes, Some(*bytes)),
            What::Gauge { read, panicked } => {
                if panicked.load(Ordering::Relaxed) {
                    return;
                }
                match catch_unwind(AssertUnwindSafe(read)) {
                    Ok(reading) => {
                        add(&mut declared.len, reading.len);
                        add(&mut declared.capacity, reading.capacity);
                    }
                    Err(_) => panicked.store(true, Ordering::Relaxed),
                }
            }
        }
    }

    fn has_panicked(&self) -> bool {
        matches!(&self.what, What::Gauge { panicked, .. } if panicked.load(Ordering::Relaxed))
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}
