//! What of the unwinder the ring and the recalls name, and walks with recalls.

#[path = "../../../src/sys/unwind/recall.rs"]
mod recall;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread::spawn;

use crate::check;
use recall::{OPAQUE, Recall, Recalls, Taken};

#[derive(Clone, Copy)]
pub(crate) struct Stuck;

impl Stuck {
    pub(crate) fn stack_pointer(&self) -> u64 {
        0
    }
}

impl super::region::Zeroed for Stuck {
    fn zero() -> Self {
        Self
    }
}

pub(crate) struct StackCopy<'a> {
    pub(crate) start: u64,
    pub(crate) words: &'a [u64],
}

trait StackMemory {
    fn read(&self, address: u64) -> Option<u64>;
}

/// In place of framehop's.
#[derive(Clone, Copy)]
struct FrameAddress(u64);

impl FrameAddress {
    fn from_return_address(address: u64) -> Option<Self> {
        (address != 0).then_some(Self(address))
    }

    fn address_for_lookup(self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Registers {
    pc: u64,
    sp: u64,
    fp: u64,
}

struct Position {
    address: FrameAddress,
    registers: Registers,
    fp_at: u64,
}

impl Position {
    fn caller(&self, return_address: u64, sp: u64, fp: u64, fp_at: u64) -> Option<Self> {
        let address = FrameAddress::from_return_address(return_address)?;
        Some(Self { address, registers: Registers { pc: return_address, sp, fp }, fp_at })
    }
}

/// A stack, from its pointer on.
#[derive(Clone)]
struct Stack {
    sp: u64,
    words: Vec<u64>,
}

impl StackMemory for Stack {
    fn read(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.sp).filter(|offset| offset % 8 == 0)?;
        self.words.get((offset / 8) as usize).copied()
    }
}

/// Of a function with a frame pointer, below which its caller's is kept. Others have two words and leave it alone.
const BY_FP: u64 = 0x1000;
/// Its frame has as many words as the rule of the moment says.
const BY_RULE: u64 = 0x2000;

const MINE: u64 = 0x10_0000;
const OTHERS: u64 = 0x20_0000;

/// Goes to the caller, as far as there is one.
fn step(at: &mut Position, stack: &Stack, rule_words: impl Fn() -> u64) -> Option<()> {
    let kind = at.registers.pc & !0xfff;
    let cfa = match kind {
        BY_FP => at.registers.fp + 16,
        BY_RULE => at.registers.sp + 8 * rule_words(),
        _ => at.registers.sp + 16,
    };
    at.fp_at = 0;
    if kind == BY_FP {
        at.fp_at = cfa - 16;
        at.registers.fp = stack.read(at.fp_at)?;
    }
    at.registers.sp = cfa;
    at.registers.pc = stack.read(cfa - 8)?;
    at.address = FrameAddress::from_return_address(at.registers.pc)?;
    Some(())
}

/// The callers, as `Walker` finds them.
fn walk(stack: &Stack, rule_words: impl Fn() -> u64, mut recall: Recall<'_>) -> Vec<u64> {
    let (mut out, mut count) = ([0; 8], 0);
    let registers = Registers { pc: 1, sp: stack.sp, fp: stack.sp + 16 };
    let mut at = Position { address: FrameAddress(1), registers, fp_at: OPAQUE };
    while step(&mut at, stack, &rule_words).is_some() {
        out[count] = at.address.address_for_lookup();
        count += 1;
        assert_eq!(recall.reached(&mut at, stack, &mut out, &mut count), Taken::Some);
    }
    recall.leave();
    out[..count].to_vec()
}

/// With what the last walk left, whosever it was: the same as without.
fn compare(stack: &Stack, recalls: &Recalls) {
    let no_rule = || -> u64 { unreachable!("no such frame") };
    assert_eq!(walk(stack, no_rule, recalls.begin()), walk(stack, no_rule, Recall::without()));
}

/// Three callers. The third is found by the frame pointer that the second had kept; there is more or less between the two.
fn mine(between: usize) -> Stack {
    let mut words = vec![0, BY_FP | 8, MINE + 32 + 16 * between as u64, BY_FP | 16];
    words.extend([0, 24].repeat(between));
    words.extend([0, 32, 0, 0]);
    Stack { sp: MINE, words }
}

/// Callers without frame pointers.
fn others() -> Stack {
    Stack { sp: OTHERS, words: vec![0, 40, 0, 48, 0, 56, 0, 0] }
}

/// Two threads walk their stacks, which change, in the same place: each finds what is there, whatever the other leaves meanwhile.
pub fn recalls_of_two_threads_are_exact() {
    check(|| {
        let recalls = Arc::new(Recalls::new().unwrap());
        compare(&mine(0), &recalls);
        compare(&mine(1), &recalls);
        let other = {
            let recalls = recalls.clone();
            spawn(move || compare(&others(), &recalls))
        };
        compare(&mine(1), &recalls);
        compare(&mine(0), &recalls);
        other.join().unwrap();
        compare(&mine(1), &recalls);
    });
}

/// Rules change, as when modules do, while a thread walks: once they have, no walk takes over what was found by the old ones.
pub fn recalls_are_forgotten_with_the_rules() {
    check(|| {
        let recalls = Arc::new(Recalls::new().unwrap());
        let rule_words = Arc::new(AtomicU64::new(2));
        let stack = Stack { sp: MINE, words: vec![0, BY_RULE | 8, 0, 16, 0, 24, 0, 0] };
        let look = || walk(&stack, || rule_words.load(Ordering::Relaxed), recalls.begin());
        let (before, after) = ([BY_RULE | 8, 16, 24], [BY_RULE | 8, 24]);
        assert_eq!(look(), before);
        let other = {
            let (recalls, rule_words) = (recalls.clone(), rule_words.clone());
            spawn(move || {
                rule_words.store(4, Ordering::Relaxed);
                recalls.forget();
            })
        };
        let meanwhile = look();
        assert!(meanwhile == before || meanwhile == after, "{meanwhile:?}");
        other.join().unwrap();
        assert_eq!(look(), after);
    });
}
