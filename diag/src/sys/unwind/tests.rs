//! Walks of this very stack, with framehop alone as the oracle.

use super::*;
use crate::sys::stack_bounds::map_around;

#[inline(never)]
fn descend(depth: u32, walker: &Walker, out: &mut [u64]) -> (usize, WalkEnd) {
    if depth == 0 {
        let regs = Registers::here();
        let high = map_around(regs.stack_pointer()).unwrap().end;
        return walker.walk(regs, high, out);
    }
    let result = descend(depth - 1, walker, out);
    std::hint::black_box(depth);
    result
}

#[test]
fn finds_every_frame_to_the_root() {
    let walker = Walker::new().unwrap();
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
fn cached_rules_and_framehop_agree() {
    let walker = Walker::new().unwrap();
    walker.refresh(&[]);
    let (mut first, mut cached) = ([0; 256], [0; 256]);
    // The first walk compiles, the second finds; framehop alone is the oracle.
    let n = descend(30, &walker, &mut first).0;
    let again = descend(30, &walker, &mut cached).0;
    assert_eq!(n, again);
    let framehop_only = framehop_walk(30, &walker);
    // The functions differ at the leaf; from `descend` on they are the same calls.
    let common = |frames: &[u64]| frames.iter().rev().take(n - 34).copied().collect::<Vec<_>>();
    assert_eq!(common(&first[..n]), common(&cached[..n]));
    assert!(framehop_only.len() + 2 >= n, "{} against {n}", framehop_only.len());
}

#[inline(never)]
fn framehop_walk(depth: u32, walker: &Walker) -> Vec<u64> {
    if depth > 0 {
        let frames = framehop_walk(depth - 1, walker);
        return std::hint::black_box(frames);
    }
    let registers = Registers::here();
    let stack = Stack(registers.sp..map_around(registers.stack_pointer()).unwrap().end as u64);
    // SAFETY: nobody refreshes this walker.
    let tables = unsafe { &*walker.tables.load(Ordering::Acquire) };
    let mut cache = WalkCache::new_in();
    let mut at = Position::first(registers);
    let mut frames = Vec::new();
    loop {
        frames.push(at.address.address_for_lookup());
        let before = at.registers;
        let step = at.ask_framehop(&tables.framehop, &mut cache, &stack);
        #[cfg(target_arch = "x86_64")]
        {
            // Each single step agrees with the compiled rule, where there is one.
            let lookup = at.address.address_for_lookup();
            let mut scratch = cfi::Scratch::new_in();
            let found = tables.around(lookup).and_then(|own| cfi::compile(own, lookup, &mut scratch));
            if let (Some((rule, range)), Step::Caller(expected)) = (found, &step) {
                assert!(range.contains(&lookup), "{lookup:#x} in {range:x?}");
                let mut ours = Position { address: at.address, registers: before, fp_at: OPAQUE };
                let Step::Caller(found) = ours.follow(rule, &stack) else { panic!("lost at {lookup:#x}") };
                assert_eq!((found, ours.registers.sp), (*expected, at.registers.sp), "at {lookup:#x}");
                assert_eq!(ours.registers.fp, at.registers.fp, "rbp at {lookup:#x}");
            }
        }
        match step {
            Step::Caller(ra) => match FrameAddress::from_return_address(ra) {
                Some(next) => at.address = next,
                None => return frames,
            },
            _ => return frames,
        }
    }
}

/// An interrupted instruction is known by its neighbours: each rule learnt for a block is that of every address in it.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_rule_of_a_block_is_that_of_all_its_addresses() {
    let walker = Walker::new().unwrap();
    walker.refresh(&[]);
    let mut frames = [0; 128];
    let (n, _) = descend(3, &walker, &mut frames);
    // SAFETY: nobody refreshes this walker.
    let tables = unsafe { &*walker.tables.load(Ordering::Acquire) };
    let (mut scratch, mut blocks) = (cfi::Scratch::new_in(), 0);
    for &frame in &frames[..n] {
        // Into the functions before and behind, too.
        for at in [frame, frame - 700, frame + 700] {
            walker.learn_around(at);
            for address in at - 3000..at + 3000 {
                let Some(rule) = walker.blocks.get(cfi::block(address)) else { continue };
                let own = tables.around(address).unwrap();
                assert_eq!(cfi::compile(own, address, &mut scratch).unwrap().0, rule, "{address:#x}");
                blocks += 1;
            }
        }
    }
    assert!(blocks > 2_000, "{blocks} addresses were known");
    let known =
        || frames[..n].iter().filter(|frame| walker.blocks.get(cfi::block(**frame)).is_some()).count();
    assert!(known() > 0);
    walker.refresh(&[]);
    assert_eq!(known(), 0, "what was learnt of old modules is forgotten");
}

