//! Memory set aside for a capture: touched pages that count against the limit now, so that giving them back makes room then.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::region::Region;

/// At least: the compressor's state, a small profile, the waterline.
const LEAST_BYTES: u64 = 2 << 20;
/// At most, however large the tables are, and at most this share of the limit.
const MOST_BYTES: u64 = 32 << 20;
const SHARE_OF_LIMIT: u64 = 16;
/// Not larger than any page is at least.
const PAGE_BYTES: usize = 4096;

static HELD: AtomicU64 = AtomicU64::new(0);

/// What is held now, for the diagnostics' own account.
pub(crate) fn held_bytes() -> u64 {
    HELD.load(Ordering::Relaxed)
}

/// The pages.
#[derive(Default)]
pub(super) struct Reserve {
    pages: Option<Region<u8>>,
}

impl Reserve {
    /// Holds what a capture needs that allocates so much at most, where there is room below the limit. Without a limit nothing is held.
    pub(super) fn keep(&mut self, bound_bytes: u64, limit_bytes: Option<u64>, charged_bytes: Option<u64>) {
        let Some((limit, charged)) = limit_bytes.zip(charged_bytes) else { return self.release() };
        let wanted = wanted_bytes(bound_bytes, limit);
        let held = self.held();
        // Tables grow slowly; a size is kept for a while.
        let fits = held >= wanted && held / 4 <= wanted;
        let room = limit.saturating_sub(charged.saturating_sub(held));
        if fits || room < 2 * wanted {
            return;
        }
        self.release();
        // Somewhat more, so that it need not follow each object.
        let bytes = (wanted + wanted / 4).min(MOST_BYTES);
        if let Ok(mut pages) = Region::<u8>::reserve(usize::try_from(bytes).unwrap_or(0)) {
            pages.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
            self.pages = Some(pages);
            HELD.store(bytes, Ordering::Relaxed);
        }
    }

    /// Gives the pages back.
    pub(super) fn release(&mut self) {
        self.pages = None;
        HELD.store(0, Ordering::Relaxed);
    }

    pub(super) fn held(&self) -> u64 {
        self.pages.as_ref().map_or(0, |pages| pages.len() as u64)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.release();
    }
}

fn wanted_bytes(bound_bytes: u64, limit_bytes: u64) -> u64 {
    bound_bytes.clamp(LEAST_BYTES, MOST_BYTES).min(limit_bytes / SHARE_OF_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_follows_the_tables_and_never_takes_the_last_room() {
        assert_eq!(wanted_bytes(0, 1 << 30), 2 * MIB);
        assert_eq!(wanted_bytes(5 * MIB, 1 << 30), 5 * MIB);
        assert_eq!(wanted_bytes(500 * MIB, 1 << 30), 32 * MIB);
        assert_eq!(wanted_bytes(5 * MIB, 32 * MIB), 2 * MIB);
        let mut reserve = Reserve::default();
        reserve.keep(4 * MIB, Some(200 * MIB), Some(100 * MIB));
        assert_eq!(reserve.held(), 5 * MIB);
        reserve.keep(4 * MIB, Some(200 * MIB), Some(199 * MIB));
        assert_eq!(reserve.held(), 5 * MIB, "what is held stays");
        reserve.release();
        reserve.keep(4 * MIB, Some(200 * MIB), Some(196 * MIB));
        assert_eq!(reserve.held(), 0, "no room for it");
        reserve.keep(4 * MIB, None, Some(1));
        assert_eq!(reserve.held(), 0);
    }
}
