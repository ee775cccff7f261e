//! `check` on files: what passes, what does not, and what is no question.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{Row, heap, run, save};

const MIB: i64 = 1 << 20;

fn scratch(base: &[Row<'_>], new: &[Row<'_>]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("base.pb.gz"), &heap(1000, base));
    save(&dir.path().join("new.pb.gz"), &heap(1060, new));
    dir
}

const KEEP: &[&str] = &["shop::keep", "shop::serve", "main"];
const CACHE: &[&str] = &["shop::cache", "main"];

#[test]
fn growth_at_a_site_is_named_with_its_stack() {
    let dir = scratch(
        &[(KEEP, 4 * MIB, 1000), (CACHE, 40 * MIB, 10_000)],
        &[(KEEP, 90 * MIB, 22_500), (CACHE, 40 * MIB, 10_000)],
    );
    let text = run(dir.path(), &["check", "base.pb.gz", "new.pb.gz", "--max-growth", "5%"]);
    assert_eq!(text.code, 1, "{}", text.stderr);
    for says in [
        "regression: the total and 1 site grew",
        "shop::keep",
        "shop::serve",
        "4.0 MiB -> 90.0 MiB, +86.0 MiB",
        "diag-cli diff",
    ] {
        assert!(text.stdout.contains(says), "{says}: {}", text.stdout);
    }
    assert!(!text.stdout.contains("shop::cache"), "{}", text.stdout);
    let json = run(dir.path(), &["check", "base.pb.gz", "new.pb.gz", "--format", "json"]);
    assert_eq!(json.code, 1);
    let d: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((d["schema"].as_str(), d["verdict"].as_str()), (Some("diag.check/1"), Some("regression")));
    let site = &d["regressions"][0];
    assert_eq!((site["site"].as_str(), site["delta"].as_i64()), (Some("shop::keep"), Some(86 * MIB)));
    assert!(site["delta_low"].as_i64() > site["limit"].as_i64(), "{site}");
    assert_eq!(site["frames"][1]["function"], "shop::serve");
}

#[test]
fn no_growth_passes_with_one_line_that_says_what_could_have_been_found() {
    let rows: &[Row<'_>] = &[(KEEP, 400 * MIB, 100_000), (CACHE, 40 * MIB, 10_000)];
    let same = scratch(rows, rows);
    let passed = run(same.path(), &["check", "base.pb.gz", "new.pb.gz"]);
    assert_eq!(passed.ok().stdout.lines().count(), 1, "{}", passed.stdout);
    assert!(passed.stdout.starts_with("ok: inuse_space 440 MiB -> 440 MiB"), "{}", passed.stdout);
    assert!(passed.stdout.contains("found would have been"), "{}", passed.stdout);
    // 8 samples more than 20 are no news.
    let noise = scratch(&[(KEEP, 10 * MIB, 2500)], &[(KEEP, 14 * MIB, 3500)]);
    assert_eq!(run(noise.path(), &["check", "base.pb.gz", "new.pb.gz"]).code, 0);
    // But objects of 4 MiB are seen one by one.
    let large = scratch(&[(KEEP, 256 * MIB, 64)], &[(KEEP, 288 * MIB, 72)]);
    assert_eq!(run(large.path(), &["check", "base.pb.gz", "new.pb.gz"]).code, 1);
    assert_eq!(run(large.path(), &["check", "base.pb.gz", "new.pb.gz", "--max-bytes", "40MiB"]).code, 0);
    assert_eq!(run(large.path(), &["check", "base.pb.gz", "new.pb.gz", "--max-growth", "20%"]).code, 0);
    assert_eq!(run(large.path(), &["check", "new.pb.gz", "base.pb.gz"]).code, 0, "less is fine");
}

#[test]
fn many_sites_that_grow_a_little_are_a_growth_of_the_total() {
    let names: Vec<String> = (0..400).map(|i| format!("shop::f{i}")).collect();
    let stacks: Vec<[&str; 2]> = names.iter().map(|n| [n.as_str(), "main"]).collect();
    let rows =
        |bytes: i64| -> Vec<Row<'_>> { stacks.iter().map(|s| (s.as_slice(), bytes, bytes / 4096)).collect() };
    let dir = scratch(&rows(2 * MIB), &rows(5 * MIB / 2));
    let run = run(dir.path(), &["check", "base.pb.gz", "new.pb.gz"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("the total grew by more than its limit, no single site"), "{}", run.stdout);
}

#[test]
fn questions_that_make_no_sense() {
    let rows: &[Row<'_>] = &[(KEEP, 4 * MIB, 1000)];
    let dir = scratch(rows, rows);
    let fails = |more: &[&str], code: i32, says: &[&str]| {
        let line: Vec<&str> = ["check", "base.pb.gz", "new.pb.gz"].iter().chain(more).copied().collect();
        run(dir.path(), &line).fails(code, says);
    };
    fails(&["--max-growth", "5"], 2, &["5%"]);
    fails(&["--max-bytes", "lots"], 2, &["10MiB"]);
    fails(&["--type", "cpu"], 2, &["cpu", "inuse_space"]);
    fails(&["--type", "inuse_objects", "--max-bytes", "1MiB"], 2, &["--max-bytes", "count"]);
    run(dir.path(), &["check", "base.pb.gz"]).fails(2, &["NEW"]);
    run(dir.path(), &["check", "base.pb.gz", "absent"]).fails(3, &["absent"]);
    assert_eq!(run(dir.path(), &["check", "base.pb.gz", "new.pb.gz", "--type", "inuse_objects"]).code, 0);
}
