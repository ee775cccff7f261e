//! In place of mapped memory: a `Vec` of loom's atomics, all zero.

use std::array::from_fn;
use std::io;
use std::ops::{Deref, DerefMut};

use super::atomic::{AtomicU32, AtomicU64, UnsafeCell};

/// What a region can hold; here it must be made.
pub(crate) trait Zeroed {
    fn zero() -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => { $(impl Zeroed for $number { fn zero() -> Self { <$number>::default() } })* };
}
numbers!(u8 u16 u32 u64 bool f64 AtomicU32 AtomicU64);

impl<T: Zeroed> Zeroed for UnsafeCell<T> {
    fn zero() -> Self {
        Self::new(T::zero())
    }
}

impl<T: Zeroed, const N: usize> Zeroed for [T; N] {
    fn zero() -> Self {
        from_fn(|_| T::zero())
    }
}

macro_rules! zeroed_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $fvis:vis $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        $vis struct $name { $($(#[$doc])* $fvis $field: $type,)* }

        impl $crate::sys::region::Zeroed for $name {
            fn zero() -> Self {
                Self { $($(#[$doc])* $field: <$type as $crate::sys::region::Zeroed>::zero(),)* }
            }
        }
    };
}
pub(crate) use zeroed_struct;

#[derive(Debug)]
pub(crate) struct Region<T>(Vec<T>);

impl<T: Zeroed> Region<T> {
    pub(crate) fn reserve(len: usize) -> io::Result<Self> {
        Ok(Self((0..len.max(1)).map(|_| T::zero()).collect()))
    }
}

impl<T> Region<T> {
    pub(crate) fn give_back(&self) {}
}

impl<T> Deref for Region<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Region<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
