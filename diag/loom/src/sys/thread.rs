//! In place of the state of a thread.

pub(crate) struct ThreadState;

pub(crate) fn with_state<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    f(&ThreadState)
}

pub(crate) fn errno() -> i32 {
    0
}

pub(crate) fn set_errno(_value: i32) {}
