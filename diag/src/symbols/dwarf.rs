//! Functions, inlined functions and lines from DWARF, for a sorted batch of addresses.
//!
//! Nothing is indexed and nothing is kept: the units that cover a wanted address are read once, from the front to the
//! back, and forgotten. So memory grows with the addresses asked for, not with the debug information. Measured on a
//! 20 MiB program (benches/symbols.rs, 2026-11-21): 5,000 addresses 70 ms and 7 MiB of heap, 50,000 addresses 165 ms; the
//! crate addr2line, which indexes for single look-ups, 92 ms and 30 MiB, and 120 ms without demangling. Sources: DWARF 5,
//! sections 2.17 (ranges), 3.3.8 (inlined subroutines), 6.2 (line table), 7.3 (split and supplementary files).
//!
//! Damaged input yields fewer answers, never an error: whatever was understood before the damage counts. Nesting in the
//! input does not become nesting of calls.

mod functions;
mod lines;
mod names;
pub(super) mod sections;
pub(super) mod split;

use gimli::{DebugInfoOffset, Dwarf, EndianSlice, RunTimeEndian, UnitRef, UnitType};
use hashbrown::{HashMap, HashSet};

use self::functions::Site;
use self::lines::FileNames;
use self::names::Names;
use self::split::SplitFiles;
use super::qualify::module_path;
use super::resident::Resident;
use super::table::{Answers, Known, Row};

/// Bytes of a section.
pub(super) type Slice<'d> = EndianSlice<'d, RunTimeEndian>;

/// Bytes of a range in its list, at most.
const RANGE_BYTES: u64 = 16;

/// Linkers move what they discard to address 0 (or 1, in lists of ranges where 0 ends the list).
const DISCARDED: u64 = 1;

/// Answers what it can. `addresses` are as stated in the file and ascend.
pub(super) fn resolve<'d>(
    dwarf: &mut Dwarf<Slice<'d>>,
    addresses: &[u64],
    files: &mut dyn SplitFiles,
    resident: &Resident<'_>,
    answers: &mut Answers,
) {
    let heads = Heads::of(dwarf, resident);
    if heads.share_abbreviations {
        // Units made by dwz; else they would be parsed anew for each.
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    }
    let dwarf = &*dwarf;
    let mut names = Names::new(dwarf, &heads, resident);
    for &head in &heads.offsets {
        let head = DebugInfoOffset(head);
        let Ok(header) = dwarf.unit_header(head) else { continue };
        if !matches!(header.type_(), UnitType::Compilation | UnitType::Skeleton(_)) {
            continue;
        }
        // Its beginning, and that of its line table.
        resident.look_at(0);
        resident.look_at(0);
        let Ok(unit) = dwarf.unit(header) else { continue };
        let unit = unit.unit_ref(dwarf);
        let mut positions = covered(unit, addresses, resident);
        positions.retain(|&i| answers.known(i) < Known::Plain);
        if positions.is_empty() {
            continue;
        }
        let here: Vec<u64> = positions.iter().filter_map(|&i| addresses.get(i).copied()).collect();
        let mut target = Target { addresses: &here, positions: &positions, resident, answers };
        if let Some(id) = unit.dwo_id
            && split::resolve(dwarf, head, id, files, &mut target).is_some()
        {
            continue;
        }
        target.answer_with(unit, unit, &mut names);
    }
}

/// The addresses wanted of a unit, and where their answers go.
struct Target<'t> {
    /// Ascending.
    addresses: &'t [u64],
    /// Their positions among the answers.
    positions: &'t [usize],
    resident: &'t Resident<'t>,
    answers: &'t mut Answers,
}

/// Where units begin.
struct Heads {
    /// Ascending.
    offsets: Vec<usize>,
    /// Whether some have their abbreviations in common.
    share_abbreviations: bool,
}

impl Heads {
    fn of(dwarf: &Dwarf<Slice<'_>>, resident: &Resident<'_>) -> Self {
        let mut offsets = Vec::new();
        let mut abbreviations = HashSet::new();
        let mut units = dwarf.units();
        let mut share_abbreviations = false;
        while let Ok(Some(header)) = units.next() {
            resident.look_at(0);
            offsets.extend(header.debug_info_offset().map(|o| o.0));
            share_abbreviations |= !abbreviations.insert(header.debug_abbrev_offset().0);
        }
        Self { offsets, share_abbreviations }
    }
}

