//! Walks the current thread's stack, inside an allocation or a signal handler.
//!
//! - x86-64: rules compiled from call frame information and kept in a shared, lock-free cache ([`super::cfi`]); what has
//!   no such rule goes to framehop. Elsewhere framehop does all.
//! - Reads only `sp..high` of a map that the kernel confirmed ([`super::stack_bounds`]).
//! - Never allocates: fixed scratch space, made beforehand, one of a few behind a lock, needed only off the fast path.
//! - The module list is replaced as a whole by [`Walker::refresh`]. Who reads it holds one scratch space's lock; the old
//!   list is freed only after each of those locks has been taken once, and then the rules are forgotten.
//! - A signal handler takes no lock: it follows cached rules and those of the main program, which the sampler makes beforehand
//!   ([`super::program_rules`]), only ([`Walker::walk_cached_in_handler`]). Where it gets stuck,
//!   somebody else goes on from there on a copy of the stack ([`Walker::resume`]), and the rules are known the next time.
//! - What a thread's last walk found, and still is there, is taken over: [`recall`].
//! - Addresses come out ready for a look-up: framehop's `address_for_lookup` is the one place of the minus-one rule.

use std::ops::Range;
#[cfg(all(feature = "cpu", target_arch = "x86_64"))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use framehop::{ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind, Unwinder};

#[cfg(target_arch = "x86_64")]
use super::cfi::{self, Rule, RuleCache};
use super::lock::{Guard, Lock};
use super::modules::{self, Bytes, Module, UnwindTables};
#[cfg(all(feature = "cpu", target_arch = "x86_64"))]
use super::program_rules::{Making, ProgramRules};
use recall::{OPAQUE, Recall, Recalls, Taken};

mod recall;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Of the code that a signal interrupted.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn interrupted(context: &libc::ucontext_t) -> Self {
        let of = |register: libc::c_int| context.uc_mcontext.gregs[register as usize] as u64;
        Self { pc: of(libc::REG_RIP), sp: of(libc::REG_RSP), fp: of(libc::REG_RBP) }
    }

    /// Of the code that a signal interrupted.
    #[cfg(target_arch = "aarch64")]
    pub(crate) fn interrupted(context: &libc::ucontext_t) -> Self {
        let machine = &context.uc_mcontext;
        Self { pc: machine.pc, sp: machine.sp, fp: machine.regs[29], lr: machine.regs[30] }
    }

    pub(crate) fn stack_pointer(&self) -> usize {
        self.sp as usize
    }

    #[cfg(target_arch = "x86_64")]
    fn take_over(&mut self, walked: &arch::Regs) {
        (self.sp, self.fp) = (walked.sp(), walked.bp());
    }

    #[cfg(target_arch = "aarch64")]
    fn take_over(&mut self, walked: &arch::Regs) {
        (self.sp, self.fp, self.lr) = (walked.sp(), walked.fp(), walked.lr());
    }

    #[cfg(target_arch = "x86_64")]
    fn for_framehop(&self) -> arch::Regs {
        arch::Regs::new(self.pc, self.sp, self.fp)
    }

    #[cfg(target_arch = "aarch64")]
    fn for_framehop(&self) -> arch::Regs {
        let mask = arch::PtrAuthMask(without_signature(u64::MAX >> 9));
        arch::Regs::new_with_ptr_auth_mask(mask, self.lr, self.sp, self.fp)
    }
}

/// A return address without its signature (pointer authentication of Armv8.3): the processor knows which bits these are, for they are those
/// above the addresses that the kernel gives, 39 to 52 bits.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn without_signature(mut address: u64) -> u64 {
    // SAFETY: changes two registers. XPACLRI in its form as a hint, which processors without signatures pass over.
    unsafe {
        std::arch::asm!("mov x30, {address}", "hint #7", "mov {address}, x30",
            address = inout(reg) address, out("x30") _, options(nostack, nomem, preserves_flags));
    }
    address
}

/// Elsewhere there are none.
#[cfg(not(target_arch = "aarch64"))]
#[inline(always)]
fn without_signature(address: u64) -> u64 {
    address
}

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
    tables: AtomicPtr<Tables>,
    scratch: Box<[Lock<Scratch>]>,
    next_scratch: AtomicU32,
    #[cfg(target_arch = "x86_64")]
    rules: RuleCache,
    /// By block of code, for instructions that a signal interrupts: of these there are many more than return addresses, and a handler
    /// that meets one for the first time would copy the stack.
    #[cfg(target_arch = "x86_64")]
    blocks: RuleCache,
    /// Made for the CPU sampler.
    #[cfg(all(feature = "cpu", target_arch = "x86_64"))]
    program: OnceLock<ProgramRules>,
    recalls: Recalls,
    table_bytes: AtomicU64,
}

