//! Names: of the linker (first byte 0 of 3), of functions (1), and names kept on disk (2), whose checksum is put right so that what
//! it guards is read too.
#![no_main]

use std::sync::LazyLock;

use diag::profile::frames;
use diag::profile::symbolize::{Module, SymbolSource as _};
use diag::symbols::{Options, Resolver};
use diag_fuzz::scratch::Scratch;
use libfuzzer_sys::fuzz_target;

static KEPT: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("names"));
const BUILD_ID: &str = "00ff00ff";

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first % 3 {
        0 => text(rest, |linkage| {
            if let Some(name) = diag::fuzzing::demangle(linkage) {
                assert!(name.len() <= 32 << 10);
                classes(&name);
            }
        }),
        1 => text(rest, classes),
        _ => kept(rest),
    }
});

fn text(bytes: &[u8], of: impl Fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        of(text);
    }
}

fn classes(name: &str) {
    let class = frames::classify(name);
    assert_eq!(class, frames::classify(name));
    let _ = (frames::classify_in(name, "/src/lib.rs"), frames::is_allocator(name), frames::is_lock(name));
    if let Some(module) = frames::module_of_name(name) {
        assert!(!module.is_empty());
    }
}

fn kept(bytes: &[u8]) {
    let dir = KEPT.empty();
    let mut file = concat!("diag.names/1 ", "0.1.0", "\n").as_bytes().to_vec();
    file.extend((BUILD_ID.len() as u32).to_le_bytes());
    file.extend(BUILD_ID.as_bytes());
    file.extend(bytes);
    let mut crc = flate2::Crc::new();
    crc.update(&file);
    file.extend(crc.sum().to_le_bytes());
    KEPT.put(&format!("{BUILD_ID}.names"), &file);
    let options = Options { cache_dir: Some(dir.to_owned()), debug_dirs: Vec::new(), ..Options::default() };
    let module =
        Module { file: "/no/such/program", build_id: BUILD_ID, is_main: true, file_offset: 0, size_bytes: 0 };
    let offsets: Vec<u64> = (0..64).chain([1 << 20, u64::MAX]).collect();
    Resolver::new(options).resolve(&module, &offsets, &mut |at, frames| {
        assert!(at < offsets.len() && !frames.is_empty());
    });
}
