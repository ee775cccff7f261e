//! Which files are used, which are refused, and what the report says.

use std::path::{Path, PathBuf};

use super::fixture::{program, run};
use super::programs::{Found, ask};
use crate::symbols::{Detail, ModuleReport, Options, Resolver, build_id_of_file};

/// A program with debug information, its build id, and offsets of its functions.
struct Program {
    dir: tempfile::TempDir,
    path: PathBuf,
    build_id: String,
    offsets: Vec<u64>,
}

impl Program {
    fn new(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path(), "prog", flags);
        let build_id = build_id_of_file(&path).unwrap();
        assert_eq!(build_id.len(), 40);
        // Starts of functions; the layout of this linker has offset and address equal or a page apart.
        let data = std::fs::read(&path).unwrap();
        let elf = object::File::parse(&*data).unwrap();
        let text = object::Object::section_by_name(&elf, ".text").unwrap();
        let (offset, _) = object::ObjectSection::file_range(&text).unwrap();
        let address = object::ObjectSection::address(&text);
        let mut offsets: Vec<u64> = object::Object::symbols(&elf)
            .filter(|s| matches!(object::ObjectSymbol::name(s), Ok("kept" | "exported" | "main")))
            .map(|s| object::ObjectSymbol::address(&s) - address + offset)
            .collect();
        offsets.sort_unstable();
        assert_eq!(offsets.len(), 3);
        Self { dir, path, build_id, offsets }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Moves the debug information to `prog.debug`.
    fn strip(&self, link: bool) -> PathBuf {
        run("objcopy", &["--only-keep-debug", "prog", "prog.debug"], self.dir());
        run("strip", &["prog"], self.dir());
        if link {
            run("objcopy", &["--add-gnu-debuglink=prog.debug", "prog"], self.dir());
        }
        self.dir().join("prog.debug")
    }

    fn ask(&self, options: Options) -> (Found, ModuleReport) {
        self.ask_for(&self.build_id, options)
    }

    fn ask_for(&self, build_id: &str, options: Options) -> (Found, ModuleReport) {
        let mut resolver = Resolver::new(options);
        let found = ask(&mut resolver, self.path.to_str().unwrap(), build_id, true, &self.offsets);
        (found, resolver.reports()[0].clone())
    }
}

/// No directory of the system, so that nothing but the test decides.
fn alone() -> Options {
    Options { debug_dirs: vec![], ..Options::default() }
}

fn names(found: &Found) -> Vec<&str> {
    let mut names: Vec<_> =
        found.iter().map(|f| f.as_ref().map_or("", |f| f.last().unwrap().0.as_str())).collect();
    names.sort_unstable();
    names
}

const ALL: [&str; 3] = ["exported", "kept", "main"];

fn assert_lines(found: &Found) {
    assert_eq!(names(found), ALL);
    for frames in found.iter().flatten() {
        let outermost = frames.last().unwrap();
        assert!(outermost.2.ends_with("/prog.c") && outermost.4 > 0, "{outermost:?}");
        assert!(frames.iter().all(|f| f.3 > 0), "{frames:?}");
    }
}

#[test]
fn debug_information_in_the_file_itself() {
    for flags in
        [&["-g", "-O2"][..], &["-g", "-O2", "-no-pie"], &["-g", "-O2", "-gz=zlib"], &["-gdwarf-4", "-O2"]]
    {
        let p = Program::new(flags);
        for options in [alone(), Options { debug_dirs: vec![], ..Options::in_process() }] {
            let (found, report) = p.ask(options);
            assert_lines(&found);
            assert_eq!((report.detail, report.verified), (Detail::Lines, true));
            assert_eq!(report.used, std::slice::from_ref(&p.path));
            assert_eq!((report.addresses, report.named), (3, 3));
            assert_eq!(report.advice(), None);
        }
    }
}

#[test]
fn a_symbol_table_names_functions() {
    let p = Program::new(&["-O2"]);
    let (found, report) = p.ask(alone());
    assert_eq!(names(&found), ALL);
    assert!(found.iter().flatten().all(|f| f.len() == 1 && f[0].3 == 0 && f[0].2.is_empty()));
    assert_eq!(report.detail, Detail::Functions);
    let advice = report.advice().unwrap();
    assert!(advice.contains(&p.build_id) && advice.contains("/prog "), "{advice}");
}

