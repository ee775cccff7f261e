//! Damaged object files: fewer answers, never a panic, never an endless search.

use object::{Object, ObjectSection};

use super::fixture::program;
use super::programs::{Found, ask};
use crate::symbols::{Options, Resolver};

/// xorshift64*: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Asks for the whole of `.text` of the undamaged file.
fn offsets(bytes: &[u8]) -> Vec<u64> {
    let elf = object::File::parse(bytes).unwrap();
    let (offset, size) = elf.section_by_name(".text").unwrap().file_range().unwrap();
    (offset..offset + size).step_by(3).collect()
}

fn ask_damaged(dir: &std::path::Path, bytes: &[u8], offsets: &[u64]) -> Found {
    let path = dir.join("damaged");
    std::fs::write(&path, bytes).unwrap();
    let mut answered = Vec::new();
    for options in [Options::default(), Options::in_process()] {
        let options = Options { max_copied_bytes: 64 << 20, ..options };
        let found = ask(&mut Resolver::new(options), path.to_str().unwrap(), "", false, offsets);
        answered.push(found);
    }
    assert!(answered[0] == answered[1], "mapped or read, the answers are the same");
    answered.swap_remove(0)
}

#[test]
fn flipped_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed);
    for (flags, rounds) in
        [(&["-g", "-O2"][..], 40), (&["-gdwarf-4", "-O2"], 15), (&["-g", "-O2", "-gz=zlib"], 8)]
    {
        let good = std::fs::read(program(dir.path(), "good", flags)).unwrap();
        let offsets = offsets(&good);
        let whole = ask_damaged(dir.path(), &good, &offsets);
        assert!(whole.iter().flatten().count() > offsets.len() / 2);
        let elf = object::File::parse(&*good).unwrap();
        // Where damage hurts: headers, debug information, symbols.
        let mut places: Vec<std::ops::Range<usize>> = elf
            .sections()
            .filter(|s| {
                s.name().is_ok_and(|n| n.starts_with(".debug") || n.contains("tab") || n.contains("note"))
            })
            .filter_map(|s| s.file_range())
            .map(|(at, size)| at as usize..(at + size) as usize)
            .collect();
        places.push(0..64);
        places.push(64..64 + 56 * 13);
        let sections = u64::from_le_bytes(good[40..48].try_into().unwrap()) as usize;
        places.push(sections..good.len());
        let mut worse = 0;
        for _ in 0..rounds {
            let mut bad = good.clone();
            for _ in 0..1 + random.below(8) {
                let place = places[random.below(places.len())].clone();
                let at = place.start + random.below(place.len());
                bad[at] = match random.below(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => bad[at] ^ (1 << random.below(8)),
                    _ => random.below(256) as u8,
                };
            }
            worse += usize::from(ask_damaged(dir.path(), &bad, &offsets) != whole);
        }
        assert!((1..rounds).contains(&worse), "the damage shows, and not always: {worse} of {rounds}");
    }
}

#[test]
fn cut_files() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(program(dir.path(), "good", &["-g", "-O2"])).unwrap();
    let offsets = offsets(&good);
    for cut in (1..good.len()).step_by(good.len() / 15) {
        ask_damaged(dir.path(), &good[..cut], &offsets);
    }
    // Section headers kept, their contents shifted: everything points somewhere wrong.
    for at in (64..good.len() - 4096).step_by(good.len() / 12) {
        let mut bad = good.clone();
        bad.copy_within(at..at + 2048, at + 1024);
        ask_damaged(dir.path(), &bad, &offsets);
    }
}

/// Where the header of a section is.
fn header_of(file: &[u8], name: &str) -> usize {
    let elf = object::File::parse(file).unwrap();
    let index = elf.section_by_name(name).unwrap().index().0;
    let table = u64::from_le_bytes(file[0x28..0x30].try_into().unwrap()) as usize;
    table + index * 64
}

/// What cannot be read costs nothing, and does not use up the budget of the rest. Found by fuzzing.
#[test]
fn a_section_that_is_larger_than_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(program(dir.path(), "good", &["-g", "-O2"])).unwrap();
    let offsets = offsets(&good);
    let whole = ask_damaged(dir.path(), &good, &offsets);
    let mut damaged = good.clone();
    let header = header_of(&good, ".debug_rnglists");
    damaged[header + 0x20..header + 0x28].copy_from_slice(&0x6564_2e00_0000_0028_u64.to_le_bytes());
    let found = ask_damaged(dir.path(), &damaged, &offsets);
    let lines = |found: &Found| found.iter().flatten().flatten().filter(|frame| frame.3 > 0).count();
    assert!(lines(&found) > lines(&whole) / 2, "{} of {}", lines(&found), lines(&whole));
}

/// A section of another kind has the name of the symbol table, and says it is larger than any budget.
#[test]
fn a_name_twice() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(program(dir.path(), "good", &["-O2"])).unwrap();
    let offsets = offsets(&good);
    let found = ask_damaged(dir.path(), &good, &offsets);
    let (comment, symtab) = (header_of(&good, ".comment"), header_of(&good, ".symtab"));
    let mut damaged = good.clone();
    damaged.copy_within(symtab..symtab + 4, comment);
    damaged[comment + 0x20..comment + 0x28].copy_from_slice(&(1u64 << 54).to_le_bytes());
    assert!(comment < symtab, "found first");
    assert!(found == ask_damaged(dir.path(), &damaged, &offsets), "the table is still there");
}
