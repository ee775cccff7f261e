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
            let rule = tables.around(lookup).and_then(|own| cfi::compile(own, lookup, &mut scratch));
            if let (Some(rule), Step::Caller(expected)) = (rule, &step) {
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
    assert!(
        turns.taken * 2 > turns.checked,
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
