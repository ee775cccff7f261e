//! Which function, and which inlined functions, hold each address: one pass over the entries of a unit.

use gimli::{AttributeValue, EntriesRaw, RangeListsOffset, UnitOffset, UnitRef};

use super::{DISCARDED, Slice};

/// Deepest chain of inlined functions believed.
const MAX_INLINED: usize = 256;

/// What is found for an address.
#[derive(Clone, Default, Debug)]
pub(super) struct Site {
    /// The function that the machine code belongs to.
    pub(super) function: Option<Function>,
    /// Functions inlined there, outermost first.
    pub(super) inlined: Vec<Inlined>,
    /// File (index in the line table) and line of the address.
    pub(super) line: Option<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) entry: UnitOffset,
    depth: isize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Inlined {
    pub(super) entry: UnitOffset,
    depth: isize,
    /// The place in the function around it from which it was called.
    pub(super) call_file: Option<u64>,
    pub(super) call_line: u32,
}

/// Reads the entries of a unit. `addresses` ascend; `sites` are theirs.
pub(super) fn walk(unit: UnitRef<'_, Slice<'_>>, addresses: &[u64], sites: &mut [Site]) -> gimli::Result<()> {
    let mut entries = unit.entries_raw(None)?;
    // Functions around the current entry that hold a wanted address.
    let mut open: Vec<Function> = Vec::new();
    let mut missing = addresses.len();
    let mut code = Code::default();
    while !entries.is_empty() {
        let (entry, depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        while open.last().is_some_and(|f| depth <= f.depth) {
            open.pop();
        }
        if open.is_empty() && missing == 0 {
            break;
        }
        match abbreviation.tag() {
            gimli::DW_TAG_subprogram => {
                code.read(unit, &mut entries, abbreviation)?;
                let function = Function { entry, depth };
                let mut holds_any = false;
                code.each_range(unit, &mut |begin, end| {
                    for site in within(addresses, sites, begin, end) {
                        match site.function {
                            // Identical functions that were folded share their code: the first one stays. One inside
                            // another is the closer one.
                            Some(other) if !open.iter().any(|o| o.entry == other.entry) => {}
                            other => {
                                missing -= usize::from(other.is_none());
                                site.function = Some(function);
                                site.inlined.clear();
                                holds_any = true;
                            }
                        }
                    }
                });
                if holds_any {
                    open.push(function);
                }
            }
            gimli::DW_TAG_inlined_subroutine if !open.is_empty() => {
                code.read(unit, &mut entries, abbreviation)?;
                let inlined = Inlined { entry, depth, call_file: code.call_file, call_line: code.call_line };
                let around = open.last().map(|f| f.entry);
                code.each_range(unit, &mut |begin, end| {
                    for site in within(addresses, sites, begin, end) {
                        let nested = site.inlined.last().is_none_or(|i| i.depth < depth);
                        if site.function.map(|f| f.entry) == around
                            && nested
                            && site.inlined.len() < MAX_INLINED
                        {
                            site.inlined.push(inlined);
                        }
                    }
                });
            }
            _ => entries.skip_attributes(abbreviation.attributes())?,
        }
    }
    Ok(())
}

/// The sites of the addresses in a range.
fn within<'s>(
    addresses: &[u64],
    sites: &'s mut [Site],
    begin: u64,
    end: u64,
) -> impl Iterator<Item = &'s mut Site> {
    let (first, last) = if begin > DISCARDED && begin < end {
        (addresses.partition_point(|a| *a < begin), addresses.partition_point(|a| *a < end))
    } else {
        (0, 0)
    };
    sites.get_mut(first..last).unwrap_or_default().iter_mut()
}

/// The attributes of a function that are needed to place it.
#[derive(Default)]
struct Code {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    ranges: Option<RangeListsOffset>,
    call_file: Option<u64>,
    call_line: u32,
}

impl Code {
    fn read<'d>(
        &mut self,
        unit: UnitRef<'_, Slice<'d>>,
        entries: &mut EntriesRaw<'_, Slice<'d>>,
        abbreviation: &gimli::Abbreviation,
    ) -> gimli::Result<()> {
        *self = Self::default();
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            match attribute.name() {
                gimli::DW_AT_low_pc => self.low = unit.attr_address(attribute.value())?,
                gimli::DW_AT_high_pc => match attribute.value() {
                    AttributeValue::Udata(size) => self.size = Some(size),
                    other => self.high = unit.attr_address(other)?,
                },
                gimli::DW_AT_ranges => self.ranges = unit.attr_ranges_offset(attribute.value())?,
                // Before DWARF 5 file 0 means none.
                gimli::DW_AT_call_file => match attribute.value() {
                    AttributeValue::FileIndex(0) if unit.header.version() < 5 => {}
                    AttributeValue::FileIndex(file) => self.call_file = Some(file),
                    _ => {}
                },
                gimli::DW_AT_call_line => {
                    let line = attribute.udata_value().unwrap_or(0);
                    self.call_line = u32::try_from(line).unwrap_or(0);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn each_range(&self, unit: UnitRef<'_, Slice<'_>>, visit: &mut dyn FnMut(u64, u64)) {
        if let Some(offset) = self.ranges {
            let Ok(mut ranges) = unit.ranges(offset) else { return };
            while let Ok(Some(range)) = ranges.next() {
                visit(range.begin, range.end);
            }
        } else if let Some(low) = self.low {
            let end = self.size.and_then(|size| low.checked_add(size)).or(self.high);
            if let Some(end) = end {
                visit(low, end);
            }
        }
    }
}
