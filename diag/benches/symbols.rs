//! Naming many addresses: time and memory, ours beside the crate addr2line (an index of all debug information) in one
//! run.
//!
//! `cargo bench -p diag --bench symbols`; `DIAG_BENCH_ELF=/path` for another file than this program, which a host reads and does not
//! map.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use diag::profile::symbolize::{Module, SymbolSource};
use diag::symbols::{Options, Resolver};
use object::{Object, ObjectSection};

const KINDS: [&str; 3] = ["ours, as a tool", "ours, in a host", "crate addr2line"];

fn main() {
    let path =
        std::env::var_os("DIAG_BENCH_ELF").map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from);
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("--one") {
        let (kind, count) = (args.next().unwrap(), args.next().unwrap().parse().unwrap());
        return one(&path, &kind, count);
    }
    println!("{} ({} MiB)", path.display(), std::fs::metadata(&path).unwrap().len() >> 20);
    for count in [5_000, 50_000] {
        println!("{count} addresses:");
        for kind in KINDS.iter().chain(&KINDS) {
            // A process each: memory that an earlier run left behind would count for the next.
            let mut child = Command::new(std::env::current_exe().unwrap());
            let status =
                child.args(["--one", kind, &count.to_string()]).env("DIAG_BENCH_ELF", &path).status();
            assert!(status.unwrap().success());
        }
    }
}

fn one(path: &Path, kind: &str, count: u64) {
    let addresses = spread(path, count);
    measure(kind, || match kind {
        "ours, as a tool" => ours(path, &addresses, Options::default()),
        "ours, in a host" => {
            ours(path, &addresses, Options { max_copied_bytes: 4 << 30, ..Options::in_process() })
        }
        _ => theirs(path, &addresses),
    });
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
    let (start, cpu) = (Instant::now(), cpu_ms());
    let (named, frames) = run();
    let (wall, cpu) = (start.elapsed().as_secs_f64() * 1e3, cpu_ms() - cpu);
    let (anonymous, file, peak) = status();
    println!(
        "  {what:16} cpu {cpu:6.0} ms, wall {wall:6.0} ms; {named} named, {frames} frames; RSS at most +{} KiB, afterwards \
         anonymous {:+} KiB, file {:+} KiB",
        peak.saturating_sub(before.0 + before.1),
        anonymous as i64 - before.0 as i64,
        file as i64 - before.1 as i64,
    );
}

/// Time on a CPU so far, of this thread.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6
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
