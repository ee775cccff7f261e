//! A heap profile of this process, named in this process.

#![cfg(all(feature = "heap", feature = "symbols"))]

use diag::heap::SnapshotOptions;
use diag::profile::{Profile, Sample};
use diag::symbols::Detail;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

trait Store {
    fn retain(&mut self, count: usize);
}

struct Shop<T>(Vec<T>);

impl<T: Clone + Default> Store for Shop<Vec<T>> {
    #[inline(never)]
    fn retain(&mut self, count: usize) {
        for _ in 0..count {
            fill(&mut self.0);
        }
    }
}

#[inline(always)]
fn fill<T: Clone + Default>(shelves: &mut Vec<Vec<T>>) {
    shelves.push(vec![T::default(); 1000]);
}

/// The names of a stack, leaf first.
fn names(profile: &Profile, sample: &Sample<'_>) -> Vec<String> {
    let lines = profile.stack(sample.stack).iter().flat_map(|&l| profile.location(l).lines);
    lines.map(|l| profile.str(profile.function(l.function).name).to_owned()).collect()
}

#[test]
fn a_retaining_function_is_named_and_the_allocator_is_not() {
    let diag = diag::Diag::builder().sample_bytes(4096).start().unwrap();
    let mut shop: Shop<Vec<u64>> = Shop(Vec::new());
    shop.retain(500);
    let addresses = diag.heap().unwrap().snapshot(&SnapshotOptions::default()).unwrap();
    assert!(addresses.functions().is_empty());
    let named = diag.symbolize(&addresses).unwrap();
    let bytes = named.sample_type_index("inuse_space").unwrap();
    assert_eq!(named.total(bytes), addresses.total(bytes));
    let mut retained = 0;
    for sample in named.samples() {
        let names = names(&named, &sample);
        let Some(at) = names.iter().position(|n| n.ends_with("Store>::retain")) else { continue };
        retained += sample.values[bytes];
        assert!(names[at].starts_with("<symbols::Shop<"), "{}", names[at]);
        let above = &names[..at];
        assert!(above.iter().all(|n| !diag::profile::frames::is_allocator(n)), "{above:?}");
        assert!(above.iter().any(|n| n.starts_with("symbols::fill")), "inlined: {above:?}");
    }
    // 500 vectors of 8,000 bytes, all sampled within a few percent.
    assert!((3_000_000..5_000_000).contains(&retained), "{retained}");
    let main = &named.mappings()[0];
    assert!(main.symbols.functions && main.symbols.line_numbers && main.symbols.inline_frames);
    let report = diag.symbol_reports().into_iter().find(|r| r.module == named.str(main.file)).unwrap();
    assert_eq!((report.detail, report.refused.len()), (Detail::Lines, 0), "{report:?}");
    assert!(report.named * 10 > report.addresses * 9, "{report:?}");
    // A second time from memory, with the same result.
    let again = diag.symbolize(&addresses).unwrap();
    assert_eq!(again.location_count(), named.location_count());
    drop(shop);
}