/// A handler on code that nobody has met goes on as far as the program's own code reaches.
#[test]
#[cfg(all(feature = "cpu", target_arch = "x86_64"))]
fn the_table_of_the_program_leads_through_all_of_it() {
    #[inline(never)]
    fn below(depth: u32, walker: &Walker) -> (Vec<u64>, CachedEnd) {
        if depth > 0 {
            return std::hint::black_box(below(depth - 1, walker));
        }
        let (registers, mut out) = (Registers::here(), [0; 128]);
        let high = map_around(registers.stack_pointer()).unwrap().end;
        let (count, end) = walker.walk_cached_in_handler(registers, high, &mut out);
        (out[..count].to_vec(), end)
    }
    let walker = Walker::new().unwrap();
    let modules = walker.refresh(&[]);
    let (frames, end) = below(10, &walker);
    assert!(frames.len() == 1 && matches!(end, CachedEnd::Stuck(_)), "nothing is known: {frames:x?}");
    let mut making = walker.program_to_learn().unwrap();
    while making.go_on(std::time::Duration::from_millis(5)) {}
    walker.know_program(making.finish());
    assert!(walker.program_bytes() > 0, "its memory is stated");
    assert!(walker.program_to_learn().is_none(), "once is enough");
    // Every walk anew, and no rule from elsewhere.
    for _ in 0..2 {
        walker.forget_walks();
        walker.rules.clear();
        let (frames, end) = below(10, &walker);
        let me = modules[0].function_around(below as *const () as u64).unwrap();
        assert_eq!(frames.iter().filter(|a| me.contains(a)).count(), 11, "one frame a call");
        // The thread's first functions are libc's, or there is no libc.
        match end {
            CachedEnd::Stuck(stuck) => assert!(!modules[0].range.contains(&stuck.registers.pc)),
            CachedEnd::Ended(end) => assert_eq!(end, WalkEnd::Root),
        }
    }
}

#[test]
fn a_full_buffer_is_said() {
    let walker = Walker::new().unwrap();
    walker.refresh(&[]);
    let mut out = [0; 8];
    assert_eq!(descend(30, &walker, &mut out), (8, WalkEnd::BufferFull));
}

#[test]
fn a_stack_without_bounds_is_not_read() {
    let word = 7u64;
    let at = &raw const word as u64;
    assert_eq!(Stack(at..at + 8).read(at), Some(7));
    for end in [0, 7, at, at + 7] {
        assert_eq!(Stack(at..end).read(at), None, "{end:#x}");
    }
}

#[test]
fn walks_go_on_while_modules_are_replaced() {
    let walker = Walker::new().unwrap();
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

/// Stacks that change at random places and depths, each walked with what the last one left and without.
#[test]
fn frames_taken_over_are_the_frames_that_are_there() {
    let walker = Walker::new().unwrap();
    walker.refresh(&[]);
    let mut turns = Turns { state: 0x9e37_79b9_7f4a_7c15, checked: 0, taken: 0 };
    for _ in 0..300 {
        let depth = turns.next() % 40;
        wander(depth, &mut turns, &walker);
    }
    assert!(turns.checked > 3_000, "{}", turns.checked);
    // framehop's steps, which are all of them elsewhere, are never taken over.
    assert!(
        cfg!(not(target_arch = "x86_64")) || turns.taken * 2 > turns.checked,
        "{} of {} were much the same as before",
        turns.taken,
        turns.checked
    );
}

struct Turns {
    state: u64,
    checked: u64,
    taken: u64,
}

impl Turns {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 11
    }
}

/// Goes deeper through one of several calls, with more or less on the stack, and sometimes looks on the way.
#[inline(never)]
fn wander(depth: u64, turns: &mut Turns, walker: &Walker) {
    if depth == 0 || turns.next().is_multiple_of(4) {
        compare(turns, walker);
    }
    if depth == 0 {
        return;
    }
    match turns.next() % 4 {
        0 => wander(depth - 1, turns, walker),
        1 => padded::<3>(depth - 1, turns, walker),
        2 => padded::<40>(depth - 1, turns, walker),
        _ => {
            wander(depth / 2, turns, walker);
            wander(depth - 1, turns, walker);
        }
    }
    std::hint::black_box(depth);
}

#[inline(never)]
fn padded<const N: usize>(depth: u64, turns: &mut Turns, walker: &Walker) {
    let room = std::hint::black_box([depth; N]);
    wander(depth, turns, walker);
    std::hint::black_box(room);
}