#[test]
fn a_little_debug_information_is_not_taken_for_all() {
    // As in a Rust program without debug information: the standard library has its own.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("with.c"), "int with(int n) { return n * 7; }").unwrap();
    run("cc", &["-g", "-O1", "-c", "with.c"], dir.path());
    let path = program(dir.path(), "prog", &["-O2", "with.o"]);
    let build_id = build_id_of_file(&path).unwrap();
    let (start, size) = super::oracle::text(&path);
    let offsets: Vec<u64> = (start..start + size).collect();
    let cache = dir.path().join("cache");
    let mut resolver = Resolver::new(Options { cache_dir: Some(cache.clone()), ..alone() });
    let found = ask(&mut resolver, path.to_str().unwrap(), &build_id, true, &offsets);
    let with = found.iter().flatten().filter(|f| f[0].0 == "with").count();
    assert!(with > 3 && found.iter().flatten().filter(|f| f[0].0 == "with").all(|f| f[0].3 == 1));
    let report = &resolver.reports()[0];
    assert_eq!((report.detail, report.with_lines), (Detail::Functions, with as u64));
    assert!(report.named > 4 * report.with_lines);
    assert!(report.notes[0].contains("without debug information"), "{report:?}");
    assert!(!cache.exists(), "a file with all of it may come later");
}

#[test]
fn a_stripped_file_keeps_what_it_exports() {
    let p = Program::new(&["-g", "-O2", "-rdynamic"]);
    p.strip(false);
    std::fs::remove_file(p.dir().join("prog.debug")).unwrap();
    let (found, report) = p.ask(alone());
    assert_eq!(names(&found), ["", "exported", "main"], "the static function stays an address");
    assert_eq!(report.detail, Detail::Exported);
    let p = Program::new(&["-g", "-O2"]);
    p.strip(false);
    std::fs::remove_file(p.dir().join("prog.debug")).unwrap();
    let (found, report) = p.ask(alone());
    assert_eq!(names(&found), ["", "", ""]);
    assert_eq!(report.detail, Detail::None);
    let (first, rest) = p.build_id.split_at(2);
    assert!(report.advice().unwrap().contains(&format!(".build-id/{first}/{rest}.debug")));
}

#[test]
fn separate_debug_files_are_found() {
    for flags in [&["-g", "-O2"][..], &["-g", "-O2", "-no-pie"], &["-g", "-O2", "-gz=zlib"]] {
        let p = Program::new(flags);
        let debug = p.strip(true);
        // By the link, beside the program and in `.debug`.
        let (found, report) = p.ask(alone());
        assert_lines(&found);
        assert_eq!(report.used, [p.path.clone(), debug.clone()]);
        let hidden = p.dir().join(".debug/prog.debug");
        std::fs::create_dir(hidden.parent().unwrap()).unwrap();
        std::fs::rename(&debug, &hidden).unwrap();
        let (found, report) = p.ask(alone());
        assert_lines(&found);
        assert_eq!(report.used[1], hidden);
        // By build id, in every layout; by name.
        let elsewhere = tempfile::tempdir().unwrap();
        let (first, rest) = p.build_id.split_at(2);
        let places = [
            format!(".build-id/{first}/{rest}.debug"),
            format!("{first}/{rest}.debug"),
            format!("{}.debug", p.build_id),
            "prog.debug".to_owned(),
            "prog".to_owned(),
        ];
        let mut at = hidden;
        for place in places {
            let to = elsewhere.path().join(place);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::rename(&at, &to).unwrap();
            at = to;
            let (found, report) = p.ask(Options { symbol_path: vec![elsewhere.path().into()], ..alone() });
            assert_lines(&found);
            assert!(report.used.contains(&at), "{:?}", report.used);
            // In a host process the same, without a map.
            let options = Options { symbol_path: vec![elsewhere.path().into()], ..Options::in_process() };
            assert_lines(&p.ask(options).0);
        }
        let system = tempfile::tempdir().unwrap();
        let to = system.path().join(format!(".build-id/{first}/{rest}.debug"));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(&at, &to).unwrap();
        let options = Options { debug_dirs: vec![system.path().into()], ..Options::default() };
        assert_lines(&p.ask(options.clone()).0);
        // The program itself is gone: its debug file alone has to do.
        std::fs::remove_file(&p.path).unwrap();
        let mut resolver = Resolver::new(options);
        let (map_offset, map_size) = code_segment(&to);
        let module = crate::profile::symbolize::Module {
            file: p.path.to_str().unwrap(),
            build_id: &p.build_id,
            is_main: true,
            file_offset: map_offset,
            size_bytes: map_size,
        };
        let mut found = vec![];
        crate::profile::symbolize::SymbolSource::resolve(&mut resolver, &module, &p.offsets, &mut |_, f| {
            found.push(f.last().unwrap().name.to_owned());
        });
        found.sort();
        assert_eq!(found, ALL, "{flags:?}");
    }
}

