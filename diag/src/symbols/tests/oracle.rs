//! Against others who read the same debug information: the crate addr2line, and binutils.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use object::{Object, ObjectSection};

use super::programs::{Found, ask};
use crate::symbols::{Options, Resolver};

/// Offset in the file and size of the code.
pub(super) fn text(path: &Path) -> (u64, u64) {
    let data = std::fs::read(path).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    elf.section_by_name(".text").unwrap().file_range().unwrap()
}

/// Addresses spread over the code of a file, as offset in the file and address stated in it.
fn spread(path: &Path, count: u64) -> Vec<(u64, u64)> {
    let data = std::fs::read(path).unwrap();
    let elf = object::File::parse(&*data).unwrap();
    let text = elf.section_by_name(".text").unwrap();
    let (offset, size) = text.file_range().unwrap();
    // A step that is no multiple of an alignment.
    let step = (size / count).max(1) | 1;
    (0..count)
        .map(|i| i * step)
        .take_while(|at| *at < size)
        .map(|at| (offset + at, text.address() + at))
        .collect()
}

fn ours(path: &Path, addresses: &[(u64, u64)]) -> Found {
    let offsets: Vec<u64> = addresses.iter().map(|a| a.0).collect();
    ask(&mut Resolver::new(Options::default()), path.to_str().unwrap(), "", true, &offsets)
}

#[test]
fn agrees_with_the_crate_addr2line() {
    let path = std::env::current_exe().unwrap();
    let addresses = spread(&path, 5_000);
    let found = ours(&path, &addresses);
    let loader = addr2line::Loader::new(&path).unwrap();
    let mut compared = 0;
    for (&(_, address), found) in addresses.iter().zip(&found) {
        let mut theirs = Vec::new();
        let mut frames = loader.find_frames(address).unwrap();
        while let Some(frame) = frames.next().unwrap() {
            let Some(name) = frame.function else { continue };
            let name = name.raw_name().unwrap().into_owned();
            let place = frame.location.map(|l| (l.file.unwrap_or("").to_owned(), l.line.unwrap_or(0)));
            theirs.push((name, place.unwrap_or_default()));
        }
        if theirs.is_empty() {
            continue;
        }
        compared += 1;
        let mine = found.as_deref().unwrap_or_default();
        assert_eq!(mine.len(), theirs.len(), "{address:#x}: {mine:?} {theirs:?}");
        for (mine, (name, (file, line))) in mine.iter().zip(&theirs) {
            assert_eq!((&mine.2, mine.3), (file, *line), "{address:#x}");
            let mangled = name.starts_with("_R") || name.starts_with("_ZN");
            if mangled {
                assert_eq!(&mine.1, name, "{address:#x}");
            } else if mine.1.is_empty() {
                assert!(mine.0.ends_with(name.as_str()), "{address:#x}: {} {name}", mine.0);
            } else {
                // The symbol table knew more.
                let bare = name.split('<').next().unwrap();
                assert!(bare.contains('{') || mine.0.contains(bare), "{address:#x}: {} {name}", mine.0);
            }
        }
    }
    assert!(compared > 2_500, "{compared}");
}

/// What `addr2line -f -i` of binutils says: for each address its frames, innermost first, as name and `file:line`.
fn binutils(path: &Path, addresses: &[(u64, u64)]) -> Vec<Vec<(String, String)>> {
    let mut child = Command::new("addr2line")
        .args(["-a", "-f", "-i", "-e"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("addr2line of binutils, which comes with the C compiler");
    let mut input = child.stdin.take().unwrap();
    // Small enough for the pipe to take it all before anything is read.
    assert!(addresses.len() < 3000);
    for (_, address) in addresses {
        writeln!(input, "{address:#x}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        assert!(line.starts_with("0x"), "{line}");
        let mut frames = Vec::new();
        while lines.peek().is_some_and(|l| !l.starts_with("0x")) {
            let (name, place) = (lines.next().unwrap(), lines.next().unwrap());
            let place = place.split(" (discriminator").next().unwrap();
            frames.push((name.to_owned(), place.to_owned()));
        }
        all.push(frames);
    }
    assert_eq!(all.len(), addresses.len());
    all
}

#[test]
fn agrees_with_binutils_on_c() {
    let dir = tempfile::tempdir().unwrap();
    for flags in [
        &["-g", "-O2"][..],
        &["-g", "-O0"],
        &["-gdwarf-4", "-O3", "-ffunction-sections"],
        &["-g1", "-O2"],
        &["-g", "-O2", "-gz=zlib"],
    ] {
        let path = super::fixture::program(dir.path(), "oracle", flags);
        let addresses = spread(&path, 400);
        let (mine, theirs) = (ours(&path, &addresses), binutils(&path, &addresses));
        let (mut compared, mut inlined, mut gaps) = (0, 0, 0);
        for ((mine, theirs), (_, address)) in mine.iter().zip(&theirs).zip(&addresses) {
            // They name the gaps between functions as well.
            let Some(mine) = mine else {
                gaps += 1;
                continue;
            };
            // Start-up code: a symbol, no debug information.
            if theirs[0].1.starts_with("??") || theirs[0].1.starts_with("crtstuff.c") {
                assert_eq!(mine[0].0, theirs[0].0, "{address:#x}");
                continue;
            }
            compared += 1;
            let mine: Vec<_> = mine
                .iter()
                .map(|f| {
                    (f.0.clone(), format!("{}:{}", f.2, if f.3 == 0 { "?".into() } else { f.3.to_string() }))
                })
                .collect();
            assert_eq!(&mine, theirs, "{address:#x} {flags:?}");
            inlined += usize::from(theirs.len() > 1);
        }
        assert!(compared > 100 && gaps * 2 < compared, "{compared}, {gaps} gaps, {flags:?}");
        assert!(inlined > 10 || flags.contains(&"-O0"), "{inlined} {flags:?}");
    }
}
