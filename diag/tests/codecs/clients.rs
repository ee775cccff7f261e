//! What Go's pprof makes of our files. Without Go these tests are skipped aloud; with DIAG_REQUIRE_CLIENTS=1 they fail.

use std::path::Path;
use std::process::Command;

use diag::profile::{Profile, folded, heap_v2, pprof};

use crate::golden_bytes;
use crate::raw::raw;

/// Runs `go tool pprof` on the profile in a folder of its own; `None` when Go is missing.
fn go_pprof(profile: &Profile, options: &[&str]) -> Option<String> {
    if Command::new("go").arg("version").output().is_err() {
        assert!(std::env::var_os("DIAG_REQUIRE_CLIENTS").is_none(), "go is required and missing");
        eprintln!("SKIPPED: go is not installed");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile.pb.gz");
    std::fs::write(&file, pprof::encode_gz(profile)).unwrap();
    Some(run(options, &file, dir.path()))
}

fn run(options: &[&str], file: &Path, dir: &Path) -> String {
    let mut go = Command::new("go");
    go.args(["tool", "pprof", "-symbolize=none"]).args(options).arg(file);
    // Its settings and temporary files go into our folder; GOCACHE must exist for `go tool`.
    go.env("TZ", "UTC").env("HOME", dir).env("PPROF_TMPDIR", dir).env("GOCACHE", dir).env("GOFLAGS", "");
    let output = go.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    out.into_owned()
}

/// From the samples on; without the empty system names that are ours by intention.
fn comparable(text: &str) -> String {
    let at = text.find("Samples:").unwrap_or_else(|| panic!("{text}"));
    let lines = text[at..].lines().map(|l| l.trim_end().trim_end_matches("()").trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn go_reads_what_it_wrote_after_we_rewrote_it() {
    let profile = pprof::decode(&golden_bytes("go_1.19.pb.gz")).unwrap();
    let Some(text) = go_pprof(&profile, &["-raw"]) else { return };
    let original = String::from_utf8(golden_bytes("go_1.19.raw.txt")).unwrap();
    assert_eq!(comparable(&text), comparable(&original));
    // The period and the time stand before the samples.
    let head = |t: &str| t[..t.find("Samples:").unwrap()].to_owned();
    assert_eq!(head(&text), head(&original));
}

#[test]
fn go_reads_a_dump_of_jemalloc_through_us() {
    let profile = heap_v2::parse(&golden_bytes("jemalloc_5.3.1.heap")).unwrap();
    let Some(text) = go_pprof(&profile, &["-raw"]) else { return };
    assert_eq!(comparable(&text), raw(&profile));
    assert!(text.starts_with("PeriodType: space bytes\nPeriod: 16384\n"), "{text}");
}

#[test]
fn go_adds_up_folded_stacks_through_us() {
    let name = "<alloc::vec::Vec<T> as core::iter::FromIterator<T>>::from_iter";
    let profile = folded::parse(format!("main;{name} 30\nmain;other 10\n").as_bytes()).unwrap();
    let Some(text) = go_pprof(&profile, &["-top"]) else { return };
    let row = |name: &str| {
        let row = text.lines().find(|l| l.ends_with(name)).unwrap_or_else(|| panic!("{name} in\n{text}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // flat flat% sum% cum cum% name: the name is not cut as if it were C++.
    assert_eq!(row(name)[..5], ["30", "75.00%", "75.00%", "30", "75.00%"]);
    assert_eq!(row("main")[3..5], ["40", "100%"]);
}

#[test]
fn go_subtracts_our_files() {
    let profile = folded::parse(b"main;a 30\nmain;b 10\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base.pb.gz");
    std::fs::write(&base, pprof::encode_gz(&folded::parse(b"main;a 10\nmain;b 10\n").unwrap())).unwrap();
    let option = format!("-diff_base={}", base.display());
    let Some(text) = go_pprof(&profile, &["-top", &option]) else { return };
    let a = text.lines().find(|l| l.ends_with(" a")).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(a.split_whitespace().next(), Some("20"), "{text}");
}