/// What is known of the modules.
struct Tables {
    framehop: ModuleUnwinder,
    /// By address, ascending.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    modules: Vec<(Range<u64>, UnwindTables)>,
}

struct Scratch {
    framehop: WalkCache,
    #[cfg(target_arch = "x86_64")]
    cfi: cfi::Scratch,
}

/// Where the walk is.
struct Position {
    address: FrameAddress,
    /// `pc` is the return address, or at first the instruction.
    registers: Registers,
    /// Where the frame pointer was read in the last step; 0 where it is as before, [`OPAQUE`] where that is not known.
    fp_at: u64,
}

enum Step {
    Caller(u64),
    Root,
    Lost,
    /// No rule is known. Elsewhere framehop finds it, whatever that takes.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Unknown,
}

/// Where a walk reads the stack.
trait StackMemory {
    /// The word at an address, if it can be read.
    fn read(&self, address: u64) -> Option<u64>;
}

/// The readable part of this thread's stack.
struct Stack(Range<u64>);

impl StackMemory for Stack {
    #[inline]
    fn read(&self, address: u64) -> Option<u64> {
        // Without bounds the end is 0, and nothing is inside.
        let inside =
            address >= self.0.start && address <= self.0.end.saturating_sub(8) && address.is_multiple_of(8);
        // SAFETY: inside the mapped, readable stack of this very thread, aligned.
        inside.then(|| unsafe { *(address as *const u64) })
    }
}

/// A part of a stack, copied.
pub(crate) struct StackCopy<'a> {
    /// Address that the first word was at.
    pub(crate) start: u64,
    pub(crate) words: &'a [u64],
}

impl StackMemory for StackCopy<'_> {
    fn read(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.start).filter(|offset| offset.is_multiple_of(8))?;
        self.words.get(usize::try_from(offset / 8).ok()?).copied()
    }
}

/// Where a walk by cached rules did not know how to go on: at the frame that it noted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    registers: Registers,
    /// Of the frame: a return address, or else the interrupted instruction.
    is_return: bool,
}

// SAFETY: zero registers and `false` are valid values.
unsafe impl super::region::Zeroed for Stuck {}

impl Stuck {
    /// From here on the stack is needed.
    pub(crate) fn stack_pointer(&self) -> u64 {
        self.registers.sp
    }

    fn position(self) -> Position {
        let pc = self.registers.pc;
        let address = match self.is_return {
            true => FrameAddress::from_return_address(pc),
            false => None,
        };
        Position {
            address: address.unwrap_or(FrameAddress::from_instruction_pointer(pc)),
            registers: self.registers,
            fp_at: OPAQUE,
        }
    }
}

/// How a walk by cached rules ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CachedEnd {
    Ended(WalkEnd),
    Stuck(Stuck),
}

