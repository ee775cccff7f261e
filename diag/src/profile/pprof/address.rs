//! Addresses for locations that have none, or that share one.
//!
//! A file needs a unique address, not zero, for every location. Folded stacks have no addresses; after merging two
//! builds, one address can be two locations. Such a location is written with a tag in the topmost byte that no code
//! has (user space has 0, the kernel 0xff): 0x40 and a running number when there is no address; 0x41 to 0x5f (user
//! space) or 0x60 to 0x7f (kernel) and the rest of the address when it is a further location there. Reading takes the
//! tag off again. The 33rd location at one address loses its address.

use std::ops::RangeInclusive;

use hashbrown::HashSet;

const TAG_SHIFT: u32 = 56;
const LOW: u64 = (1 << TAG_SHIFT) - 1;
const NO_ADDRESS: u64 = 0x40;
const USER: RangeInclusive<u64> = 0x41..=0x5f;
const KERNEL: RangeInclusive<u64> = 0x60..=0x7f;

/// Hands out the addresses to write.
pub(super) struct Unique {
    taken: HashSet<u64>,
    numbered: u64,
}

impl Unique {
    pub(super) fn with_capacity(locations: usize) -> Self {
        Self { taken: HashSet::with_capacity(locations), numbered: 0 }
    }

    /// The address itself when it is the first of its kind, else a tagged one.
    pub(super) fn address(&mut self, address: u64) -> u64 {
        if address != 0 && self.taken.insert(address) {
            return address;
        }
        let tags = match address >> TAG_SHIFT {
            0 if address != 0 => Some(USER),
            0xff => Some(KERNEL),
            _ => None,
        };
        for tag in tags.into_iter().flatten() {
            let tagged = tag << TAG_SHIFT | address & LOW;
            if self.taken.insert(tagged) {
                return tagged;
            }
        }
        loop {
            self.numbered += 1;
            let tagged = NO_ADDRESS << TAG_SHIFT | self.numbered;
            if self.taken.insert(tagged) {
                return tagged;
            }
        }
    }
}

/// The address as it was before [`Unique::address`].
pub(super) fn original(written: u64) -> u64 {
    match written >> TAG_SHIFT {
        NO_ADDRESS => 0,
        tag if USER.contains(&tag) => written & LOW,
        tag if KERNEL.contains(&tag) => written & LOW | 0xff << TAG_SHIFT,
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_unique_and_comes_back() {
        let mut unique = Unique::with_capacity(0);
        let asked = [0, 0, 1, 1, 1, 0x5555_0000_1000, 0x5555_0000_1000, u64::MAX, u64::MAX, LOW, LOW];
        let given: Vec<u64> = asked.iter().map(|&a| unique.address(a)).collect();
        let distinct: HashSet<u64> = given.iter().copied().collect();
        assert_eq!(distinct.len(), asked.len());
        assert!(!distinct.contains(&0));
        assert_eq!(given.iter().map(|&a| original(a)).collect::<Vec<_>>(), asked);
    }

    #[test]
    fn more_locations_than_tags_at_one_address_stay_unique() {
        let mut unique = Unique::with_capacity(0);
        let given: HashSet<u64> = (0..1000).map(|_| unique.address(0x1000)).collect();
        assert_eq!(given.len(), 1000);
        assert_eq!(given.iter().filter(|&&a| original(a) == 0x1000).count(), 32);
    }
}
