//! Names from symbol tables, for a sorted batch of addresses, in one pass and without an index of the symbols.
//!
//! A symbol with a size names the addresses it covers; of several, the one that starts last, then the one that is
//! visible furthest. A symbol without a size (assembly) names what follows it, up to the next symbol or the end of its
//! section.

use object::elf::{Sym32, Sym64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolIndex, SymbolKind};

use super::image::Elf;
use super::table::{Answers, Known};

/// Which table of symbols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Symtab {
    /// `.symtab`: all functions.
    Full,
    /// `.dynsym`: exported functions only.
    Dynamic,
}

/// Names what has no name yet. `addresses` (as stated in the file) ascend. Returns how many were named.
pub(super) fn resolve(elf: &Elf<'_>, which: Symtab, addresses: &[u64], answers: &mut Answers) -> usize {
    let mut best: Vec<Option<Candidate>> = vec![None; addresses.len()];
    let mut unsized_symbols = Vec::new();
    each(elf, which, &mut |symbol| {
        if symbol.size == 0 {
            unsized_symbols.push(symbol);
            return;
        }
        let end = symbol.start.saturating_add(symbol.size);
        let first = addresses.partition_point(|a| *a < symbol.start);
        for (address, best) in addresses.iter().zip(best.iter_mut()).skip(first) {
            if *address >= end {
                break;
            }
            if best.is_none_or(|b| symbol.is_better_than(&b)) {
                *best = Some(symbol);
            }
        }
    });
    let unnamed = |best: &[Option<Candidate>], answers: &Answers| {
        best.iter().enumerate().any(|(i, b)| b.is_none() && answers.known(i) < Known::Plain)
    };
    if !unsized_symbols.is_empty() && unnamed(&best, answers) {
        add_unsized(elf, which, addresses, unsized_symbols, &mut best);
    }
    let mut named = 0;
    for (position, candidate) in best.iter().enumerate() {
        let before = answers.known(position);
        if before == Known::Function {
            continue;
        }
        let Some(name) = candidate.and_then(|c| name(elf, which, c.index)) else { continue };
        answers.name(position, &name);
        named += usize::from(before < Known::Plain);
    }
    named
}

/// Size of the table in the file, whatever its section is called.
pub(super) fn size_bytes(elf: &Elf<'_>, which: Symtab) -> u64 {
    let (count, size) = match (elf, which) {
        (object::File::Elf64(elf), Symtab::Full) => (elf.elf_symbol_table().len(), SYMBOL_64),
        (object::File::Elf64(elf), Symtab::Dynamic) => (elf.elf_dynamic_symbol_table().len(), SYMBOL_64),
        (object::File::Elf32(elf), Symtab::Full) => (elf.elf_symbol_table().len(), SYMBOL_32),
        (object::File::Elf32(elf), Symtab::Dynamic) => (elf.elf_dynamic_symbol_table().len(), SYMBOL_32),
        _ => return 0,
    };
    (count * size) as u64
}

const SYMBOL_64: usize = size_of::<Sym64<Endianness>>();
const SYMBOL_32: usize = size_of::<Sym32<Endianness>>();

/// Whether a symbol table has any function.
pub(super) fn has_functions(elf: &Elf<'_>, which: Symtab) -> bool {
    let mut any = false;
    let table = match which {
        Symtab::Full => elf.symbols(),
        Symtab::Dynamic => elf.dynamic_symbols(),
    };
    for symbol in table {
        any |= symbol.is_definition() && symbol.kind() == SymbolKind::Text;
        if any {
            break;
        }
    }
    any
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    start: u64,
    size: u64,
    is_global: bool,
    index: SymbolIndex,
}

impl Candidate {
    fn is_better_than(&self, other: &Self) -> bool {
        (self.start, self.is_global) > (other.start, other.is_global)
    }
}

fn each(elf: &Elf<'_>, which: Symtab, visit: &mut dyn FnMut(Candidate)) {
    let table = match which {
        Symtab::Full => elf.symbols(),
        Symtab::Dynamic => elf.dynamic_symbols(),
    };
    for symbol in table {
        let is_code = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label);
        if !is_code || !symbol.is_definition() && symbol.kind() == SymbolKind::Text {
            continue;
        }
        if symbol.section_index().is_none() {
            continue;
        }
        let (start, size) = (symbol.address(), symbol.size());
        visit(Candidate { start, size, is_global: symbol.is_global(), index: symbol.index() });
    }
}

fn name(elf: &Elf<'_>, which: Symtab, index: SymbolIndex) -> Option<String> {
    let symbol = match which {
        Symtab::Full => elf.symbol_by_index(index).ok()?,
        Symtab::Dynamic => elf
            .dynamic_symbol_table()
            .and_then(|t| object::ObjectSymbolTable::symbol_by_index(&t, index).ok())?,
    };
    let name = String::from_utf8_lossy(symbol.name_bytes().ok()?).into_owned();
    // Labels of the assembler and mapping symbols (`$x`, `$d`) are no functions.
    (!name.is_empty() && !name.starts_with(".L") && !name.starts_with('$')).then_some(name)
}

fn add_unsized(
    elf: &Elf<'_>,
    which: Symtab,
    addresses: &[u64],
    mut symbols: Vec<Candidate>,
    best: &mut [Option<Candidate>],
) {
    let code: Vec<(u64, u64)> = elf
        .sections()
        .filter(|s| s.kind() == object::SectionKind::Text)
        .map(|s| (s.address(), s.address().saturating_add(s.size())))
        .collect();
    symbols.retain(|s| name(elf, which, s.index).is_some());
    symbols.sort_by_key(|s| (s.start, s.is_global));
    let mut starts = Vec::new();
    each(elf, which, &mut |s| starts.push(s.start));
    starts.sort_unstable();
    for (address, best) in addresses.iter().zip(best.iter_mut()) {
        if best.is_some() {
            continue;
        }
        let Some(section) = code.iter().find(|(start, end)| (*start..*end).contains(address)) else {
            continue;
        };
        let before = symbols.partition_point(|s| s.start <= *address);
        let Some(symbol) = before.checked_sub(1).and_then(|i| symbols.get(i)) else { continue };
        let next = starts.get(starts.partition_point(|s| *s <= *address).wrapping_sub(1));
        if symbol.start >= section.0 && next.is_none_or(|n| *n <= symbol.start) {
            *best = Some(*symbol);
        }
    }
}