impl Walker {
    /// Without modules yet; see [`refresh`](Self::refresh).
    pub(crate) fn new() -> std::io::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(4, usize::from);
        let scratch = || {
            Lock::new(Scratch {
                framehop: WalkCache::new_in(),
                #[cfg(target_arch = "x86_64")]
                cfi: cfi::Scratch::new_in(),
            })
        };
        let tables = Tables { framehop: ModuleUnwinder::new(), modules: Vec::new() };
        Ok(Self {
            tables: AtomicPtr::new(Box::into_raw(Box::new(tables))),
            scratch: (0..(2 * cpus).clamp(4, 64)).map(|_| scratch()).collect(),
            next_scratch: AtomicU32::new(0),
            #[cfg(target_arch = "x86_64")]
            rules: RuleCache::new()?,
            #[cfg(target_arch = "x86_64")]
            blocks: RuleCache::new()?,
            #[cfg(all(feature = "cpu", target_arch = "x86_64"))]
            program: OnceLock::new(),
            recalls: Recalls::new()?,
            table_bytes: AtomicU64::new(0),
        })
    }

    /// Takes the process's modules as they are now. Not inside an allocation. One caller at a time.
    pub(crate) fn refresh(&self, known: &[Module]) -> Vec<Module> {
        let modules = modules::loaded(known, COPY_BUDGET_BYTES);
        let mut tables = Tables { framehop: ModuleUnwinder::new(), modules: Vec::new() };
        for module in &modules {
            if let (Some(for_framehop), Some(own)) = (for_framehop(module), &module.unwind_tables) {
                tables.framehop.add_module(for_framehop);
                tables.modules.push((module.range.clone(), own.clone()));
            }
        }
        tables.modules.sort_by_key(|(range, _)| range.start);
        self.table_bytes.store(modules.iter().map(|m| m.copied_bytes() as u64).sum(), Ordering::Relaxed);
        let old = self.tables.swap(Box::into_raw(Box::new(tables)), Ordering::AcqRel);
        for scratch in &self.scratch {
            drop(scratch.lock());
        }
        // Whoever adds a rule holds a scratch space, so from here on rules come from the new tables only.
        #[cfg(target_arch = "x86_64")]
        [&self.rules, &self.blocks].into_iter().for_each(RuleCache::clear);
        self.recalls.forget();
        // SAFETY: `old` came from Box::into_raw and nobody can load it any more. It is loaded only while a scratch space's
        // lock is held; each lock was free once after the swap, so nobody who saw `old` is still at work.
        drop(unsafe { Box::from_raw(old) });
        modules
    }

    /// Nothing is taken over from the walks so far. For the benchmark.
    #[cfg(feature = "cpu")]
    pub(crate) fn forget_walks(&self) {
        self.recalls.forget();
    }

    /// Bytes this walker holds: scratch space, rules and copied tables.
    pub(crate) fn memory_bytes(&self) -> u64 {
        // framehop's cache is dominated by gimli's preallocated rows (4 x 192 rules) and 509 cached rules.
        const FRAMEHOP_CACHE_BYTES: u64 = 32 << 10;
        #[cfg(target_arch = "x86_64")]
        let own = self.rules.memory_bytes() + self.blocks.memory_bytes();
        #[cfg(not(target_arch = "x86_64"))]
        let own = 0;
        let scratch = FRAMEHOP_CACHE_BYTES + size_of::<Lock<Scratch>>() as u64;
        own + self.recalls.memory_bytes()
            + self.scratch.len() as u64 * scratch
            + self.table_bytes.load(Ordering::Relaxed)
    }

    /// Writes the frames of the stack to `out`, innermost first, and says how many and why it ended.
    /// `high` is the end of the map that holds the stack pointer. Runs inside an allocation.
    pub(crate) fn walk(&self, registers: Registers, high: usize, out: &mut [u64]) -> (usize, WalkEnd) {
        let stack = Stack(registers.sp..high as u64);
        let mut at = Position::first(registers);
        let Some(first) = out.first_mut() else { return (0, WalkEnd::BufferFull) };
        *first = at.address.address_for_lookup();
        let mut recall = self.recalls.begin();
        let walked = go_on(&mut at, &stack, out, 1, &mut recall, |at| self.step(at, &stack));
        recall.leave();
        ended(walked)
    }

    /// The same, from a place where a walk got stuck after `count` frames. Takes locks; not for handlers.
    pub(crate) fn resume(
        &self,
        stuck: Stuck,
        stack: &StackCopy<'_>,
        out: &mut [u64],
        count: usize,
    ) -> (usize, WalkEnd) {
        #[cfg(target_arch = "x86_64")]
        if !stuck.is_return {
            self.learn_around(stuck.registers.pc);
        }
        let (mut at, mut recall) = (stuck.position(), Recall::without());
        ended(go_on(&mut at, stack, out, count, &mut recall, |at| self.step(at, stack)))
    }

    /// As [`walk`](Self::walk), with the rules that are known already: no lock, no system call, little stack.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn walk_cached_in_handler(
        &self,
        registers: Registers,
        high: usize,
        out: &mut [u64],
    ) -> (usize, CachedEnd) {
        let stack = Stack(registers.sp..high as u64);
        let mut at = Position::first(registers);
        let Some(first) = out.first_mut() else { return (0, CachedEnd::Ended(WalkEnd::BufferFull)) };
        *first = at.address.address_for_lookup();
        let mut recall = self.recalls.begin();
        let known = |at: &mut Position| {
            let address = at.address.address_for_lookup();
            let is_interrupted = matches!(at.address, FrameAddress::InstructionPointer(_));
            let of_block = || self.blocks.get(cfi::block(address)).filter(|_| is_interrupted);
            match self
                .rules
                .get(address)
                .or_else(|| self.of_program(address, is_interrupted))
                .or_else(of_block)
            {
                Some(rule) => at.follow(rule, &stack),
                None => Step::Unknown,
            }
        };
        let (count, end) = go_on(&mut at, &stack, out, 1, &mut recall, known);
        recall.leave();
        let stuck = Stuck { registers: at.registers, is_return: count > 1 };
        (count, end.map_or(CachedEnd::Stuck(stuck), CachedEnd::Ended))
    }

    /// By the table of the main program, when that was made.
    #[cfg(all(feature = "cpu", target_arch = "x86_64"))]
    fn of_program(&self, address: u64, is_interrupted: bool) -> Option<Rule> {
        let rule = self.program.get()?.get(address)?;
        if !is_interrupted {
            // Found sooner the next time. It never becomes another one, for the program stays where it is.
            self.rules.put(address, rule);
        }
        Some(rule)
    }

    /// Nobody makes one without the CPU sampler.
    #[cfg(all(not(feature = "cpu"), target_arch = "x86_64"))]
    fn of_program(&self, _address: u64, _is_interrupted: bool) -> Option<Rule> {
        None
    }

    /// A table of the main program's rules, to be made and given to [`know_program`](Self::know_program). `None` when it is known, or has no
    /// unwind tables.
    #[cfg(all(feature = "cpu", target_arch = "x86_64"))]
    pub(crate) fn program_to_learn(&self) -> Option<Making> {
        if self.program.get().is_some() {
            return None;
        }
        let scratch = self.free_scratch();
        // SAFETY: as in `step_slowly`.
        let tables = unsafe { &*self.tables.load(Ordering::Acquire) };
        let of_program = |(_, own): &&(Range<u64>, UnwindTables)| matches!(own.frames, Bytes::InPlace(_));
        let (range, own) = tables.modules.iter().find(of_program).cloned()?;
        drop(scratch);
        Some(Making::new(own, range.start))
    }

    /// Bytes of the table of the program's rules, which [`memory_bytes`](Self::memory_bytes) leaves out.
    #[cfg(feature = "cpu")]
    pub(crate) fn program_bytes(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        return self.program.get().map_or(0, ProgramRules::memory_bytes);
        #[cfg(not(target_arch = "x86_64"))]
        0
    }

    /// From now on handlers know them.
    #[cfg(all(feature = "cpu", target_arch = "x86_64"))]
    pub(crate) fn know_program(&self, rules: ProgramRules) {
        _ = self.program.set(rules);
    }

    /// Without a cache of rules every walk goes on elsewhere.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn walk_cached_in_handler(
        &self,
        registers: Registers,
        _high: usize,
        out: &mut [u64],
    ) -> (usize, CachedEnd) {
        let Some(first) = out.first_mut() else { return (0, CachedEnd::Ended(WalkEnd::BufferFull)) };
        *first = FrameAddress::from_instruction_pointer(registers.pc).address_for_lookup();
        (1, CachedEnd::Stuck(Stuck { registers, is_return: false }))
    }

    #[inline]
    #[cfg(target_arch = "x86_64")]
    fn step(&self, at: &mut Position, stack: &impl StackMemory) -> Step {
        match self.rules.get(at.address.address_for_lookup()) {
            Some(rule) => at.follow(rule, stack),
            None => self.step_slowly(at, stack),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn step(&self, at: &mut Position, stack: &impl StackMemory) -> Step {
        self.step_slowly(at, stack)
    }

    #[cold]
    fn step_slowly(&self, at: &mut Position, stack: &impl StackMemory) -> Step {
        let mut scratch = self.free_scratch();
        // SAFETY: never null, and `refresh` frees it only after this scratch space's lock was free.
        let tables = unsafe { &*self.tables.load(Ordering::Acquire) };
        #[cfg(target_arch = "x86_64")]
        {
            let address = at.address.address_for_lookup();
            let found = tables.around(address).and_then(|own| cfi::compile(own, address, &mut scratch.cfi));
            if let Some((rule, _)) = found {
                self.rules.put(address, rule);
                return at.follow(rule, stack);
            }
        }
        at.ask_framehop(&tables.framehop, &mut scratch.framehop, stack)
    }

    /// Keeps the rule of an interrupted instruction, for its neighbours too. Takes locks; not for handlers.
    #[cfg(target_arch = "x86_64")]
    fn learn_around(&self, address: u64) {
        let mut scratch = self.free_scratch();
        // SAFETY: as in `step_slowly`.
        let tables = unsafe { &*self.tables.load(Ordering::Acquire) };
        let found = tables.around(address).and_then(|own| cfi::compile(own, address, &mut scratch.cfi));
        if let Some((rule, range)) = found {
            self.rules.put(address, rule);
            cfi::blocks_around(address, &range).for_each(|block| self.blocks.put(block, rule));
        }
    }

    fn free_scratch(&self) -> Guard<'_, Scratch> {
        // The first one is usually free and warm; the counter only spreads those that meet.
        if let Some(guard) = self.scratch.iter().find_map(Lock::try_lock) {
            return guard;
        }
        let turn = self.next_scratch.fetch_add(1, Ordering::Relaxed) as usize % self.scratch.len();
        self.scratch[turn].lock()
    }

    /// For fork: every lock, in order.
    pub(crate) fn acquire_all(&self) {
        self.scratch.iter().for_each(Lock::acquire);
    }

    /// Their release.
    pub(crate) fn release_all(&self) {
        self.scratch.iter().for_each(Lock::release);
    }
}

