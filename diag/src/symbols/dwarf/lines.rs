//! Files and lines of addresses: one pass over the line table of a unit, without keeping it.

use gimli::UnitRef;
use hashbrown::HashMap;

use super::functions::Site;
use super::{DISCARDED, Slice};
use crate::symbols::table::Answers;

#[derive(Clone, Copy)]
struct Place {
    address: u64,
    file: u64,
    line: u32,
}

/// Reads the line table. `addresses` ascend; `sites` are theirs. Where two sequences cover an address, the first wins.
pub(super) fn walk(unit: UnitRef<'_, Slice<'_>>, addresses: &[u64], sites: &mut [Site]) -> gimli::Result<()> {
    let Some(program) = unit.line_program.clone() else { return Ok(()) };
    let mut rows = program.rows();
    // A row counts up to the address of the next one.
    let mut before: Option<Place> = None;
    let mut next = 0;
    let mut discarded = false;
    while let Some((_, row)) = rows.next_row()? {
        let address = row.address();
        match before {
            None => {
                discarded = address <= DISCARDED;
                next = addresses.partition_point(|a| *a < address);
            }
            Some(place) if address < place.address => {
                // Against the rules (6.2.5.1); look up anew.
                next = addresses.partition_point(|a| *a < address);
            }
            Some(place) => {
                while let Some(a) = addresses.get(next).filter(|a| **a < address) {
                    if let Some(site) = sites.get_mut(next)
                        && !discarded
                        && *a >= place.address
                    {
                        site.line.get_or_insert((place.file, place.line));
                    }
                    next += 1;
                }
            }
        }
        let line = row.line().map_or(0, |l| u32::try_from(l.get()).unwrap_or(0));
        before = (!row.end_sequence()).then_some(Place { address, file: row.file_index(), line });
    }
    Ok(())
}

/// The address ranges of the sequences of a line table.
pub(super) fn sequences(unit: UnitRef<'_, Slice<'_>>, visit: &mut dyn FnMut(u64, u64)) {
    let Some(program) = unit.line_program.clone() else { return };
    let mut rows = program.rows();
    let mut begin: Option<u64> = None;
    while let Ok(Some((_, row))) = rows.next_row() {
        let first = *begin.get_or_insert(row.address());
        if row.end_sequence() {
            visit(first, row.address());
            begin = None;
        }
    }
}

/// Full paths of a unit's files, made when first asked for.
pub(super) struct FileNames<'u, 'd> {
    unit: UnitRef<'u, Slice<'d>>,
    known: HashMap<u64, u32>,
}

impl<'u, 'd> FileNames<'u, 'd> {
    pub(super) fn new(unit: UnitRef<'u, Slice<'d>>) -> Self {
        Self { unit, known: HashMap::new() }
    }

    /// The position of the path in the table of strings; 0, the empty one, when there is none.
    pub(super) fn get(&mut self, index: u64, answers: &mut Answers) -> u32 {
        if let Some(&known) = self.known.get(&index) {
            return known;
        }
        let path = self.path(index).unwrap_or_default();
        let id = answers.str(&path);
        self.known.insert(index, id);
        id
    }

    fn path(&self, index: u64) -> Option<String> {
        let header = self.unit.line_program.as_ref()?.header();
        let file = header.file(index)?;
        let mut path = String::new();
        if let Some(dir) = &self.unit.comp_dir {
            path.push_str(&dir.to_string_lossy());
        }
        // Directory 0 is the one compiled in; version 5 states it again.
        if file.directory_index() != 0
            && let Some(dir) = file.directory(header)
        {
            push(&mut path, &self.unit.attr_string(dir).ok()?.to_string_lossy());
        }
        push(&mut path, &self.unit.attr_string(file.path_name()).ok()?.to_string_lossy());
        Some(path)
    }
}

fn push(path: &mut String, part: &str) {
    if part.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}
