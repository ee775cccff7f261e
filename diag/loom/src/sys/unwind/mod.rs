//! What walks leave for the next: places that threads share.

#[path = "../../../../src/sys/unwind/recall.rs"]
mod recall;

use loom::sync::Arc;
use loom::thread::spawn;

use crate::check;
use recall::{Recall, Recalls};

#[derive(Clone, Copy)]
pub(crate) struct Stuck;

impl Stuck {
    pub(crate) fn stack_pointer(&self) -> u64 {
        0
    }
}

impl crate::sys::region::Zeroed for Stuck {
    fn zero() -> Self {
        Self
    }
}

pub(crate) struct StackCopy<'a> {
    pub(crate) start: u64,
    pub(crate) words: &'a [u64],
}

#[derive(Clone, Copy, Debug)]
struct Registers {
    pc: u64,
    sp: u64,
    fp: u64,
}

struct Address(u64);

impl Address {
    fn address_for_lookup(&self) -> u64 {
        self.0 - 1
    }
}

struct Position {
    address: Address,
    registers: Registers,
    fp_at: u64,
}

impl Position {
    fn at(pc: u64, sp: u64) -> Self {
        Self { address: Address(pc), registers: Registers { pc, sp, fp: 0 }, fp_at: 0 }
    }

    fn caller(&self, pc: u64, sp: u64, fp: u64, fp_at: u64) -> Option<Self> {
        Some(Self { address: Address(pc), registers: Registers { pc, sp, fp }, fp_at })
    }
}

trait StackMemory {
    fn read(&self, address: u64) -> Option<u64>;
}

/// The return address of the walk's second frame stands in any place of the stack.
struct Stack(u64);

impl StackMemory for Stack {
    fn read(&self, _address: u64) -> Option<u64> {
        Some(self.0)
    }
}

/// Walks a stack of two frames, the inner one at the same place in all walks. Gives what was taken over of the walk before.
fn walk(recalls: &Recalls, outer: u64) -> Option<u64> {
    let mut recall = recalls.begin();
    let (mut out, mut count) = ([0; 2], 0);
    let mut at = Position::at(100, 16);
    recall.reached(&mut at, &Stack(outer), &mut out, &mut count);
    if count == 0 {
        recall.reached(&mut Position::at(outer, 32 + outer), &Stack(outer), &mut out, &mut count);
        recall.leave();
        return None;
    }
    assert_eq!(out[0], outer - 1, "the frame that the stack shows");
    assert_eq!(at.registers.sp, 32 + outer, "return address and stack pointer are of one walk");
    recall.leave();
    Some(at.registers.pc)
}

/// Two threads and a third share a place: what a walk takes over was left whole by one walk, and never of a stack that reads otherwise.
pub fn recalls_are_of_one_walk() {
    check(|| {
        let recalls = Arc::new(Recalls::new().unwrap());
        walk(&recalls, 1_000);
        let walker = |outer| {
            let recalls = recalls.clone();
            spawn(move || walk(&recalls, outer))
        };
        let walkers = [walker(1_000), walker(2_000)];
        walk(&recalls, 2_000);
        for walker in walkers {
            walker.join().unwrap();
        }
        // Whoever walked last, one more walk finds a place that is free.
        walk(&recalls, 3_000);
        assert_eq!(walk(&recalls, 3_000), Some(3_000));
    });
}

/// Frames left before the modules changed are not taken over after it.
pub fn recalls_are_forgotten() {
    check(|| {
        let recalls = Arc::new(Recalls::new().unwrap());
        walk(&recalls, 1_000);
        let other = {
            let recalls = recalls.clone();
            spawn(move || walk(&recalls, 1_000))
        };
        recalls.forget();
        other.join().unwrap();
        // The other's walk began before or after: only after may it be of use.
        let first = walk(&recalls, 1_000);
        assert!(first.is_none_or(|pc| pc == 1_000));
        recalls.forget();
        assert_eq!(walk(&recalls, 1_000), None);
    });
}
