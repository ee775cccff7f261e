//! A heap profile of this process, named in this process.

#![cfg(all(feature = "heap", feature = "symbols"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use diag::heap::SnapshotOptions;
use diag::profile::symbolize::{Module, SymbolSource};
use diag::profile::{Profile, Sample};
use diag::symbols::{Detail, Resolver};

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

/// Set in the process that is measured.
const MEASURED: &str = "DIAG_TEST_MEASURED";
/// A unit at a time, what is given back every 16 MiB, and the answers: however much debug information there is.
const MOST_KIB: u64 = 40 << 10;

#[test]
fn naming_addresses_all_over_the_program_takes_little_memory() {
    const NAME: &str = "naming_addresses_all_over_the_program_takes_little_memory";
    if std::env::var_os(MEASURED).is_some() {
        return name_addresses_all_over();
    }
    // A process of its own: what other tests do would count.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(MEASURED, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn name_addresses_all_over() {
    const COUNT: u64 = 2_000;
    let path = std::env::current_exe().unwrap();
    let offsets: Vec<u64> = {
        let data = std::fs::read(&path).unwrap();
        let elf = object::File::parse(&*data).unwrap();
        let text = object::Object::section_by_name(&elf, ".text").unwrap();
        let (offset, size) = object::ObjectSection::file_range(&text).unwrap();
        (0..COUNT).map(|i| offset + i * (size / COUNT)).collect()
    };
    let file = path.to_str().unwrap();
    let module = Module { file, build_id: "", is_main: true, file_offset: 0, size_bytes: 0 };
    let (mut named, mut with_lines) = (0, 0);
    // 5: the high-water mark begins anew (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status_kib("VmRSS:");
    Resolver::in_process().resolve(&module, &offsets, &mut |_, frames| {
        named += 1;
        with_lines += u64::from(frames.iter().any(|f| f.line != 0));
    });
    let (peak, after) =
        (status_kib("VmHWM:").saturating_sub(before), status_kib("VmRSS:").saturating_sub(before));
    println!("{named} named, {with_lines} with lines; at most {peak} KiB more, afterwards {after}");
    assert!(named * 10 > COUNT * 9 && with_lines * 10 > COUNT * 8, "{named}, {with_lines}");
    assert!(peak < MOST_KIB, "{peak} KiB");
}

fn status_kib(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
