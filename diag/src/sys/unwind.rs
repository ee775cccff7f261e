//! Walks the current thread's stack by framehop, inside an allocation.
//!
//! - Reads only `sp..high` of a map that the kernel confirmed ([`super::stack_bounds`]).
//! - Never allocates: `MustNotAllocateDuringUnwind`, caches made beforehand.
//! - The module list is replaced as a whole by [`Walker::refresh`]; a walk holds one cache's lock, and the old list is
//!   freed only after each of those locks has been taken once.
//! - Addresses come out ready for a look-up: framehop's `address_for_lookup` is the one place of the minus-one rule.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use framehop::{ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind, Unwinder};

use super::lock::{Guard, Lock};
use super::modules::{self, Bytes, Module};

#[cfg(target_arch = "aarch64")]
mod arch {
    pub(super) use framehop::aarch64::{
        CacheAarch64 as Cache, PtrAuthMask, UnwindRegsAarch64 as Regs, UnwinderAarch64 as ArchUnwinder,
    };
}
#[cfg(target_arch = "x86_64")]
mod arch {
    pub(super) use framehop::x86_64::{
        CacheX86_64 as Cache, UnwindRegsX86_64 as Regs, UnwinderX86_64 as ArchUnwinder,
    };
}

type ModuleUnwinder = arch::ArchUnwinder<Bytes, MustNotAllocateDuringUnwind>;
type WalkCache = arch::Cache<MustNotAllocateDuringUnwind>;

/// Unwind tables of shared libraries are copied up to this total; those beyond stay without.
const COPY_BUDGET_BYTES: usize = 64 << 20;

/// The registers a walk starts from.
pub(crate) struct Registers {
    pc: u64,
    sp: u64,
    fp: u64,
    #[cfg(target_arch = "aarch64")]
    lr: u64,
}

impl Registers {
    /// Of the function this is inlined into.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn here() -> Self {
        let (pc, sp, fp);
        // SAFETY: copies three registers.
        unsafe {
            std::arch::asm!("lea {pc}, [rip]", "mov {sp}, rsp", "mov {fp}, rbp",
                pc = out(reg) pc, sp = out(reg) sp, fp = out(reg) fp, options(nostack, nomem, preserves_flags));
        }
        Self { pc, sp, fp }
    }

    /// Of the function this is inlined into.
    #[inline(always)]
    #[cfg(target_arch = "aarch64")]
    pub(crate) fn here() -> Self {
        let (pc, sp, fp, lr);
        // SAFETY: copies four registers.
        unsafe {
            std::arch::asm!("adr {pc}, .", "mov {sp}, sp", "mov {fp}, x29", "mov {lr}, x30",
                pc = out(reg) pc, sp = out(reg) sp, fp = out(reg) fp, lr = out(reg) lr,
                options(nostack, nomem, preserves_flags));
        }
        Self { pc, sp, fp, lr }
    }

    pub(crate) fn stack_pointer(&self) -> usize {
        self.sp as usize
    }

    #[cfg(target_arch = "x86_64")]
    fn for_framehop(&self) -> arch::Regs {
        arch::Regs::new(self.pc, self.sp, self.fp)
    }

    #[cfg(target_arch = "aarch64")]
    fn for_framehop(&self) -> arch::Regs {
        // User addresses have at most 48 bits with a signed-pointer layout; the rest is the signature.
        arch::Regs::new_with_ptr_auth_mask(PtrAuthMask::new_24_40(), self.lr, self.sp, self.fp)
    }
}
#[cfg(target_arch = "aarch64")]
use arch::PtrAuthMask;

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WalkEnd {
    /// At the root.
    Root,
    /// The buffer was full.
    BufferFull,
    /// No rule for an address, or it led outside the stack.
    Lost,
}

/// Walks stacks of the process.
pub(crate) struct Walker {
    unwinder: AtomicPtr<ModuleUnwinder>,
    caches: Box<[Lock<WalkCache>]>,
    next_cache: AtomicU32,
    table_bytes: AtomicU64,
}

impl Walker {
    /// Without modules yet; see [`refresh`](Self::refresh).
    pub(crate) fn new() -> Self {
        let cpus = std::thread::available_parallelism().map_or(4, usize::from);
        let caches = (0..(2 * cpus).clamp(4, 64)).map(|_| Lock::new(WalkCache::new_in())).collect();
        Self {
            unwinder: AtomicPtr::new(Box::into_raw(Box::new(ModuleUnwinder::new()))),
            caches,
            next_cache: AtomicU32::new(0),
            table_bytes: AtomicU64::new(0),
        }
    }

    /// Takes the process's modules as they are now. Not inside an allocation. One caller at a time.
    pub(crate) fn refresh(&self, known: &[Module]) -> Vec<Module> {
        let modules = modules::loaded(known, COPY_BUDGET_BYTES);
        let mut unwinder = ModuleUnwinder::new();
        for module in &modules {
            if let Some(module) = for_framehop(module) {
                unwinder.add_module(module);
            }
        }
        self.table_bytes.store(modules.iter().map(|m| m.copied_bytes() as u64).sum(), Ordering::Relaxed);
        let old = self.unwinder.swap(Box::into_raw(Box::new(unwinder)), Ordering::AcqRel);
        for cache in &self.caches {
            drop(cache.lock());
        }
        // SAFETY: `old` came from Box::into_raw and nobody can load it any more. A walk loads the pointer while it holds
        // a cache's lock; each lock was free once after the swap, so no walk that saw `old` is still under way.
        drop(unsafe { Box::from_raw(old) });
        modules
    }