impl Drop for Walker {
    fn drop(&mut self) {
        // SAFETY: from Box::into_raw, and `&mut self` means that nobody walks.
        drop(unsafe { Box::from_raw(*self.tables.get_mut()) });
    }
}

impl Tables {
    #[cfg(target_arch = "x86_64")]
    fn around(&self, address: u64) -> Option<&UnwindTables> {
        let after = self.modules.partition_point(|(range, _)| range.start <= address);
        let (range, tables) = self.modules.get(after.checked_sub(1)?)?;
        range.contains(&address).then_some(tables)
    }
}

/// Writes the callers of a frame to `out` from `count` on; `None` where the next step is not known.
#[inline]
fn go_on<S: StackMemory>(
    at: &mut Position,
    stack: &S,
    out: &mut [u64],
    mut count: usize,
    recall: &mut Recall<'_>,
    step: impl Fn(&mut Position) -> Step,
) -> (usize, Option<WalkEnd>) {
    loop {
        match step(at) {
            Step::Caller(return_address) => match FrameAddress::from_return_address(return_address) {
                Some(next) => {
                    at.address = next;
                    at.registers.pc = return_address;
                }
                None => return (count, Some(WalkEnd::Root)),
            },
            Step::Root => return (count, Some(WalkEnd::Root)),
            Step::Lost => return (count, Some(WalkEnd::Lost)),
            Step::Unknown => return (count, None),
        }
        let Some(place) = out.get_mut(count) else { return (count, Some(WalkEnd::BufferFull)) };
        *place = at.address.address_for_lookup();
        count += 1;
        if recall.reached(at, stack, out, &mut count) == Taken::Full {
            return (count, Some(WalkEnd::BufferFull));
        }
    }
}

