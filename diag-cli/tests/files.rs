//! Files that are no profiles, places that cannot be written, command lines that make no sense.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{command, entries, finish, heap, run, run_with_stdin, save};

fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("base.pb.gz"), &heap(1000, &[(&["shop::keep", "main"], 1 << 20, 100)]));
    save(&dir.path().join("new.pb.gz"), &heap(1060, &[(&["shop::keep", "main"], 3 << 20, 300)]));
    dir
}

#[test]
fn inputs_that_are_no_profiles() {
    let dir = scratch();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let whole = std::fs::read(dir.path().join("base.pb.gz")).unwrap();
    write("empty", b"");
    write("cut.pb.gz", &whole[..whole.len() / 2]);
    write("page.html", b"<html><body>no</body></html>");
    write("binary", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0]);
    std::fs::create_dir(dir.path().join("none")).unwrap();
    for (input, says) in [
        ("absent.pb.gz", "no such file"),
        ("empty", "is empty"),
        ("cut.pb.gz", "ends too early"),
        ("page.html", "HTML"),
        ("binary", "a program or library"),
        ("none", "no captures in this directory"),
    ] {
        run(dir.path(), &["top", input]).fails(3, &[input, says]);
        run(dir.path(), &["diff", "base.pb.gz", input]).fails(if input == "none" { 2 } else { 3 }, &[input]);
        run(dir.path(), &["flamegraph", input, "-o", "x.svg"]).fails(3, &[input, says]);
        run(dir.path(), &["convert", input, "--to", "folded", "-o", "x.folded"]).fails(3, &[input, says]);
    }
    assert!(!entries(dir.path()).iter().any(|n| n.starts_with('x') || n.contains(".part")));
}

#[test]
fn stdin_is_a_target() {
    let dir = scratch();
    let bytes = std::fs::read(dir.path().join("base.pb.gz")).unwrap();
    let top = run_with_stdin(dir.path(), &["top", "-"], &bytes);
    assert!(top.ok().stdout.contains("shop::keep"));
    run_with_stdin(dir.path(), &["top", "-"], b"").fails(3, &["stdin", "is empty"]);
    run_with_stdin(dir.path(), &["diff", "-", "-"], &bytes).fails(2, &["twice"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let dir = scratch();
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let flame = |out: &str| run(dir.path(), &["flamegraph", "base.pb.gz", "-o", out]);
    flame("dir").fails(2, &["is a directory"]);
    flame("missing/x.svg").fails(3, &["there is no directory missing", "mkdir"]);
    flame("file/x.svg").fails(3, &["file"]);
    run(dir.path(), &["diff", "base.pb.gz", "new.pb.gz", "--format", "json", "-o", "missing/x"])
        .fails(3, &["missing"]);
    run(dir.path(), &["convert", "base.pb.gz", "--to", "pprof", "-o", "dir"]).fails(2, &["is a directory"]);
    if cfg!(target_os = "linux") {
        run(dir.path(), &["convert", "base.pb.gz", "--to", "folded", "-o", "/dev/full"])
            .fails(3, &["/dev/full", "space"]);
        let mut full = command(dir.path());
        full.args(["top", "base.pb.gz"])
            .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let mut child = full.stderr(std::process::Stdio::piped()).spawn().unwrap();
        assert_eq!(common::wait(&mut child, std::time::Duration::from_secs(20)).code(), Some(3));
    }
    assert_eq!(entries(dir.path()), ["base.pb.gz", "dir", "file", "new.pb.gz"]);
}

#[test]
fn a_failed_write_keeps_the_old_file() {
    let dir = scratch();
    std::fs::write(dir.path().join("out.svg"), "old").unwrap();
    run(dir.path(), &["flamegraph", "absent", "-o", "out.svg"]).fails(3, &["absent"]);
    run(dir.path(), &["flamegraph", "base.pb.gz", "--type", "nonsense", "-o", "out.svg"])
        .fails(2, &["nonsense", "inuse_space"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("out.svg")).unwrap(), "old");
}

#[test]
fn command_lines_that_make_no_sense() {
    let dir = scratch();
    let fails = |args: &[&str], says: &[&str]| run(dir.path(), args).fails(2, says);
    fails(&["nonsense"], &["nonsense"]);
    fails(&["top"], &["TARGET"]);
    fails(&["top", "base.pb.gz", "--frobnicate"], &["--frobnicate"]);
    fails(&["top", "base.pb.gz", "--type", "cpu"], &["cpu", "inuse_space"]);
    fails(&["top", "base.pb.gz", "--focus", "("], &["--focus"]);
    fails(&["top", "base.pb.gz", "-n", "-3"], &["-3"]);
    fails(&["top", "base.pb.gz", "--by", "moon"], &["moon", "function"]);
    fails(&["top", "base.pb.gz", "--format", "xml"], &["xml"]);
    fails(&["peek", "base.pb.gz", "["], &["["]);
    fails(&["convert", "base.pb.gz", "--to", "png"], &["png"]);
    fails(&["diff", "base.pb.gz"], &["base.pb.gz"]);
    fails(&["top", "ftp://x/y"], &["ftp"]);
    fails(&["capture", "base.pb.gz"], &["not a live process"]);
    fails(&["capture", "h:1", "--kind", "goroutines"], &["goroutines", "heap, cpu, memory, tasks"]);
    fails(&["capture", "h:1", "--every", "fast"], &["fast"]);
    fails(&["capture", "h:1", "--count", "0"], &["0"]);
    fails(&["capture", "h:1", "--count", "2", "--for", "1m"], &["--for"]);
}

#[test]
fn help_version_completions_and_manual() {
    let dir = scratch();
    assert!(run(dir.path(), &["--help"]).ok().stdout.contains("Exit codes"));
    assert!(run(dir.path(), &["--version"]).ok().stdout.starts_with("diag-cli "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(dir.path(), &["completions", shell]).ok().stdout.contains("flamegraph"));
    }
    assert!(run(dir.path(), &["man"]).ok().stdout.contains(".TH diag-cli"));
    run(dir.path(), &["man", "--out", "pages"]).ok();
    let pages = entries(&dir.path().join("pages"));
    assert!(
        pages.contains(&"diag-cli.1".to_owned()) && pages.contains(&"diag-cli-diff.1".to_owned()),
        "{pages:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Read;
    let dir = scratch();
    // Larger than the pipe's buffer, so that the writer is still at it when the reader goes.
    let rows: Vec<(Vec<String>, i64, i64)> = (0..4000)
        .map(|i| (vec![format!("shop::function_with_a_long_name_{i}"), "main".into()], 1000, 1))
        .collect();
    let names: Vec<Vec<&str>> = rows.iter().map(|r| r.0.iter().map(String::as_str).collect()).collect();
    let table: Vec<common::Row<'_>> =
        rows.iter().zip(&names).map(|(r, n)| (n.as_slice(), r.1, r.2)).collect();
    save(&dir.path().join("many.pb.gz"), &heap(1000, &table));
    let mut top = command(dir.path());
    top.args(["top", "many.pb.gz", "-n", "0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = top.spawn().unwrap();
    let mut first = [0; 10];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let status = common::wait(&mut child, std::time::Duration::from_secs(20));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn colour_only_on_demand() {
    let dir = scratch();
    let plain = run(dir.path(), &["diff", "base.pb.gz", "new.pb.gz"]);
    assert!(!plain.ok().stdout.contains('\u{1b}'));
    let mut forced = command(dir.path());
    forced.args(["diff", "base.pb.gz", "new.pb.gz", "--color", "always"]);
    assert!(finish(forced, &[]).ok().stdout.contains('\u{1b}'));
}
