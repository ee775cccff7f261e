//! Where tasks come from: the code that spawned them, the type of the future, and the name that the host gave.
//!
//! Sites live as long as the process. [`MOST_SITES`] are kept, and of one place and type [`MOST_NAMES`] names; what finds no
//! room goes to a site that says so, and is counted there like any other. About a kilobyte each, and 400 bytes more for each thread
//! that spawns there or sees a task of it end ([`SITES_IN_PARTS`] sites, [`PARTS`](super::tally::PARTS) threads).

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::tally::Tally;
use crate::sys::thread::Unprofiled;

/// Sites kept.
pub(super) const MOST_SITES: usize = 4096;
/// The first sites count apart for each thread: at most 1.5 MB together.
const SITES_IN_PARTS: usize = 256;
/// Names kept of one place and type.
const MOST_NAMES: u32 = 64;
/// Longest name; the rest is cut.
const NAME_LIMIT: usize = 128;
/// Stands for what found no room.
pub(super) const OTHER: &str = "(other)";

/// How a task is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Of tokio's runtime.
    Task,
    /// Of a `LocalSet`.
    Local,
    /// On a thread for blocking code.
    Blocking,
    /// Tracked in an executor that is not known.
    Other,
}

/// What tells one site from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) at: &'static Location<'static>,
    /// Type of the future, or of the closure of blocking code.
    pub(super) future: &'static str,
    pub(super) future_bytes: usize,
    pub(super) kind: Kind,
    pub(super) name: Option<&'a str>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Site {
    /// Position among all.
    pub(super) number: u32,
    pub(super) at: &'static Location<'static>,
    pub(super) future: &'static str,
    pub(super) future_bytes: usize,
    pub(super) kind: Kind,
    pub(super) name: Option<Box<str>>,
    /// Its place was taken by others: `at` and `future` are those of the first that came late.
    pub(super) overflow: bool,
    #[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
    pub(super) labels: crate::context::Labels,
    pub(super) tally: Tally,
}

/// By content, for the same place and type have other addresses in other parts of the program.
type Key = (&'static str, u32, u32, &'static str, Kind, Option<Box<str>>);

#[derive(Default)]
struct Table {
    list: Vec<&'static Site>,
    index: HashMap<Key, &'static Site>,
    names: HashMap<(&'static str, u32, u32, &'static str), u32>,
}

static TABLE: Mutex<Option<Table>> = Mutex::new(None);
/// Spawns whose place and type found no room.
static WITHOUT_ROOM: AtomicU64 = AtomicU64::new(0);
/// Spawns whose name found no room.
static NAMES_WITHOUT_ROOM: AtomicU64 = AtomicU64::new(0);

fn table() -> MutexGuard<'static, Option<Table>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

const CACHED: usize = 16;
type Cached = Cell<(usize, usize, Option<&'static Site>)>;

thread_local! {
    /// The sites of unnamed tasks this thread has spawned lately, by the addresses of place and type.
    static CACHE: [Cached; CACHED] = const { [const { Cell::new((0, 0, None)) }; CACHED] };
}

/// The site of an origin.
pub(super) fn site(origin: Origin<'_>) -> &'static Site {
    if origin.name.is_some() {
        return find_or_add(origin);
    }
    let at = std::ptr::from_ref(origin.at).addr();
    let of = origin.future.as_ptr().addr();
    let cached = |cache: &[Cached; CACHED]| {
        let slot = cache.get(((at >> 3) ^ (of >> 3) ^ origin.kind as usize) % CACHED)?;
        match slot.get() {
            (a, o, Some(site)) if a == at && o == of && site.kind == origin.kind => Some(site),
            _ => {
                let site = find_or_add(origin);
                slot.set((at, of, Some(site)));
                Some(site)
            }
        }
    };
    CACHE.try_with(cached).ok().flatten().unwrap_or_else(|| find_or_add(origin))
}

/// All sites, by number.
pub(super) fn all() -> Vec<&'static Site> {
    table().as_ref().map(|t| t.list.clone()).unwrap_or_default()
}

/// Tasks spawned, and over.
pub(super) fn totals() -> (u64, u64) {
    let table = table();
    let sites = table.as_ref().map(|t| t.list.as_slice()).unwrap_or_default();
    sites
        .iter()
        .map(|site| site.tally.sum())
        .fold((0, 0), |(spawned, over), sum| (spawned + sum.spawned, over + sum.over()))
}

/// Spawns without a place for their site, and for their name.
pub(super) fn without_room() -> [u64; 2] {
    [&WITHOUT_ROOM, &NAMES_WITHOUT_ROOM].map(|n| n.load(Ordering::Relaxed))
}

/// About what the tables take.
pub(super) fn memory_bytes() -> u64 {
    let table = table();
    let Some(table) = table.as_ref() else { return 0 };
    let entry = size_of::<(Key, &Site)>() + size_of::<Site>() + 8;
    let parts: usize = table.list.iter().map(|site| site.tally.memory_bytes()).sum();
    (table.list.len() * entry + parts + table.names.capacity() * size_of::<((&str, u32, u32, &str), u32)>())
        as u64
}

fn find_or_add(mut origin: Origin<'_>) -> &'static Site {
    let _unprofiled = Unprofiled::begin();
    let mut guard = table();
    let table = guard.get_or_insert_default();
    let cut = origin.name.map(|name| name.get(..name.floor_char_boundary(NAME_LIMIT)).unwrap_or_default());
    origin.name = cut;
    if let Some(known) = table.index.get(&key(origin)) {
        return known;
    }
    if origin.name.is_some() {
        let place = (origin.at.file(), origin.at.line(), origin.at.column(), origin.future);
        let names = table.names.entry(place).or_default();
        if *names >= MOST_NAMES {
            NAMES_WITHOUT_ROOM.fetch_add(1, Ordering::Relaxed);
            origin.name = Some(OTHER);
            if let Some(known) = table.index.get(&key(origin)) {
                return known;
            }
        } else {
            *names += 1;
        }
    }
    // The last ones are for what found no room, one a kind.
    let overflow = table.list.len() >= MOST_SITES - 4;
    if overflow {
        WITHOUT_ROOM.fetch_add(1, Ordering::Relaxed);
        if let Some(known) = table.list.iter().find(|site| site.overflow && site.kind == origin.kind) {
            return known;
        }
    }
    let site: &'static Site = Box::leak(Box::new(new(origin, table.list.len() as u32, overflow)));
    table.list.push(site);
    if !overflow {
        table.index.insert(key(origin), site);
    }
    site
}

fn key(origin: Origin<'_>) -> Key {
    let at = origin.at;
    (at.file(), at.line(), at.column(), origin.future, origin.kind, origin.name.map(Box::from))
}

fn new(origin: Origin<'_>, number: u32, overflow: bool) -> Site {
    #[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
    let labels = {
        let place = || format!("{}:{}", origin.at.file(), origin.at.line());
        let words = if overflow { OTHER.to_owned() } else { origin.name.map_or_else(place, str::to_owned) };
        crate::context::Labels::alone("task", &words)
    };
    Site {
        number,
        at: origin.at,
        future: origin.future,
        future_bytes: origin.future_bytes,
        kind: origin.kind,
        name: origin.name.map(Box::from),
        overflow,
        #[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
        labels,
        tally: Tally::new((number as usize) < SITES_IN_PARTS),
    }
}