    /// Bytes this walker holds: caches and copied tables.
    pub(crate) fn memory_bytes(&self) -> u64 {
        // A cache is dominated by gimli's preallocated rows (4 x 192 rules) and 509 cached rules.
        const CACHE_BYTES: u64 = 32 << 10;
        self.caches.len() as u64 * CACHE_BYTES + self.table_bytes.load(Ordering::Relaxed)
    }

    /// Writes the frames of the stack to `out`, innermost first, and says how many and why it ended.
    /// `high` is the end of the map that holds the stack pointer. Runs inside an allocation.
    pub(crate) fn walk(&self, regs: &Registers, high: usize, out: &mut [u64]) -> (usize, WalkEnd) {
        let mut cache = self.free_cache();
        // SAFETY: the pointer is never null, and `refresh` frees it only after this cache's lock was free.
        let unwinder = unsafe { &*self.unwinder.load(Ordering::Acquire) };
        let (low, high) = (regs.sp, high as u64);
        let mut read_stack = |address: u64| {
            if address < low || address.checked_add(8).is_none_or(|end| end > high) || address % 8 != 0 {
                return Err(());
            }
            // SAFETY: inside the mapped, readable stack of this very thread, aligned.
            Ok(unsafe { *(address as *const u64) })
        };
        let mut registers = regs.for_framehop();
        let mut address = FrameAddress::from_instruction_pointer(regs.pc);
        let mut count = 0;
        loop {
            let Some(slot) = out.get_mut(count) else { return (count, WalkEnd::BufferFull) };
            *slot = address.address_for_lookup();
            count += 1;
            match unwinder.unwind_frame(address, &mut registers, &mut cache, &mut read_stack) {
                Ok(Some(return_address)) => match FrameAddress::from_return_address(return_address) {
                    Some(next) => address = next,
                    None => return (count, WalkEnd::Root),
                },
                Ok(None) => return (count, WalkEnd::Root),
                Err(_) => return (count, WalkEnd::Lost),
            }
        }
    }

    fn free_cache(&self) -> Guard<'_, WalkCache> {
        // A thread usually finds the cache it used last, warm; the counter only spreads those that meet.
        let preferred = self.next_cache.load(Ordering::Relaxed) as usize;
        let count = self.caches.len();
        for i in 0..count {
            if let Some(guard) = self.caches.get((preferred + i) % count).and_then(Lock::try_lock) {
                return guard;
            }
        }
        let turn = self.next_cache.fetch_add(1, Ordering::Relaxed) as usize;
        match self.caches.get(turn % count) {
            Some(cache) => cache.lock(),
            None => self.caches[0].lock(),
        }
    }

    /// For fork: every lock, in order.
    pub(crate) fn acquire_all(&self) {
        self.caches.iter().for_each(Lock::acquire);
    }

    /// Their release.
    pub(crate) fn release_all(&self) {
        self.caches.iter().for_each(Lock::release);
    }
}

impl Drop for Walker {
    fn drop(&mut self) {
        // SAFETY: from Box::into_raw, and `&mut self` means that nobody walks.
        drop(unsafe { Box::from_raw(*self.unwinder.get_mut()) });
    }
}

fn for_framehop(module: &Module) -> Option<framehop::Module<Bytes>> {
    let tables = module.unwind_tables.as_ref()?;
    let stated = |at: u64, len: usize| {
        let start = at.wrapping_sub(module.bias);
        start..start + len as u64
    };
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        eh_frame_svma: Some(stated(tables.frames_at, tables.frames.len())),
        eh_frame: Some(tables.frames.clone()),
        eh_frame_hdr_svma: Some(stated(tables.header_at, tables.header.len())),
        eh_frame_hdr: Some(tables.header.clone()),
        ..Default::default()
    };
    Some(framehop::Module::new(module.path.clone(), module.range.clone(), module.bias, sections))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::stack_bounds::map_around;

    #[inline(never)]
    fn descend(depth: u32, walker: &Walker, out: &mut [u64]) -> (usize, WalkEnd) {
        if depth == 0 {
            let regs = Registers::here();
            let high = map_around(regs.stack_pointer()).unwrap().end;
            return walker.walk(&regs, high, out);
        }
        let result = descend(depth - 1, walker, out);
        std::hint::black_box(depth);
        result
    }

    #[test]
    fn finds_every_frame_to_the_root() {
        let walker = Walker::new();
        let modules = walker.refresh(&[]);
        let mut out = [0; 256];
        let (count, end) = descend(30, &walker, &mut out);
        assert_eq!(end, WalkEnd::Root);
        let me = modules[0].function_around(descend as *const () as u64).unwrap();
        let own = out[..count].iter().filter(|a| me.contains(a)).count();
        assert_eq!(own, 31, "one frame a call");
        assert!(count > 33, "and the test harness below");
    }

    #[test]
    fn a_full_buffer_is_said() {
        let walker = Walker::new();
        walker.refresh(&[]);
        let mut out = [0; 8];
        assert_eq!(descend(30, &walker, &mut out), (8, WalkEnd::BufferFull));
    }

    #[test]
    fn walks_go_on_while_modules_are_replaced() {
        let walker = Walker::new();
        walker.refresh(&[]);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..2_000 {
                        let mut out = [0; 128];
                        assert_eq!(descend(10, &walker, &mut out).1, WalkEnd::Root);
                    }
                });
            }
            for _ in 0..50 {
                walker.refresh(&[]);
            }
        });
    }
}
