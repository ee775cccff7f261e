//! Names of functions from their entries: directly, or over what an entry was made from, in any unit and in the
//! supplementary file.

use std::borrow::Cow;

use gimli::{AttributeValue, DebugInfoOffset, Dwarf, Unit, UnitOffset, UnitRef};
use hashbrown::HashMap;

use super::{Heads, Slice};
use crate::symbols::resident::Resident;
use crate::symbols::table::Answers;

/// Longest way from an entry to its name: inlined, abstract, specification is three.
const MAX_HOPS: usize = 16;
/// Units kept parsed for references into them.
const MAX_UNITS: usize = 64;

/// What is known of a function.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Described {
    /// Display name and linkage name, in the table of strings; 0: none.
    pub(super) name: u32,
    pub(super) system_name: u32,
    /// Whether the entry gave no linkage name.
    pub(super) is_plain: bool,
    pub(super) start_line: u32,
}

/// Finds names, and remembers those found in shared entries.
pub(super) struct Names<'a, 'd> {
    /// Functions of the unit at hand, which many addresses share.
    of_unit: HashMap<UnitOffset, Described>,
    primary: File<'a, 'd>,
    supplementary: Option<File<'a, 'd>>,
    resident: &'a Resident<'a>,
}

/// The units of one file, for references into them.
struct File<'a, 'd> {
    dwarf: &'a Dwarf<Slice<'d>>,
    /// Where units begin, ascending.
    heads: Cow<'a, [usize]>,
    units: HashMap<usize, Unit<Slice<'d>>>,
    known: HashMap<usize, Raw<'d>>,
}

/// Names as stated.
#[derive(Clone, Copy, Default)]
struct Raw<'d> {
    linkage: Option<Slice<'d>>,
    plain: Option<Slice<'d>>,
    start_line: u32,
}

impl<'d> Raw<'d> {
    /// Adds what is not known yet, from an entry further along.
    fn or(self, other: Self) -> Self {
        Self {
            linkage: self.linkage.or(other.linkage),
            plain: self.plain.or(other.plain),
            start_line: if self.start_line != 0 { self.start_line } else { other.start_line },
        }
    }

    fn is_complete(&self) -> bool {
        self.linkage.is_some() && self.start_line != 0
    }
}

/// Where an entry was made from.
#[derive(Clone, Copy)]
enum Origin {
    Here(UnitOffset),
    Elsewhere(usize),
    Supplementary(usize),
}

impl<'a, 'd> Names<'a, 'd> {
    pub(super) fn new(dwarf: &'a Dwarf<Slice<'d>>, heads: &'a Heads, resident: &'a Resident<'a>) -> Self {
        let supplementary =
            dwarf.sup().map(|shared| File::new(shared, Cow::Owned(Heads::of(shared, resident).offsets)));
        let primary = File::new(dwarf, Cow::Borrowed(heads.offsets.as_slice()));
        Self { of_unit: HashMap::new(), primary, supplementary, resident }
    }

    /// Turns to another unit.
    pub(super) fn begin_unit(&mut self) {
        self.of_unit.clear();
    }

    /// The function of an entry of the unit at hand, one of the primary file.
    pub(super) fn describe(
        &mut self,
        unit: &Unit<Slice<'d>>,
        entry: UnitOffset,
        answers: &mut Answers,
    ) -> Described {
        if let Some(known) = self.of_unit.get(&entry) {
            return *known;
        }
        // The entry is in what was read; its name is anywhere.
        self.resident.look_at(0);
        let raw = self.follow(UnitRef::new(self.primary.dwarf, unit), entry, false, MAX_HOPS);
        let names = raw.linkage.or(raw.plain).map(|name| answers.names(&name.to_string_lossy()));
        let (name, system_name) = names.unwrap_or_default();
        let described =
            Described { name, system_name, is_plain: raw.linkage.is_none(), start_line: raw.start_line };
        self.of_unit.insert(entry, described);
        described
    }

