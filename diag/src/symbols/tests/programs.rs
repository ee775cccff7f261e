//! Known functions of this program.

use crate::profile::symbolize::{Frame, Module, SymbolSource};
use crate::symbols::{Detail, Options, Resolver, build_id_of_file};

/// An address of this program as a profile would state it: offset in the file.
pub(super) fn offset_of(address: usize) -> (String, u64) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (start, end) = words.next().unwrap().split_once('-').unwrap();
        let number = |s| u64::from_str_radix(s, 16).unwrap();
        let (start, end) = (number(start), number(end));
        let offset = number(words.nth(1).unwrap());
        if (start..end).contains(&(address as u64)) {
            let path = words.nth(2).unwrap_or_default();
            return (path.to_owned(), address as u64 - start + offset);
        }
    }
    panic!("{address:#x} is not mapped");
}

/// The frames of offsets of a module: name, system name, base name of the file, line.
pub(super) type Found = Vec<Option<Vec<(String, String, String, u32, u32)>>>;

pub(super) fn ask(
    resolver: &mut Resolver,
    file: &str,
    build_id: &str,
    is_main: bool,
    offsets: &[u64],
) -> Found {
    let mut found = vec![None; offsets.len()];
    let module = Module { file, build_id, is_main, file_offset: 0, size_bytes: 0 };
    resolver.resolve(&module, offsets, &mut |at, frames: &[Frame<'_>]| {
        assert!(found[at].is_none(), "answered twice");
        let own = |f: &Frame<'_>| {
            (f.name.to_owned(), f.system_name.to_owned(), f.file.to_owned(), f.line, f.start_line)
        };
        found[at] = Some(frames.iter().map(own).collect());
    });
    found
}

trait Trade {
    fn sell(&self, n: u64) -> u64;
}

struct Shop<T>(T);

impl<T: Copy + Into<u64>> Trade for Shop<T> {
    #[inline(never)]
    fn sell(&self, n: u64) -> u64 {
        // The line of this call is looked for below.
        outer(self.0.into() + n)
    }
}

#[inline(always)]
fn outer(n: u64) -> u64 {
    inner(n) + 1
}

#[inline(always)]
fn inner(n: u64) -> u64 {
    std::hint::black_box(n.rotate_left(7)) ^ std::hint::black_box(n)
}

const SELL_LINE: u32 = line!() - 16;

#[test]
fn inlined_functions_of_this_program_are_expanded() {
    let sell: fn(&Shop<u32>, u64) -> u64 = <Shop<u32> as Trade>::sell;
    assert_ne!(sell(&Shop(3), 4), 0);
    let (file, start) = offset_of(sell as usize);
    let build_id = build_id_of_file(file.as_ref()).unwrap();
    let offsets: Vec<u64> = (start..start + 200).collect();
    for options in [Options::default(), Options::in_process()] {
        let mut resolver = Resolver::new(options);
        let found = ask(&mut resolver, &file, &build_id, true, &offsets);
        let first = found[0].as_ref().unwrap();
        let this = first.last().unwrap();
        assert!(this.0.starts_with("<diag::symbols::tests::programs::Shop<"), "{}", this.0);
        assert!(this.0.ends_with(" as diag::symbols::tests::programs::Trade>::sell"), "{}", this.0);
        assert!(this.1.starts_with("_R") || this.1.starts_with("_ZN"), "{}", this.1);
        assert!(this.2.ends_with("src/symbols/tests/programs.rs"), "{}", this.2);
        let chain = found.iter().flatten().find(|f| {
            f.len() >= 3 && f[f.len() - 2].0.ends_with("::outer") && f[f.len() - 3].0.ends_with("::inner")
        });
        let chain = chain.expect("an address in the innermost function");
        let [.., inner, outer, this] = chain.as_slice() else { panic!() };
        assert_eq!((this.3, outer.3), (SELL_LINE + 2, SELL_LINE + 8));
        assert_eq!(inner.0, "diag::symbols::tests::programs::inner");
        assert_eq!(resolver.reports()[0].detail, Detail::Lines);
        assert!(resolver.reports()[0].refused.is_empty());
        assert_eq!(resolver.reports()[0].verified, !build_id.is_empty());
    }
}
