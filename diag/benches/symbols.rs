//! Naming many addresses: time and memory, ours beside the crate addr2line (an index of all debug information) in one
//! run.
//!
//! `cargo bench -p diag --bench symbols`; `DIAG_BENCH_ELF=/path` for another file than this program.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use diag::profile::symbolize::{Module, SymbolSource};
use diag::symbols::{Options, Resolver};
use object::{Object, ObjectSection};

fn main() {
    let path =
        std::env::var_os("DIAG_BENCH_ELF").map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from);
    println!("{} ({} MiB)", path.display(), std::fs::metadata(&path).unwrap().len() >> 20);
    for count in [5_000, 50_000] {
        let addresses = spread(&path, count);
        println!("{} distinct addresses:", addresses.len());
        for _ in 0..2 {
            measure("ours, mapped", || ours(&path, &addresses, Options::default()));
            measure("ours, read", || {
                ours(&path, &addresses, Options { max_copied_bytes: 4 << 30, ..Options::in_process() })
            });
            measure("crate addr2line", || theirs(&path, &addresses));
        }
    }
}

/// Addresses all over the code: offset in the file, and address stated in it.
fn spread(path: &Path, count: u64) -> Vec<(u64, u64)> {
    let data = std::fs::read(path).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    let text = elf.section_by_name(".text").unwrap();
    let (offset, size) = text.file_range().unwrap();
    let step = (size / count).max(1) | 1;
    (0..count)
        .map(|i| i * step)
        .take_while(|at| *at < size)
        .map(|at| (offset + at, text.address() + at))
        .collect()
}

fn ours(path: &Path, addresses: &[(u64, u64)], options: Options) -> (usize, usize) {
    let mut resolver = Resolver::new(options);
    let offsets: Vec<u64> = addresses.iter().map(|a| a.0).collect();
    let file = path.to_str().unwrap();
    let module = Module { file, build_id: "", is_main: false, file_offset: 0, size_bytes: 0 };
    let (mut named, mut frames) = (0, 0);
    resolver.resolve(&module, &offsets, &mut |_, f| {
        named += 1;
        frames += f.len();
    });
    (named, frames)
}

fn theirs(path: &Path, addresses: &[(u64, u64)]) -> (usize, usize) {
    let loader = addr2line::Loader::new(path).unwrap();
    let (mut named, mut frames) = (0, 0);
    for (_, address) in addresses {
        let mut count = 0;
        let mut iter = loader.find_frames(*address).unwrap();
        while let Some(frame) = iter.next().unwrap() {
            // What a profile needs: the name as text, and the place.
            let name = frame.function.as_ref().and_then(|f| f.raw_name().ok().map(|n| n.into_owned()));
            count += usize::from(std::hint::black_box(name).is_some());
        }
        if count == 0 {
            count += usize::from(loader.find_symbol(*address).is_some());
        }
        named += usize::from(count > 0);
        frames += count;
    }
    (named, frames)
}

fn measure(what: &str, run: impl FnOnce() -> (usize, usize)) {
    // 5: reset the high-water mark (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status();
    let start = Instant::now();
    let (named, frames) = run();
    let elapsed = start.elapsed();
    let (anonymous, file, peak) = status();
    println!(
        "  {what:16} {:7.1} ms  {named} named, {frames} frames; peak RSS +{} KiB, afterwards anonymous {:+} KiB, file {:+} KiB",
        elapsed.as_secs_f64() * 1e3,
        peak.saturating_sub(before.0 + before.1),
        anonymous as i64 - before.0 as i64,
        file as i64 - before.1 as i64,
    );
}

/// Resident anonymous and file pages, and the high-water mark of both, in KiB.
fn status() -> (u64, u64, u64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("RssAnon:"), field("RssFile:"), field("VmHWM:"))
}