#[inline(never)]
fn compare(turns: &mut Turns, walker: &Walker) {
    let registers = Registers::here();
    let high = map_around(registers.stack_pointer()).unwrap().end;
    let (mut with, mut without) = ([0; 256], [0; 256]);
    let (count, end) = walker.walk(registers, high, &mut with);
    let stack = Stack(registers.sp..high as u64);
    let mut at = Position::first(registers);
    without[0] = at.address.address_for_lookup();
    let plain = go_on(&mut at, &stack, &mut without, 1, &mut Recall::without(), |at| walker.step(at, &stack));
    assert_eq!((count, end), ended(plain));
    assert_eq!(with[..count], without[..count]);
    turns.checked += 1;
    let (left, taken_over) = walker.recalls.last();
    assert_eq!(left, count - 1, "all callers");
    turns.taken += u64::from(taken_over * 2 > count);
}

#[cfg(target_arch = "aarch64")]
mod signed {
    use std::ffi::c_void;

    use super::*;

    // As C libraries are built with -mbranch-protection: the return address is saved with its signature.
    std::arch::global_asm!(
        ".pushsection .text.diag_test_signed,\"ax\"",
        ".balign 4",
        ".type diag_test_signed_call, %function",
        "diag_test_signed_call:",
        ".cfi_startproc",
        "hint #25",
        ".cfi_negate_ra_state",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset w29, -16",
        ".cfi_offset w30, -8",
        "mov x29, sp",
        "blr x1",
        "ldp x29, x30, [sp], #16",
        ".cfi_restore w30",
        ".cfi_restore w29",
        ".cfi_def_cfa_offset 0",
        "hint #29",
        ".cfi_negate_ra_state",
        "ret",
        ".cfi_endproc",
        ".size diag_test_signed_call, . - diag_test_signed_call",
        ".popsection",
    );

    unsafe extern "C" {
        fn diag_test_signed_call(with: *mut c_void, call: extern "C" fn(*mut c_void));
    }

    struct Walked<'a> {
        walker: &'a Walker,
        frames: Vec<u64>,
        end: WalkEnd,
    }

    extern "C" fn look(walked: *mut c_void) {
        // SAFETY: the one that `through` passed, alive and used by nobody else during the call.
        let walked = unsafe { &mut *walked.cast::<Walked<'_>>() };
        let mut out = [0; 256];
        let (count, end) = descend(3, walked.walker, &mut out);
        (walked.frames, walked.end) = (out[..count].to_vec(), end);
    }

    /// Calls `look` through a frame that is signed.
    extern "C" fn through(walked: *mut c_void) {
        // SAFETY: the function above keeps the calling convention.
        unsafe { diag_test_signed_call(walked, look) };
    }

    #[test]
    fn walks_go_through_functions_that_sign() {
        let walker = Walker::new().unwrap();
        let modules = walker.refresh(&[]);
        let mut walked = Walked { walker: &walker, frames: vec![], end: WalkEnd::Lost };
        through((&raw mut walked).cast());
        assert_eq!(walked.end, WalkEnd::Root);
        let at = |function: u64| {
            let around = modules[0].function_around(function).unwrap();
            walked.frames.iter().position(|frame| around.contains(frame))
        };
        let signed = at(diag_test_signed_call as *const () as u64);
        assert_eq!(signed, Some(5), "{:x?}", walked.frames);
        let caller = at(walks_go_through_functions_that_sign as *const () as u64);
        assert!(caller.is_some_and(|caller| caller > 5), "{:x?}", walked.frames);
    }

    /// Programs lie at 0xaaaa_0000_0000 on most kernels, with 48 bits; emulators put them lower.
    #[test]
    fn signatures_go_and_addresses_stay() {
        let here = 0u64;
        let mut addresses =
            vec![signatures_go_and_addresses_stay as *const () as u64, &raw const here as u64];
        for high in [1u64 << 40, 1 << 46, 0xaaaa_0000_0000, 0xfff0_0000_0000] {
            // SAFETY: a new mapping where there is none, or none.
            let page = unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
                libc::mmap(high as *mut c_void, 1, libc::PROT_READ, flags, -1, 0)
            };
            if page != libc::MAP_FAILED {
                addresses.push(page as u64);
                // SAFETY: the page from above.
                unsafe { libc::munmap(page, 1) };
            }
        }
        for address in addresses {
            assert_eq!(without_signature(address), address, "{address:x}");
            let mut signed = address;
            // SAFETY: PACIASP as a hint: changes x30 by the stack pointer and the key of the process.
            unsafe {
                std::arch::asm!("mov x30, {a}", "hint #25", "mov {a}, x30", a = inout(reg) signed, out("x30") _)
            };
            assert_eq!(without_signature(signed), address, "{signed:x}");
        }
    }
}