    /// Reads an entry and what it was made from.
    fn follow(
        &mut self,
        unit: UnitRef<'_, Slice<'d>>,
        entry: UnitOffset,
        in_supplementary: bool,
        hops: usize,
    ) -> Raw<'d> {
        let mut raw = Raw::default();
        let mut entry = entry;
        for hops in (0..hops).rev() {
            // A damaged entry gives what was read before the damage.
            let origin = read(unit, entry, &mut raw).unwrap_or(None);
            if raw.is_complete() {
                break;
            }
            match origin {
                None => break,
                Some(Origin::Here(next)) => entry = next,
                Some(Origin::Elsewhere(at)) => return raw.or(self.shared(at, in_supplementary, hops)),
                Some(Origin::Supplementary(at)) => return raw.or(self.shared(at, true, hops)),
            }
        }
        raw
    }

    /// An entry by its offset in the file. `hops` bounds the depth of calls as well.
    fn shared(&mut self, at: usize, in_supplementary: bool, hops: usize) -> Raw<'d> {
        let file = match &mut self.supplementary {
            Some(file) if in_supplementary => file,
            None if in_supplementary => return Raw::default(),
            _ => &mut self.primary,
        };
        if let Some(known) = file.known.get(&at) {
            return *known;
        }
        self.resident.look_at(0);
        let Some((head, unit)) = file.take_unit(at) else { return Raw::default() };
        let dwarf = file.dwarf;
        let raw = match DebugInfoOffset(at).to_unit_offset(&unit.header) {
            Some(entry) if hops > 0 => self.follow(UnitRef::new(dwarf, &unit), entry, in_supplementary, hops),
            _ => Raw::default(),
        };
        let file = match &mut self.supplementary {
            Some(file) if in_supplementary => file,
            _ => &mut self.primary,
        };
        file.put_unit(head, unit);
        file.known.insert(at, raw);
        raw
    }
}

impl<'a, 'd> File<'a, 'd> {
    fn new(dwarf: &'a Dwarf<Slice<'d>>, heads: Cow<'a, [usize]>) -> Self {
        Self { dwarf, heads, units: HashMap::new(), known: HashMap::new() }
    }

    /// The unit that holds an offset, out of the store.
    fn take_unit(&mut self, at: usize) -> Option<(usize, Unit<Slice<'d>>)> {
        let head = *self.heads.get(self.heads.partition_point(|h| *h <= at).checked_sub(1)?)?;
        if let Some(unit) = self.units.remove(&head) {
            return Some((head, unit));
        }
        let header = self.dwarf.unit_header(DebugInfoOffset(head)).ok()?;
        Some((head, self.dwarf.unit(header).ok()?))
    }

    fn put_unit(&mut self, head: usize, unit: Unit<Slice<'d>>) {
        if self.units.len() >= MAX_UNITS {
            self.units.clear();
        }
        self.units.insert(head, unit);
    }
}

fn read<'d>(
    unit: UnitRef<'_, Slice<'d>>,
    entry: UnitOffset,
    raw: &mut Raw<'d>,
) -> gimli::Result<Option<Origin>> {
    let mut entries = unit.entries_raw(Some(entry))?;
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(None) };
    let mut origin = None;
    for spec in abbreviation.attributes() {
        let attribute = entries.read_attribute(*spec)?;
        let value = attribute.value();
        match attribute.name() {
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name if raw.linkage.is_none() => {
                raw.linkage = unit.attr_string(value).ok();
            }
            gimli::DW_AT_name if raw.plain.is_none() => raw.plain = unit.attr_string(value).ok(),
            gimli::DW_AT_decl_line if raw.start_line == 0 => {
                raw.start_line = attribute.udata_value().and_then(|l| u32::try_from(l).ok()).unwrap_or(0);
            }
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                origin = match value {
                    AttributeValue::UnitRef(offset) => Some(Origin::Here(offset)),
                    AttributeValue::DebugInfoRef(offset) => Some(Origin::Elsewhere(offset.0)),
                    AttributeValue::DebugInfoRefSup(offset) => Some(Origin::Supplementary(offset.0)),
                    _ => origin,
                };
            }
            _ => {}
        }
    }
    Ok(origin)
}