/// The mapping that a process would have of the code: GNU ld gives the segment a page of its own at equal offset.
fn code_segment(debug: &Path) -> (u64, u64) {
    let data = std::fs::read(debug).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    let code = object::Object::segments(&elf)
        .find(|s| matches!(object::ObjectSegment::flags(s), object::SegmentFlags::Elf { p_flags, .. } if p_flags.contains(object::elf::PF_X)))
        .unwrap();
    let address = object::ObjectSegment::address(&code);
    let base = object::Object::segments(&elf).map(|s| object::ObjectSegment::address(&s)).min().unwrap();
    (address - base, object::ObjectSegment::size(&code).next_multiple_of(4096))
}

#[test]
fn another_build_is_refused_and_said_so() {
    let p = Program::new(&["-g", "-O2"]);
    let other = "00112233445566778899aabbccddeeff00112233";
    let (found, report) = p.ask_for(other, alone());
    assert_eq!(names(&found), ["", "", ""]);
    assert_eq!(report.detail, Detail::None);
    assert_eq!(report.refused[0].path, p.path);
    assert!(
        report.refused[0].why.contains(&p.build_id) && report.refused[0].why.contains(other),
        "{report:?}"
    );
    // A given binary is checked as well, and the right one at the old place still serves.
    let wrong = Program::new(&["-g", "-O1"]);
    assert_ne!(wrong.build_id, p.build_id);
    let (found, report) = p.ask(Options { binary: Some(wrong.path.clone()), ..alone() });
    assert_lines(&found);
    assert_eq!(report.refused[0].path, wrong.path);
    // Without a build id in the profile the path has to do.
    let (found, report) = p.ask_for("", alone());
    assert_lines(&found);
    assert_eq!((report.verified, report.build_id), (false, p.build_id.clone()));
}

#[test]
fn a_given_binary_replaces_a_path_that_is_gone() {
    let p = Program::new(&["-g", "-O2"]);
    let moved = p.dir().join("moved");
    std::fs::rename(&p.path, &moved).unwrap();
    let (found, report) = p.ask(alone());
    assert_eq!(names(&found), ["", "", ""]);
    assert_eq!(report.missing, std::slice::from_ref(&p.path));
    let (found, report) = p.ask(Options { binary: Some(moved.clone()), ..alone() });
    assert_lines(&found);
    assert_eq!(report.used, [moved]);
}

#[test]
fn a_link_to_a_changed_debug_file_is_refused() {
    let p = Program::new(&["-g", "-O2"]);
    let debug = p.strip(true);
    let mut bytes = std::fs::read(&debug).unwrap();
    bytes.push(0);
    std::fs::write(&debug, bytes).unwrap();
    let (found, _) = p.ask(alone());
    assert_lines(&found);
    // Its build id vouched for it; without one the CRC has to.
    run("objcopy", &["--remove-section=.note.gnu.build-id", "prog.debug"], p.dir());
    let (_, report) = p.ask(alone());
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert!(report.refused[0].why.contains("CRC"), "{report:?}");
    assert_eq!(report.detail, Detail::None);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let p = Program::new(&["-g", "-O2"]);
    std::fs::remove_file(&p.path).unwrap();
    // Opening a FIFO would wait for a writer for ever.
    run("mkfifo", &["prog"], p.dir());
    let (found, report) = p.ask(alone());
    assert_eq!(names(&found), ["", "", ""]);
    assert!(report.refused[0].why.contains("regular"), "{report:?}");
    for (content, why) in [(&b""[..], "empty"), (b"<html>", "ELF"), (b"\x7fELF", "ELF")] {
        std::fs::remove_file(&p.path).unwrap();
        std::fs::write(&p.path, content).unwrap();
        let (_, report) = p.ask(alone());
        assert!(report.refused[0].why.contains(why), "{report:?}");
    }
    assert!(build_id_of_file(p.dir()).unwrap_err().contains("regular"));
    assert!(build_id_of_file(&p.dir().join("none")).unwrap_err().contains("no such file"));
}

