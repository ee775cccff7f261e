//! Who is told what happens at a lock.

/// Lives in the lock, beside what does the locking. Told only where a lock has to wait, and at each release.
#[cfg_attr(
    not(feature = "parking_lot"),
    allow(unreachable_pub, reason = "the types of parking_lot's locks name it")
)]
pub trait Watch: Sync {
    /// Of a lock that nobody has used.
    #[cfg_attr(not(feature = "parking_lot"), allow(dead_code))]
    const NEW: Self;

    /// Runs what waits for the lock.
    fn waiting<R>(&self, wait: impl FnOnce() -> R) -> R;

    /// The lock is about to be released by its holder, who owes others so many nanoseconds.
    fn before_release(&self) -> u64;

    /// It has been released; told only of what is owed.
    fn after_release(owed_ns: u64);
}
