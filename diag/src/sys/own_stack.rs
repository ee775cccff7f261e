//! The stack of the calling thread, between its verified bounds.
//!
//! Runs inside allocations: it allocates nothing. A thread's first walk, and one on another stack than the last, asks the
//! kernel for the bounds ([`super::stack_bounds`]), which changes errno.

use super::stack_bounds::map_around;
use super::thread::ThreadState;
use super::unwind::{Registers, WalkEnd, Walker};

/// Deepest stack kept; frames beyond, at the root end, are cut and counted.
pub(crate) const MAX_FRAMES: usize = 128;

/// Writes the frames to `out`, innermost first, and says how many and how it ended; `None` without bounds.
#[inline]
pub(crate) fn walk(
    walker: &Walker,
    state: &ThreadState,
    registers: Registers,
    out: &mut [u64],
) -> (usize, Option<WalkEnd>) {
    let sp = registers.stack_pointer();
    let (low, high) = state.stack.get();
    let high = if (low..high).contains(&sp) {
        high
    } else {
        match map_around(sp) {
            Some(map) => {
                state.stack.set((map.start, map.end));
                map.end
            }
            None => return (0, None),
        }
    };
    let (count, end) = walker.walk(registers, high, out);
    (count, Some(end))
}
