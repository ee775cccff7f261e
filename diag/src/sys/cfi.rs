//! Unwind rules of x86-64 code, compiled from call frame information and kept in a shared cache.
//!
//! Nearly all code restores its caller in one way: the canonical frame address (CFA) is rsp or rbp plus a constant, the
//! return address lies just below it, and rbp is either untouched or saved at a constant distance below. Such a rule
//! fits 29 bits. The cache stores it together with the rest of the address in one atomic word, so that reading and
//! writing need no lock and can never mix two entries: the address is hashed in a way that is invertible on 48
//! bits, the upper bits of the hash choose the slot, and the lower ones are in the word.
//!
//! Rules that do not fit (expressions, huge frames, code without tables) are not kept here; the caller asks framehop.
//!
//! Source: DWARF 5, 6.4; System V ABI for x86-64, table 3.36 (register numbers).

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, Register, RegisterRule,
    UnwindContext, UnwindSection, UnwindTableRow, X86_64,
};

use super::modules::UnwindTables;
use super::region::Region;

/// How to get from a frame to its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// The stack ends here.
    Root,
    Caller {
        cfa_from_rbp: bool,
        /// CFA minus that register, bytes; a multiple of 8.
        cfa_offset: u16,
        /// CFA minus the place where rbp is saved, bytes; a multiple of 8; 0 when rbp is untouched.
        rbp_below_cfa: u16,
    },
}

const SLOT_BITS: u32 = 14;
const ADDRESS_BITS: u32 = 48;
const TAG_BITS: u32 = ADDRESS_BITS - SLOT_BITS;
/// Rule words have 30 bits: 2 of kind, 1 of base, 12 + 12 of offsets in words.
const RULE_BITS: u32 = 64 - TAG_BITS;
const KIND_ROOT: u64 = 1;
const KIND_CALLER: u64 = 2;
const MAX_OFFSET: i64 = ((1 << 12) - 1) * 8;

/// Rules by address, or by [`block`]. 128 KiB, resident as far as it is used.
pub(crate) struct RuleCache {
    slots: Region<AtomicU64>,
    /// From the first rule on.
    is_used: AtomicBool,
}

/// Code comes in blocks of so many bytes, as a power of two.
const BLOCK_BITS: u32 = 6;
/// Blocks learnt at a time, to each side.
const MOST_BLOCKS: u64 = 32;

/// The block that an address is in.
#[inline]
pub(crate) fn block(address: u64) -> u64 {
    address >> BLOCK_BITS
}

/// The blocks near an address that lie inside a range as a whole.
pub(crate) fn blocks_around(address: u64, range: &Range<u64>) -> Range<u64> {
    let first = block(range.start.saturating_add((1 << BLOCK_BITS) - 1));
    let (at, end) = (block(address), block(range.end));
    first.max(at.saturating_sub(MOST_BLOCKS))..end.min(at + MOST_BLOCKS)
}

impl RuleCache {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { slots: Region::reserve(1 << SLOT_BITS)?, is_used: AtomicBool::new(false) })
    }

    /// Bytes that may be resident.
    pub(crate) fn memory_bytes(&self) -> u64 {
        if self.is_used.load(Ordering::Relaxed) { 8 << SLOT_BITS } else { 0 }
    }

    #[inline]
    pub(crate) fn get(&self, address: u64) -> Option<Rule> {
        let (slot, tag) = place(address);
        let word = self.slots.get(slot)?.load(Ordering::Relaxed);
        (word >> RULE_BITS == tag).then(|| unpack(word)).flatten()
    }

    pub(crate) fn put(&self, address: u64, rule: Rule) {
        let (slot, tag) = place(address);
        self.is_used.store(true, Ordering::Relaxed);
        if address >> ADDRESS_BITS == 0
            && let Some(place) = self.slots.get(slot)
        {
            place.store(tag << RULE_BITS | pack(rule), Ordering::Relaxed);
        }
    }

    pub(crate) fn clear(&self) {
        // Pages that nobody has used stay so.
        if !self.is_used.load(Ordering::Relaxed) {
            return;
        }
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }
}

#[inline]
fn place(address: u64) -> (usize, u64) {
    // Both steps are invertible on 48 bits: a shift-xor, and a product with an odd number.
    let hash = (address ^ (address >> 21)).wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << ADDRESS_BITS) - 1);
    ((hash >> TAG_BITS) as usize, hash & ((1 << TAG_BITS) - 1))
}

pub(super) fn pack(rule: Rule) -> u64 {
    match rule {
        Rule::Root => KIND_ROOT,
        Rule::Caller { cfa_from_rbp, cfa_offset, rbp_below_cfa } => {
            KIND_CALLER
                | u64::from(cfa_from_rbp) << 2
                | u64::from(cfa_offset / 8) << 3
                | u64::from(rbp_below_cfa / 8) << 15
        }
    }
}

#[inline]
pub(super) fn unpack(word: u64) -> Option<Rule> {
    match word & 3 {
        KIND_CALLER => Some(Rule::Caller {
            cfa_from_rbp: word >> 2 & 1 == 1,
            cfa_offset: (word >> 3 & 0xfff) as u16 * 8,
            rbp_below_cfa: (word >> 15 & 0xfff) as u16 * 8,
        }),
        KIND_ROOT => Some(Rule::Root),
        _ => None,
    }
}

