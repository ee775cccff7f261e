//! Debug information in several files: `.dwo`, `.dwp`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::program;
use super::programs::{Found, ask};
use crate::symbols::{Detail, Options, Resolver, build_id_of_file};

/// Offsets in the file of functions, by the names of their symbols, ascending.
fn functions(path: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Vec<u64> {
    use object::{Object, ObjectSection, ObjectSymbol};
    let data = std::fs::read(path).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    let text = elf.section_by_name(".text").unwrap();
    let (offset, _) = text.file_range().unwrap();
    let mut found: Vec<u64> = elf
        .symbols()
        .filter(|s| s.name().is_ok_and(is_wanted))
        .map(|s| s.address() - text.address() + offset)
        .collect();
    found.sort_unstable();
    found
}

fn resolve(path: &Path, offsets: &[u64], options: Options) -> (Found, Detail, Vec<PathBuf>) {
    let build_id = build_id_of_file(path).unwrap();
    let mut resolver = Resolver::new(options);
    let found = ask(&mut resolver, path.to_str().unwrap(), &build_id, true, offsets);
    let report = &resolver.reports()[0];
    (found, report.detail, report.used.clone())
}

#[test]
fn units_in_dwo_files() {
    for flags in [&["-g", "-O2", "-gsplit-dwarf"][..], &["-gdwarf-4", "-O2", "-gsplit-dwarf"]] {
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path(), "parts", flags);
        let offsets = functions(&path, &|name| ["kept", "exported", "main"].contains(&name));
        let all: Vec<u64> = offsets.iter().flat_map(|o| *o..*o + 40).collect();
        let dwo: PathBuf = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|x| x == "dwo"))
            .expect("the compiler splits");
        let whole = program(&dir.path().join("."), "whole", &flags[..2]);
        assert_ne!(whole, path);
        for options in [Options::default(), Options::in_process()] {
            let (found, detail, used) = resolve(&path, &all, options);
            assert_eq!(detail, Detail::Lines);
            assert_eq!(used, [path.clone(), dwo.clone()]);
            let inlined = found.iter().flatten().filter(|f| f.len() > 1).count();
            assert!(inlined > 3, "{inlined} {flags:?}");
            for frames in found.iter().flatten() {
                assert!(
                    ["kept", "exported", "main"].contains(&frames.last().unwrap().0.as_str()),
                    "{frames:?}"
                );
                let (place, start) = (&frames.last().unwrap().2, frames.last().unwrap().4);
                assert!(place.ends_with("/parts.c") && start > 0, "{frames:?}");
            }
        }
        // Elsewhere, in the symbol path; then nowhere: the linked file still has lines and symbols.
        let elsewhere = tempfile::tempdir().unwrap();
        let moved = elsewhere.path().join(dwo.file_name().unwrap());
        std::fs::rename(&dwo, &moved).unwrap();
        let options = Options { symbol_path: vec![elsewhere.path().into()], ..Options::default() };
        let (found, _, used) = resolve(&path, &all, options);
        assert!(used.contains(&moved));
        assert!(found.iter().flatten().any(|f| f.len() > 1));
        let (found, _, _) = resolve(&path, &all, Options::default());
        assert!(found.iter().flatten().all(|f| f.len() == 1));
        assert!(found.iter().flatten().filter(|f| f[0].3 > 0 && f[0].0 != "main").count() > 10);
    }
}

#[test]
fn a_package_by_rustc() {
    let dir = tempfile::tempdir().unwrap();
    let source = r#"
mod shop {
    pub trait Sell { fn sell(&self, n: u64) -> u64; }
    pub struct Cart<T>(pub T);
    impl<T: Copy + Into<u64>> Sell for Cart<T> {
        #[inline(never)]
        fn sell(&self, n: u64) -> u64 { discount(n) + self.0.into() }
    }
    #[inline(always)]
    fn discount(n: u64) -> u64 { std::hint::black_box(n * 9) / std::hint::black_box(10) }
}
fn main() {
    use shop::Sell;
    println!("{}", shop::Cart(3u32).sell(std::env::args().count() as u64));
}
"#;
    std::fs::write(dir.path().join("packed.rs"), source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compile = Command::new(rustc);
    compile.args(["-g", "-O", "-C", "split-debuginfo=packed", "-C", "link-arg=-Wl,--build-id", "packed.rs"]);
    let output = compile.current_dir(dir.path()).output().expect("rustc, which comes with cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = dir.path().join("packed");
    let package = dir.path().join("packed.dwp");
    assert!(package.exists());
    let starts = functions(&path, &|name| name.contains("4sell"));
    assert_eq!(starts.len(), 1);
    let all: Vec<u64> = (starts[0]..starts[0] + 40).collect();
    for options in [Options::default(), Options::in_process()] {
        let (found, detail, used) = resolve(&path, &all, options);
        assert_eq!(detail, Detail::Lines);
        assert_eq!(used, [path.clone(), package.clone()]);
        let inlined = found.iter().flatten().find(|f| f.iter().any(|f| f.0 == "packed::shop::discount"));
        let inlined = inlined.unwrap_or_else(|| panic!("an inlined function: {found:?}"));
        assert_eq!(
            inlined.last().unwrap().0,
            "<packed::shop::Cart<u32> as packed::shop::Sell>::sell".replace("u32", "T")
        );
        assert_eq!(inlined.last().unwrap().3, 7);
    }
}
