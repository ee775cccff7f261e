//! Debug information written by hand: what no compiler at hand produces.

use gimli::{DwarfSections, EndianSlice, RunTimeEndian, SectionId};

use crate::symbols::dwarf::{self, split};
use crate::symbols::image::Image;
use crate::symbols::resident::Resident;
use crate::symbols::table::{Answers, Known};

const ADDR: u8 = 0x01;
const DATA8: u8 = 0x07;
const STRING: u8 = 0x08;
const REF_ADDR: u8 = 0x10;
/// DW_FORM_GNU_ref_alt, as dwz writes it.
const REF_ALT: [u8; 2] = [0xa0, 0x3e];
const LOW_PC: u8 = 0x11;
const HIGH_PC: u8 = 0x12;
const NAME: u8 = 0x03;
const ORIGIN: u8 = 0x31;
const UNIT: u8 = 0x11;
const PARTIAL_UNIT: u8 = 0x3c;
const FUNCTION: u8 = 0x2e;
const INLINED: u8 = 0x1d;
/// Where the entries of a unit begin.
const HEADER: u32 = 11;

/// `.debug_abbrev`: entries of tag and attributes, numbered from 1, all with children.
fn abbreviations(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (code, (tag, attributes)) in (1u8..).zip(entries) {
        out.extend([code, *tag, 1]);
        out.extend(*attributes);
        out.extend([0, 0]);
    }
    out.push(0);
    out
}

/// `.debug_info` of one unit, DWARF 4, addresses of 8 bytes.
fn unit(entries: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((entries.len() as u32 + HEADER - 4).to_le_bytes());
    out.extend(4u16.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.push(8);
    out.extend(entries);
    out
}

/// An entry with code at 0x1000 to 0x1100.
fn placed(out: &mut Vec<u8>, number: u8) {
    out.push(number);
    out.extend(0x1000u64.to_le_bytes());
    out.extend(0x100u64.to_le_bytes());
}

fn sections<'s>(abbrev: &'s [u8], info: &'s [u8]) -> DwarfSections<&'s [u8]> {
    let load = |id| -> Result<&[u8], ()> {
        Ok(match id {
            SectionId::DebugAbbrev => abbrev,
            SectionId::DebugInfo => info,
            _ => &[],
        })
    };
    DwarfSections::load(load).unwrap()
}

struct NotSplit;

impl split::SplitFiles for NotSplit {
    fn package(&mut self) -> Option<&Image> {
        panic!("nothing is split")
    }

    fn single(&mut self, _: &split::SplitUnit) -> Option<Image> {
        panic!("nothing is split")
    }
}

/// Names at 0x1010, innermost first.
fn resolve(own: &DwarfSections<&[u8]>, shared: Option<&DwarfSections<&[u8]>>) -> Vec<String> {
    let mut dwarf = own.borrow_with_sup(shared, |s| EndianSlice::new(s, RunTimeEndian::Little));
    let mut answers = Answers::new(1);
    dwarf::resolve(&mut dwarf, &[0x1010], &mut NotSplit, &Resident::default(), &mut answers);
    assert_eq!(answers.known(0), Known::Plain);
    answers.frames(0).map(|f| f.name.to_owned()).collect()
}

#[test]
fn deep_nesting_costs_no_stack() {
    // 200,000 inlined functions, each in the one before.
    let place = [LOW_PC, ADDR, HIGH_PC, DATA8];
    let named = [LOW_PC, ADDR, HIGH_PC, DATA8, NAME, STRING];
    let abbrev = abbreviations(&[(UNIT, &place), (FUNCTION, &named), (INLINED, &place)]);
    let mut entries = Vec::new();
    placed(&mut entries, 1);
    placed(&mut entries, 2);
    entries.extend(b"deep\0");
    for _ in 0..200_000 {
        placed(&mut entries, 3);
    }
    let names = resolve(&sections(&abbrev, &unit(&entries)), None);
    assert_eq!(names.last().unwrap(), "deep");
    assert!((2..300).contains(&names.len()), "{}", names.len());
}

#[test]
fn names_in_a_supplementary_file() {
    let place = [LOW_PC, ADDR, HIGH_PC, DATA8];
    let shared = [LOW_PC, ADDR, HIGH_PC, DATA8, ORIGIN, REF_ALT[0], REF_ALT[1]];
    let abbrev = abbreviations(&[(UNIT, &place), (FUNCTION, &shared), (INLINED, &shared)]);
    // The other file: a partial unit with two functions.
    let other_abbrev = abbreviations(&[(PARTIAL_UNIT, &[]), (FUNCTION, &[NAME, STRING])]);
    let mut other_entries = vec![1];
    let outer_at = HEADER + other_entries.len() as u32;
    other_entries.push(2);
    other_entries.extend(b"outer_one\0\0");
    let inner_at = HEADER + other_entries.len() as u32;
    other_entries.push(2);
    other_entries.extend(b"inner_one\0\0\0");
    let mut entries = Vec::new();
    placed(&mut entries, 1);
    placed(&mut entries, 2);
    entries.extend(outer_at.to_le_bytes());
    placed(&mut entries, 3);
    entries.extend(inner_at.to_le_bytes());
    let (info, other_info) = (unit(&entries), unit(&other_entries));
    let (own, other) = (sections(&abbrev, &info), sections(&other_abbrev, &other_info));
    assert_eq!(resolve(&own, Some(&other)), ["inner_one", "outer_one"]);
}

#[test]
fn origins_in_a_circle_end() {
    // A function made from itself: there is a name on the way, and no end to it.
    let circle = [LOW_PC, ADDR, HIGH_PC, DATA8, NAME, STRING, ORIGIN, REF_ADDR];
    let abbrev = abbreviations(&[(UNIT, &[LOW_PC, ADDR, HIGH_PC, DATA8]), (FUNCTION, &circle)]);
    let mut entries = Vec::new();
    placed(&mut entries, 1);
    let at = HEADER + entries.len() as u32;
    placed(&mut entries, 2);
    entries.extend(b"round\0");
    entries.extend(at.to_le_bytes());
    assert_eq!(resolve(&sections(&abbrev, &unit(&entries)), None), ["round"]);
}
