//! Keeps small what is resident of mapped files while they are read.
//!
//! A page that was looked at counts as the process's until the mapping ends, and so do those around it that the kernel maps along:
//! a hundred names strewn over a section make some 6 MiB resident, a look at each unit nearly all of the debug information.
//! So who reads says how much, and from time to time all pages are given back; they stay in the page cache. Measured on a program
//! of 53 MiB, 5,000 addresses all over it (benches/symbols.rs, 2026-11-30): at most 14 MiB in place of 52, for a tenth more time.

use std::cell::Cell;

use super::image::Image;

/// What a look at one byte makes resident: `fault_around_bytes` of the kernel, as it is set usually.
pub(super) const AROUND_BYTES: u64 = 64 << 10;
/// Given back when so much was looked at.
const MOST_BYTES: u64 = 16 << 20;

/// Counts what is looked at in some mapped files.
#[derive(Debug, Default)]
pub(super) struct Resident<'i> {
    images: Vec<&'i Image>,
    looked_at: Cell<u64>,
}

impl<'i> Resident<'i> {
    /// For these files. For none, nothing is given back.
    pub(super) fn of(images: impl IntoIterator<Item = &'i Image>) -> Self {
        Self { images: images.into_iter().collect(), looked_at: Cell::new(0) }
    }

    /// So many bytes in a row are looked at.
    pub(super) fn look_at(&self, bytes: u64) {
        let sum = self.looked_at.get().saturating_add(bytes.max(AROUND_BYTES));
        self.looked_at.set(sum);
        if sum > MOST_BYTES {
            self.give_back();
        }
    }

    /// Gives everything back.
    pub(super) fn give_back(&self) {
        self.looked_at.set(0);
        self.images.iter().for_each(|image| image.give_back());
    }
}