#[test]
fn pseudo_files_are_skipped_without_a_word() {
    let mut resolver = Resolver::new(alone());
    for file in ["[vdso]", "linux-vdso.so.1", "//anon", "", "[heap]"] {
        assert_eq!(ask(&mut resolver, file, "", false, &[0x100]), [None]);
    }
    assert_eq!(ask(&mut resolver, "linux-vdso.so.1", "abcdef01", false, &[0x100]), [None]);
    assert!(resolver.reports().is_empty());
}

#[test]
fn too_much_debug_information_is_not_copied() {
    let p = Program::new(&["-g", "-O2", "-gz=zlib"]);
    let (found, report) = p.ask(Options { max_copied_bytes: 1000, ..alone() });
    assert_eq!(names(&found), ALL, "the symbol table is not copied");
    assert_eq!(report.detail, Detail::Functions);
    assert!(report.notes[0].contains("not used"), "{report:?}");
}

#[test]
fn answers_are_kept_on_disk() {
    let p = Program::new(&["-g", "-O2"]);
    let cache = tempfile::tempdir().unwrap();
    let options = Options { cache_dir: Some(cache.path().join("names")), ..alone() };
    let (first, _) = p.ask(options.clone());
    assert_lines(&first);
    let kept = cache.path().join("names").join(format!("{}.names", p.build_id));
    assert!(kept.is_file());
    // Another address later joins them.
    let one = ask(
        &mut Resolver::new(options.clone()),
        p.path.to_str().unwrap(),
        &p.build_id,
        true,
        &[p.offsets[0] + 1],
    );
    assert!(one[0].is_some());
    std::fs::remove_file(&p.path).unwrap();
    let (again, report) = p.ask(options.clone());
    assert_eq!(again, first);
    assert_eq!((report.detail, report.used), (Detail::Lines, vec![kept.clone()]));
    let later = ask(
        &mut Resolver::new(options.clone()),
        p.path.to_str().unwrap(),
        &p.build_id,
        true,
        &[p.offsets[0] + 1],
    );
    assert_eq!(later, one);
    // Damaged, it counts as absent.
    std::fs::write(&kept, b"diag.names/1 nonsense").unwrap();
    assert_eq!(names(&p.ask(options).0), ["", "", ""]);
    // Names from a symbol table are not kept.
    let p = Program::new(&["-O2"]);
    let (_, report) = p.ask(Options { cache_dir: Some(cache.path().join("none")), ..alone() });
    assert_eq!((report.detail, cache.path().join("none").exists()), (Detail::Functions, false));
}

#[test]
fn the_running_executable_is_found_under_any_name() {
    let (file, offset) = super::programs::offset_of(answers_are_kept_on_disk as *const () as usize);
    let build_id = build_id_of_file(file.as_ref()).unwrap();
    for path in [format!("{file} (deleted)"), file.clone(), "/gone/elsewhere".to_owned()] {
        let mut resolver = Resolver::in_process();
        let found = ask(&mut resolver, &path, &build_id, true, &[offset]);
        let name = &found[0].as_ref().unwrap().last().unwrap().0;
        assert!(name.ends_with("files::answers_are_kept_on_disk"), "{name}");
        assert_eq!(resolver.reports()[0].used, [PathBuf::from("/proc/self/exe")]);
    }
    // The CLI is not the program it looks at.
    let mut resolver = Resolver::new(alone());
    assert_eq!(ask(&mut resolver, "/gone/elsewhere", &build_id, true, &[offset]), [None]);
}