impl Target<'_> {
    /// Answers from the entries of one unit and the line table of another: the same, unless the unit is split.
    fn answer<'d>(&mut self, entries: UnitRef<'_, Slice<'d>>, lines: UnitRef<'_, Slice<'d>>) {
        let heads = Heads::of(entries.dwarf, self.resident);
        self.answer_with(entries, lines, &mut Names::new(entries.dwarf, &heads, self.resident));
    }

    fn answer_with<'d>(
        &mut self,
        entries: UnitRef<'_, Slice<'d>>,
        lines: UnitRef<'_, Slice<'d>>,
        names: &mut Names<'_, 'd>,
    ) {
        let mut sites = vec![Site::default(); self.addresses.len()];
        let program = lines.line_program.as_ref().map_or(0, |p| p.header().raw_program_buf().len());
        self.resident.look_at(entries.header.length_including_self() as u64);
        self.resident.look_at(program as u64);
        // What was read before an error stands.
        let _ = functions::walk(entries, self.addresses, &mut sites);
        let _ = lines::walk(lines, self.addresses, &mut sites);
        names.begin_unit();
        let mut files = FileNames::new(lines);
        let mut paths = Paths::new(entries);
        for (&position, site) in self.positions.iter().zip(&sites) {
            let (known, rows) = rows(entries, site, names, &mut files, &mut paths, self.answers);
            self.answers.set(position, known, &rows);
        }
    }
}

/// Positions of the addresses that a unit says it covers, ascending.
fn covered(unit: UnitRef<'_, Slice<'_>>, addresses: &[u64], resident: &Resident<'_>) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut count = 0;
    let mut add = |begin: u64, end: u64| {
        if begin > DISCARDED {
            let first = addresses.partition_point(|a| *a < begin);
            let last = addresses.partition_point(|a| *a < end);
            positions.extend(first..last);
        }
    };
    let mut stated = false;
    if let Ok(mut ranges) = unit.unit_ranges() {
        while let Ok(Some(range)) = ranges.next() {
            stated = true;
            count += 1;
            add(range.begin, range.end);
        }
    }
    resident.look_at(count * RANGE_BYTES);
    if !stated {
        // Some assemblers state none; the line table shows them.
        lines::sequences(unit, &mut add);
    }
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// Puts together what the two walks found: frames, innermost first.
fn rows<'d>(
    unit: UnitRef<'_, Slice<'d>>,
    site: &Site,
    names: &mut Names<'_, 'd>,
    files: &mut FileNames<'_, 'd>,
    paths: &mut Paths,
    answers: &mut Answers,
) -> (Known, Vec<Row>) {
    let mut rows = Vec::with_capacity(site.inlined.len() + 1);
    let mut place = site.line;
    let mut known = Known::Nothing;
    let inlined = site.inlined.iter().rev().map(|i| (i.entry, Some(i)));
    for (entry, inlined) in inlined.chain(site.function.map(|f| (f.entry, None))) {
        let (file, line) = place.map_or((0, 0), |(file, line)| (files.get(file, answers), line));
        let function = names.describe(unit.unit, entry, answers);
        let mut row = Row {
            name: function.name,
            system_name: function.system_name,
            file,
            line,
            start_line: function.start_line,
        };
        if function.is_plain {
            row.name = paths.qualify(row.name, file, answers);
        }
        if row.name == 0 && inlined.is_some() {
            row.name = answers.str("??");
        }
        rows.push(row);
        place = inlined.map(|i| (i.call_file.unwrap_or(u64::MAX), i.call_line));
        known = match (function.name, function.is_plain) {
            (0, _) => Known::Line,
            (_, true) => Known::Plain,
            (_, false) => Known::Function,
        };
    }
    if rows.is_empty()
        && let Some((file, line)) = site.line
    {
        known = Known::Line;
        rows.push(Row { file: files.get(file, answers), line, ..Row::default() });
    }
    (known, rows)
}

/// Puts module paths before the bare names of a Rust unit.
struct Paths {
    /// Name of the unit and directory of compilation; `None` in other languages.
    rust: Option<(String, String)>,
    known: HashMap<(u32, u32), u32>,
}

impl Paths {
    fn new(unit: UnitRef<'_, Slice<'_>>) -> Self {
        let language =
            unit.unit.entries().next_dfs().ok().flatten().and_then(|e| e.attr_value(gimli::DW_AT_language));
        let is_rust = language == Some(gimli::AttributeValue::Language(gimli::DW_LANG_Rust));
        let text = |s: Option<Slice<'_>>| s.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Self { rust: is_rust.then(|| (text(unit.name), text(unit.comp_dir))), known: HashMap::new() }
    }

    fn qualify(&mut self, name: u32, file: u32, answers: &mut Answers) -> u32 {
        let Some((unit, comp_dir)) = &self.rust else { return name };
        if name == 0 || file == 0 {
            return name;
        }
        if let Some(&known) = self.known.get(&(name, file)) {
            return known;
        }
        let path = module_path(answers.text(file), unit, comp_dir);
        let full = path.map_or(name, |path| {
            let full = format!("{path}::{}", answers.text(name));
            answers.str(&full)
        });
        self.known.insert((name, file), full);
        full
    }
}