/// Of a walk that knows each step, or asks.
fn ended((count, end): (usize, Option<WalkEnd>)) -> (usize, WalkEnd) {
    (count, end.unwrap_or(WalkEnd::Lost))
}

impl Position {
    fn first(registers: Registers) -> Self {
        let address = FrameAddress::from_instruction_pointer(registers.pc);
        Self { address, registers, fp_at: OPAQUE }
    }

    /// The caller that a walk found before.
    #[inline]
    fn caller(&self, return_address: u64, sp: u64, fp: u64, fp_at: u64) -> Option<Self> {
        let address = FrameAddress::from_return_address(return_address)?;
        let mut registers = self.registers;
        (registers.pc, registers.sp, registers.fp) = (return_address, sp, fp);
        Some(Self { address, registers, fp_at })
    }

    #[inline]
    #[cfg(target_arch = "x86_64")]
    fn follow(&mut self, rule: Rule, stack: &impl StackMemory) -> Step {
        let Rule::Caller { cfa_from_rbp, cfa_offset, rbp_below_cfa } = rule else { return Step::Root };
        let base = if cfa_from_rbp { self.registers.fp } else { self.registers.sp };
        let cfa = base.wrapping_add(u64::from(cfa_offset));
        // The stack only ever shrinks towards the root.
        if cfa <= self.registers.sp {
            return Step::Lost;
        }
        let Some(return_address) = stack.read(cfa.wrapping_sub(8)) else { return Step::Lost };
        self.fp_at = 0;
        if rbp_below_cfa > 0 {
            self.fp_at = cfa.wrapping_sub(u64::from(rbp_below_cfa));
            let Some(fp) = stack.read(self.fp_at) else { return Step::Lost };
            self.registers.fp = fp;
        }
        self.registers.sp = cfa;
        Step::Caller(return_address)
    }

    fn ask_framehop(
        &mut self,
        unwinder: &ModuleUnwinder,
        cache: &mut WalkCache,
        stack: &impl StackMemory,
    ) -> Step {
        let mut registers = self.registers.for_framehop();
        let mut read_stack = |address| stack.read(address).ok_or(());
        let step = match unwinder.unwind_frame(self.address, &mut registers, cache, &mut read_stack) {
            // framehop leaves the signature where its rule cannot be cached.
            Ok(Some(return_address)) => Step::Caller(without_signature(return_address)),
            Ok(None) => Step::Root,
            Err(_) => Step::Lost,
        };
        self.registers.take_over(&registers);
        self.fp_at = OPAQUE;
        step
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
mod tests;
