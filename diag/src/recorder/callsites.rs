//! The places in the code that spans and events come from, each with a number, for the life of the process.
//!
//! Looking one up takes no lock: a table of addresses that only grows. [`CALLSITES`] are kept; those beyond have the number 0 and
//! are counted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tracing_core::Metadata;

use crate::sys::lock::Lock;

/// Callsites kept. A service has some hundreds.
const CALLSITES: usize = 4096;
/// Places of the table: 128 KiB.
const PLACES: usize = 2 * CALLSITES;
/// Of what found no place.
pub(super) const UNKNOWN: u32 = 0;

struct Place {
    address: AtomicUsize,
    number: AtomicU32,
}

pub(super) struct Callsites {
    places: Box<[Place]>,
    /// Position plus one is the number.
    list: Lock<Vec<&'static Metadata<'static>>>,
    without_place: AtomicU64,
}

impl Callsites {
    /// Those of the process.
    pub(super) fn of_process() -> &'static Self {
        static TABLE: OnceLock<Callsites> = OnceLock::new();
        TABLE.get_or_init(|| Self {
            places: (0..PLACES)
                .map(|_| Place { address: AtomicUsize::new(0), number: AtomicU32::new(UNKNOWN) })
                .collect(),
            list: Lock::new(Vec::with_capacity(CALLSITES)),
            without_place: AtomicU64::new(0),
        })
    }

    /// The number of a callsite.
    #[inline]
    pub(super) fn number(&self, of: &'static Metadata<'static>) -> u32 {
        let address = std::ptr::from_ref(of).addr();
        match self.find(address) {
            Some(number) => number,
            None => self.add(address, of),
        }
    }

    /// The known number of an address.
    #[inline]
    fn find(&self, address: usize) -> Option<u32> {
        for at in walk(address) {
            let place = self.places.get(at)?;
            match place.address.load(Ordering::Acquire) {
                0 => return None,
                known if known == address => return Some(place.number.load(Ordering::Relaxed)),
                _ => {}
            }
        }
        None
    }

    #[cold]
    fn add(&self, address: usize, of: &'static Metadata<'static>) -> u32 {
        let mut list = self.list.lock();
        // Another thread may have been quicker.
        if let Some(known) = self.find(address) {
            return known;
        }
        if list.len() >= CALLSITES {
            self.without_place.fetch_add(1, Ordering::Relaxed);
            return UNKNOWN;
        }
        list.push(of);
        let number = list.len() as u32;
        let free = walk(address)
            .filter_map(|at| self.places.get(at))
            .find(|place| place.address.load(Ordering::Relaxed) == 0);
        if let Some(place) = free {
            place.number.store(number, Ordering::Relaxed);
            place.address.store(address, Ordering::Release);
        }
        number
    }

    /// All of them; position plus one is the number.
    pub(super) fn all(&self) -> Vec<&'static Metadata<'static>> {
        self.list.lock().clone()
    }

    /// How often one was asked for that found no place.
    pub(super) fn without_place(&self) -> u64 {
        self.without_place.load(Ordering::Relaxed)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        (PLACES * size_of::<Place>() + CALLSITES * size_of::<usize>()) as u64
    }

    /// For fork.
    pub(super) fn acquire(&self) {
        self.list.acquire();
    }

    /// For fork.
    pub(super) fn release(&self) {
        self.list.release();
    }
}

/// Positions to look at, in order.
#[inline]
fn walk(address: usize) -> impl Iterator<Item = usize> {
    // Metadata are statics, some 100 bytes apart: the multiplication spreads what differs.
    let start = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..PLACES).map(move |step| (start as usize + step) % PLACES)
}