/// Storage of fixed size, so that evaluating unwind tables never allocates.
pub(crate) struct Fixed;

impl<R: gimli::ReaderOffset> gimli::UnwindContextStorage<R> for Fixed {
    type Rules = [(Register, RegisterRule<R>); 32];
    type Stack = [UnwindTableRow<R, Self>; 4];
}

/// Scratch space for [`compile`].
pub(crate) type Scratch = UnwindContext<usize, Fixed>;

/// The rule for a look-up address, if it has the common shape, and the addresses that it holds for.
pub(crate) fn compile(
    tables: &UnwindTables,
    address: u64,
    scratch: &mut Scratch,
) -> Option<(Rule, Range<u64>)> {
    let bases = BaseAddresses::default().set_eh_frame_hdr(tables.header_at).set_eh_frame(tables.frames_at);
    let header = EhFrameHdr::new(&tables.header, LittleEndian).parse(&bases, 8).ok()?;
    let frames: EhFrame<EndianSlice<'_, LittleEndian>> = EhFrame::new(&tables.frames, LittleEndian);
    let fde = header.table()?.fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset).ok()?;
    if fde.cie().return_address_register() != X86_64::RA {
        return None;
    }
    let row = fde.unwind_info_for_address(&frames, &bases, scratch, address).ok()?;
    let range = row.start_address()..row.end_address();
    Some((rule_of(row)?, range))
}

/// The rule that a row states, if it has the common shape. The return address is to be in the column of x86-64.
pub(super) fn rule_of(row: &UnwindTableRow<usize, Fixed>) -> Option<Rule> {
    match row.register(X86_64::RA) {
        Some(RegisterRule::Undefined) => return Some(Rule::Root),
        Some(RegisterRule::Offset(-8)) => {}
        _ => return None,
    }
    let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
    let cfa_from_rbp = match register {
        X86_64::RSP => false,
        X86_64::RBP => true,
        _ => return None,
    };
    let rbp_below_cfa = match row.register(X86_64::RBP) {
        Some(RegisterRule::Offset(offset)) if offset < 0 => -offset,
        // Unspecified is the same for a register that callees preserve.
        Some(RegisterRule::SameValue | RegisterRule::Undefined) | None => 0,
        _ => return None,
    };
    let fits = |offset: i64| (0..=MAX_OFFSET).contains(&offset) && offset % 8 == 0;
    let rule = Rule::Caller { cfa_from_rbp, cfa_offset: offset as u16, rbp_below_cfa: rbp_below_cfa as u16 };
    (fits(offset) && offset > 0 && fits(rbp_below_cfa)).then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_packing() {
        for rule in [
            Rule::Root,
            Rule::Caller { cfa_from_rbp: true, cfa_offset: 16, rbp_below_cfa: 16 },
            Rule::Caller { cfa_from_rbp: false, cfa_offset: MAX_OFFSET as u16, rbp_below_cfa: 0 },
            Rule::Caller { cfa_from_rbp: false, cfa_offset: 8, rbp_below_cfa: MAX_OFFSET as u16 },
        ] {
            assert!(pack(rule) >> RULE_BITS == 0);
            assert_eq!(unpack(pack(rule)), Some(rule));
        }
        assert_eq!(unpack(0), None);
    }

    #[test]
    fn only_whole_blocks_near_by_are_learnt() {
        let of = |address, range: Range<u64>| blocks_around(address, &range);
        assert_eq!(of(0x1050, 0x1010..0x10d0), 0x41..0x43, "0x1040 to 0x10c0");
        assert_eq!(of(0x1050, 0x1040..0x10c0), 0x41..0x43);
        assert!(of(0x1050, 0x1048..0x107f).is_empty());
        assert_eq!(of(0x10_0000, 0..u64::MAX), 0x4000 - 32..0x4000 + 32);
        assert!(of(u64::MAX, u64::MAX - 5..u64::MAX).is_empty());
    }

    #[test]
    fn a_slot_answers_only_for_its_own_address() {
        let cache = RuleCache::new().unwrap();
        let addresses: Vec<u64> = (0..50_000).map(|i| 0x5555_5555_0000 + i * 7).collect();
        let rule = |a: u64| Rule::Caller {
            cfa_from_rbp: a.is_multiple_of(2),
            cfa_offset: (a % 4000) as u16 / 8 * 8 + 8,
            rbp_below_cfa: 0,
        };
        let mut kept = 0;
        for &a in &addresses {
            cache.put(a, rule(a));
            assert_eq!(cache.get(a), Some(rule(a)));
        }
        for &a in &addresses {
            if let Some(found) = cache.get(a) {
                assert_eq!(found, rule(a));
                kept += 1;
            }
        }
        assert!(kept > 8_000, "{kept} of 16,384 slots in use");
        cache.clear();
        assert!(addresses.iter().all(|a| cache.get(*a).is_none()));
        cache.put(u64::MAX, Rule::Root);
        assert_eq!(cache.get(u64::MAX), None, "beyond 48 bits: not kept");
    }
}
