//! The code of this process: its object files as they come and go, and the walker over their unwind tables.
//!
//! One for the process, made by the first collector that needs it, never dropped. Not a collector's own, so that heap and
//! CPU profiles share one set of tables and one cache of rules.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::fork::{self, ForkSafe};
use super::lock::Lock;
use super::modules::Module;
use super::unwind::Walker;

/// Modules remembered, unloaded ones included.
const MODULES_KEPT: usize = 4096;

/// See the module.
pub(crate) struct Code {
    walker: Walker,
    /// Every module seen since the start; those loaded now first. Replaced as a whole.
    modules: Lock<Arc<Modules>>,
    /// Process id of whoever refreshes the modules now, or 0; a forked child takes over from a vanished thread.
    refreshing: AtomicU32,
}

/// The object files of the process.
#[derive(Default)]
pub(crate) struct Modules {
    pub(crate) list: Vec<Module>,
    generation: (u64, u64),
}

impl Code {
    /// That of the process, with the modules as loaded when it was first asked for.
    pub(crate) fn of_process() -> io::Result<&'static Self> {
        static CODE: OnceLock<&'static Code> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = CODE.get() {
            return Ok(known);
        }
        let code = Self {
            walker: Walker::new()?,
            modules: Lock::new(Arc::default()),
            refreshing: AtomicU32::new(0),
        };
        let code: &'static Self = Box::leak(Box::new(code));
        code.refresh();
        fork::guard(code);
        Ok(CODE.get_or_init(|| code))
    }

    pub(crate) fn walker(&self) -> &Walker {
        &self.walker
    }

    /// The modules, those loaded now first.
    pub(crate) fn modules(&self) -> Arc<Modules> {
        Arc::clone(&self.modules.lock())
    }

    /// Looks whether files were loaded or unloaded, and takes them over. Not inside an allocation.
    pub(crate) fn refresh(&self) {
        let (me, known) = (std::process::id(), self.modules());
        let generation = super::modules::generation();
        if known.generation == generation && !known.list.is_empty() {
            return;
        }
        // No lock is held across the loader's: the thread that has that one may be forking, and wait for ours.
        if self.refreshing.swap(me, Ordering::AcqRel) == me {
            return;
        }
        let mut list = self.walker.refresh(&known.list);
        // Those that are gone stay, behind, to name addresses of stacks that were taken while they were there.
        for old in &known.list {
            if list.len() < MODULES_KEPT
                && !list.iter().any(|m| m.range == old.range && m.build_id == old.build_id)
            {
                list.push(Module { unwind_tables: None, ..old.clone() });
            }
        }
        let new = Arc::new(Modules { list, generation });
        let old = std::mem::replace(&mut *self.modules.lock(), new);
        drop(old);
        self.refreshing.store(0, Ordering::Release);
    }
}

impl ForkSafe for Code {
    fn before_fork(&self) {
        self.walker.acquire_all();
        self.modules.acquire();
    }

    fn after_fork(&self) {
        self.modules.release();
        self.walker.release_all();
    }
}
