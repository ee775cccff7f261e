//! Zeroed memory straight from the kernel, for tables that grow inside an allocation.
//!
//! A region reserves address space; pages become resident when first written. It never calls the allocator, so it may
//! be created and dropped inside a hook. Reserving counts against RLIMIT_AS.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Types for which all-zero bytes are a valid value and that need no drop.
///
/// # Safety
/// Both must be true of the implementing type.
pub(crate) unsafe trait Zeroed {}

// SAFETY: plain integers, and atomics of the same layout.
unsafe impl Zeroed for u8 {}
// SAFETY: as above.
unsafe impl Zeroed for u16 {}
// SAFETY: as above.
unsafe impl Zeroed for u32 {}
// SAFETY: as above.
unsafe impl Zeroed for u64 {}
// SAFETY: zero is `false`.
unsafe impl Zeroed for bool {}
// SAFETY: as above; the bits of 0.0 are zero.
unsafe impl Zeroed for f64 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU64 {}
// SAFETY: of the same layout as what is in it.
unsafe impl<T: Zeroed> Zeroed for std::cell::UnsafeCell<T> {}
// SAFETY: as many of them.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// Declares a struct whose fields are all [`Zeroed`], checked by the compiler, and makes it so as well.
macro_rules! zeroed_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $fvis:vis $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        $vis struct $name { $($(#[$doc])* $fvis $field: $type,)* }

        #[allow(unsafe_code)]
        const _: () = {
            const fn field_is_zeroed<T: $crate::sys::region::Zeroed>() {}
            $(field_is_zeroed::<$type>();)*
            // SAFETY: every field is, as just checked, and the struct has no drop of its own.
            unsafe impl $crate::sys::region::Zeroed for $name {}
        };
    };
}
pub(crate) use zeroed_struct;

/// `len` values of `T`, all zero at first.
#[derive(Debug)]
pub(crate) struct Region<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: a region owns its memory as a Box<[T]> does.
unsafe impl<T: Send> Send for Region<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Region<T> {}

impl<T: Zeroed> Region<T> {
    /// Reserves room for `len` values, at least one.
    pub(crate) fn reserve(len: usize) -> io::Result<Self> {
        let len = len.max(1);
        let bytes =
            len.checked_mul(size_of::<T>()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        // Miri knows mmap in its plainest form only, and no madvise.
        let unreserved = if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing that exists.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | unreserved,
                -1,
                0,
            )
        };
        match NonNull::new(at.cast::<T>()) {
            Some(start) if at != libc::MAP_FAILED => {
                // Huge pages would make a sparse table resident as a whole.
                #[cfg(all(target_os = "linux", not(miri)))]
                // SAFETY: the range was mapped just above.
                unsafe {
                    libc::madvise(at, bytes, libc::MADV_NOHUGEPAGE)
                };
                Ok(Self { start, len })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl<T> Region<T> {
    /// Gives the pages back to the system; all values are zero afterwards, which only Linux promises. For when nobody writes.
    #[cfg(all(target_os = "linux", not(miri)))]
    pub(crate) fn give_back(&self) {
        // SAFETY: the range is ours; dropping private anonymous pages makes them zero, a valid value, at the next touch.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.len * size_of::<T>(), libc::MADV_DONTNEED) };
    }

    /// What the kernel does there.
    #[cfg(miri)]
    pub(crate) fn give_back(&self) {
        // SAFETY: the range is ours, and zero is a valid value.
        unsafe { self.start.as_ptr().write_bytes(0, self.len) };
    }
}

impl<T> Deref for Region<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` values, page-aligned, zero bytes are valid (`Zeroed`), and lives as long as self.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Region<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `reserve` mapped; nothing borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
