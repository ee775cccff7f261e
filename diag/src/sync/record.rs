//! The tables of the two profiles, and how a sample gets into them.
//!
//! One for the process, made when a profile is first switched on, never dropped. Taking a sample walks the stack and looks it up: no
//! allocation, no lock but for a stack that is new. The thread is marked busy meanwhile, so nothing of it is sampled.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{draw, sampling, switch};
use crate::sites::{Sites, Total};
use crate::sys::code::Code;
use crate::sys::fork::{self, ForkSafe};
use crate::sys::own_stack::{self, MAX_FRAMES};
use crate::sys::thread::{self, with_state};
use crate::sys::unwind::{Registers, WalkEnd};

/// Of one profile.
const TABLE_BYTES: usize = 4 << 20;

/// Which profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Mutex,
    Block,
}

/// See the module.
pub(super) struct Tables {
    pub(super) code: &'static Code,
    mutex: Sites,
    block: Sites,
}

struct Losses {
    /// Samples whose stack found no place.
    table_full: AtomicU64,
    /// Samples while the thread was in diag's own code.
    reentered: AtomicU64,
    /// Waiters beyond those that a lock can count.
    not_charged: AtomicU64,
    truncated_stacks: AtomicU64,
    unwind_errors: AtomicU64,
    no_stack_bounds: AtomicU64,
    /// Tables that could not be made.
    no_memory: AtomicU64,
}

static TABLES: OnceLock<Tables> = OnceLock::new();
static LOSSES: Losses = Losses {
    table_full: AtomicU64::new(0),
    reentered: AtomicU64::new(0),
    not_charged: AtomicU64::new(0),
    truncated_stacks: AtomicU64::new(0),
    unwind_errors: AtomicU64::new(0),
    no_stack_bounds: AtomicU64::new(0),
    no_memory: AtomicU64::new(0),
};

impl Tables {
    fn new() -> std::io::Result<Self> {
        let (mutex, block) = (Sites::new(TABLE_BYTES)?, Sites::new(TABLE_BYTES)?);
        Ok(Self { code: Code::of_process()?, mutex, block })
    }

    pub(super) fn of(&self, kind: Kind) -> &Sites {
        match kind {
            Kind::Mutex => &self.mutex,
            Kind::Block => &self.block,
        }
    }
}

impl ForkSafe for Tables {
    fn before_fork(&self) {
        self.mutex.acquire_all();
        self.block.acquire_all();
    }

    fn after_fork(&self) {
        self.block.release_all();
        self.mutex.release_all();
    }
}

/// The tables, once there are any.
pub(super) fn tables() -> Option<&'static Tables> {
    TABLES.get()
}

/// Makes the tables. One caller at a time. Without memory for them samples are lost, and counted.
pub(super) fn prepare() {
    let _unprofiled = thread::Unprofiled::begin();
    match TABLES.get() {
        Some(tables) => tables.code.refresh(),
        None => {
            if let Ok(new) = Tables::new()
                && TABLES.set(new).is_ok()
                && let Some(tables) = TABLES.get()
            {
                fork::guard(tables);
            }
        }
    }
}

/// A lock was released for which others have waited so long, by the caller's caller.
#[inline(never)]
pub(super) fn release(owed_ns: u64) {
    if let Some(sample) = sampling::of_release(owed_ns, switch::mutex_profile_fraction(), draw::next()) {
        let registers = Registers::here();
        add(Kind::Mutex, site(Kind::Mutex, registers), sample);
    }
}

/// A wait has ended, at the site or else of the caller's caller.
#[inline(never)]
pub(super) fn wait(waited_ns: u64, known: Option<u32>) {
    if let Some(sample) = sampling::of_wait(waited_ns, switch::block_profile_rate(), draw::next()) {
        let registers = Registers::here();
        add(Kind::Block, known.or_else(|| site(Kind::Block, registers)), sample);
    }
}

/// The caller's caller, as a site of the block profile; `None` while that is off.
#[cfg(feature = "tokio")]
#[inline(never)]
pub(super) fn waiting_site() -> Option<u32> {
    let registers = Registers::here();
    if switch::block_profile_rate() > 0 { site(Kind::Block, registers) } else { None }
}

/// A waiter whose wait nobody will be charged with.
pub(super) fn not_charged() {
    LOSSES.not_charged.fetch_add(1, Ordering::Relaxed);
}

fn add(kind: Kind, site: Option<u32>, sample: Total) {
    match (tables(), site) {
        (Some(tables), Some(site)) => tables.of(kind).add(site, sample),
        (None, _) => _ = LOSSES.no_memory.fetch_add(1, Ordering::Relaxed),
        // Of diag itself, or counted.
        (Some(_), None) => {}
    }
}

/// The site of a stack, in the thread's context. The function that holds these registers is the first frame, and left out.
fn site(kind: Kind, registers: Registers) -> Option<u32> {
    let tables = tables()?;
    with_state(|state| {
        if state.is_unprofiled() {
            return None;
        }
        let Some(_busy) = state.enter() else {
            LOSSES.reentered.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let errno = thread::errno();
        let mut frames = [0u64; MAX_FRAMES];
        let (count, end) = own_stack::walk(tables.code.walker(), state, registers, &mut frames);
        thread::set_errno(errno);
        let lost = match end {
            Some(WalkEnd::Root) => None,
            Some(WalkEnd::BufferFull) => Some(&LOSSES.truncated_stacks),
            Some(WalkEnd::Lost) => Some(&LOSSES.unwind_errors),
            None => Some(&LOSSES.no_stack_bounds),
        };
        if let Some(counter) = lost {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let frames = frames.get(1..count).unwrap_or_default();
        let context = u64::from(state.context.get());
        Some(tables.of(kind).site(frames, context).unwrap_or_else(|| {
            LOSSES.table_full.fetch_add(1, Ordering::Relaxed);
            Sites::OVERFLOW
        }))
    })
}

/// Samples taken so far.
pub(super) fn samples(kind: Kind) -> u64 {
    let Some(tables) = tables() else { return 0 };
    let sites = tables.of(kind);
    (0..sites.len() as u32).filter_map(|site| sites.get(site)).map(|site| site.samples).sum()
}

/// Memory of the tables, in use.
pub(super) fn memory_bytes() -> u64 {
    tables().map_or(0, |tables| tables.mutex.memory_bytes() + tables.block.memory_bytes())
}

/// What was lost, by name; zeros left out.
pub(super) fn losses() -> BTreeMap<String, u64> {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    [
        ("site_table_full", of(&LOSSES.table_full)),
        ("reentered_samples", of(&LOSSES.reentered)),
        ("waiters_not_charged", of(&LOSSES.not_charged)),
        ("truncated_stacks", of(&LOSSES.truncated_stacks)),
        ("unwind_errors", of(&LOSSES.unwind_errors)),
        ("no_stack_bounds", of(&LOSSES.no_stack_bounds)),
        ("no_memory_for_tables", of(&LOSSES.no_memory)),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(what, count)| (what.to_owned(), count))
    .collect()
}
