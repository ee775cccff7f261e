//! Object files: whatever lies at a mapping's path gives names or none, the same whether it is mapped or read, within bounds.
#![no_main]

use std::sync::LazyLock;

use diag::profile::symbolize::{Module, SymbolSource as _};
use diag::symbols::{Detail, Options, Resolver, build_id_of_file};
use diag_fuzz::scratch::Scratch;
use libfuzzer_sys::fuzz_target;

static FILES: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("elf"));

/// Function, file and line of each frame at each address.
type Found = Vec<(usize, Vec<(String, String, u32)>)>;

fuzz_target!(|bytes: &[u8]| {
    let dir = FILES.empty();
    FILES.put("program", bytes);
    let path = dir.join("program");
    let path = path.to_str().expect("an ordinary path");
    let _ = build_id_of_file(path.as_ref());
    // Small programs have their code at the beginning.
    let offsets: Vec<u64> = (0..0x400).step_by(3).chain((0x400..0x4000).step_by(61)).collect();
    let ask = |options: Options| -> (Found, Option<Detail>) {
        let options = Options { debug_dirs: vec![dir.join("debug")], max_copied_bytes: 16 << 20, ..options };
        let mut found = Found::new();
        let module = Module { file: path, build_id: "", is_main: true, file_offset: 0, size_bytes: 0x4000 };
        let mut resolver = Resolver::new(options);
        resolver.resolve(&module, &offsets, &mut |at, frames| {
            assert!(at < offsets.len() && !frames.is_empty());
            let frames = frames.iter().map(|f| (f.name.to_owned(), f.file.to_owned(), f.line));
            found.push((at, frames.collect()));
        });
        found.sort();
        (found, resolver.reports().first().map(|report| report.detail))
    };
    let (mapped, detail) = ask(Options::default());
    let (read, also) = ask(Options { in_process: true, ..Options::default() });
    // A section that claims more than may be copied counts for what is read only.
    assert!(detail != also || mapped == read, "mapped or read, the same");
});
