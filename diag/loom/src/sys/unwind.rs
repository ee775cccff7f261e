//! What of the unwinder the ring names.

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
