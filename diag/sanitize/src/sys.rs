//! In place of `diag`'s `sys`: what of it needs nothing but libc.

#[path = "../../src/sys/atomic.rs"]
pub(crate) mod atomic;
#[path = "../../src/sys/clock.rs"]
pub(crate) mod clock;
#[path = "cpu.rs"]
pub(crate) mod cpu;
#[path = "../../src/sys/doorbell.rs"]
pub(crate) mod doorbell;
#[path = "../../src/sys/futex.rs"]
pub(crate) mod futex;
#[path = "../../src/sys/lock.rs"]
pub(crate) mod lock;
#[path = "../../src/sys/region.rs"]
pub(crate) mod region;
#[path = "../../src/sys/signal.rs"]
pub(crate) mod signal;
#[path = "../../src/sys/stack_bounds.rs"]
pub(crate) mod stack_bounds;
#[path = "../../src/sys/thread.rs"]
pub(crate) mod thread;
#[path = "../../src/sys/waker_cell.rs"]
pub(crate) mod waker_cell;

/// What of the unwinder the ring names.
pub(crate) mod unwind {
    #[derive(Clone, Copy)]
    pub(crate) struct Stuck(u64);

    impl Stuck {
        pub(crate) fn stack_pointer(&self) -> u64 {
            self.0
        }
    }

    // SAFETY: a plain integer.
    unsafe impl super::region::Zeroed for Stuck {}

    pub(crate) struct StackCopy<'a> {
        pub(crate) start: u64,
        pub(crate) words: &'a [u64],
    }
}
