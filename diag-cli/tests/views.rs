//! What the viewing commands print, on heap profiles as diag makes them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{Row, entries, heap, run, save};
use serde_json::Value;

const MIB: i64 = 1 << 20;

const BASE: &[Row<'_>] = &[
    (&["alloc::vec::Vec<T,A>::push", "shop::keep", "shop::serve", "main"], 10 * MIB, 1000),
    (&["shop::cache", "shop::serve", "main"], 5 * MIB, 500),
    (&["shop::boot", "main"], MIB, 10),
];
const NEW: &[Row<'_>] = &[
    (&["alloc::vec::Vec<T,A>::push", "shop::keep", "shop::serve", "main"], 40 * MIB, 4000),
    (&["shop::fresh", "shop::serve", "main"], 2 * MIB, 20),
    (&["shop::boot", "main"], MIB, 10),
];

fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("base.pb.gz"), &heap(1_795_266_000, BASE));
    save(&dir.path().join("new.pb.gz"), &heap(1_795_266_060, NEW));
    dir
}

fn row<'a>(document: &'a Value, site: &str) -> &'a Value {
    document["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["site"] == site)
        .unwrap_or_else(|| panic!("no {site}"))
}

#[test]
fn diff_has_the_fields_of_the_contract() {
    let dir = scratch();
    let diff = run(dir.path(), &["diff", "base.pb.gz", "new.pb.gz", "--format", "json"]).json();
    assert_eq!(diff["schema"], "diag.diff/1");
    assert_eq!(diff["kind"], "inuse_space");
    assert_eq!(diff["elapsed_s"], 60.0);
    let keep = row(&diff, "shop::keep");
    assert_eq!(keep["delta_bytes"], 30 * MIB);
    assert_eq!(keep["delta_objects"], 3000);
    assert_eq!(keep["base_bytes"], 10 * MIB);
    assert_eq!(keep["new_bytes"], 40 * MIB);
    let frames: Vec<&str> =
        keep["frames"].as_array().unwrap().iter().map(|f| f["function"].as_str().unwrap()).collect();
    assert_eq!(frames, ["alloc::vec::Vec<T,A>::push", "shop::keep", "shop::serve", "main"]);
    let (low, high) = (keep["delta_low"].as_i64().unwrap(), keep["delta_high"].as_i64().unwrap());
    assert!(0 < low && low < 30 * MIB && 30 * MIB < high && high < 60 * MIB, "{low} to {high}");
    assert_eq!(row(&diff, "shop::cache")["delta_bytes"], -5 * MIB);
    assert_eq!(row(&diff, "shop::fresh")["base_bytes"], 0);
    assert_eq!(diff["rows"].as_array().unwrap()[0]["site"], "shop::keep");
    assert_eq!(diff["rows_unchanged"], 1);
}

#[test]
fn diff_for_people_shows_both_directions() {
    let dir = scratch();
    let text = run(dir.path(), &["diff", "base.pb.gz", "new.pb.gz"]).ok().stdout.clone();
    let line =
        |site: &str| text.lines().find(|l| l.contains(site)).unwrap_or_else(|| panic!("{site}: {text}"));
    assert!(line("shop::keep").contains("+30.0 MiB") && line("shop::keep").contains("grown"), "{text}");
    assert!(line("shop::cache").contains("-5.0 MiB") && line("shop::cache").contains("vanished"), "{text}");
    assert!(line("shop::fresh").contains("new"), "{text}");
    assert!(text.contains("2026-11-21 13:00:00 UTC") && text.contains("in 1.0 min"), "{text}");
    assert!(!text.contains("shop::boot"), "{text}");
}

#[test]
fn diff_selects_types_and_stacks() {
    let dir = scratch();
    let diff = |more: &[&str]| {
        let mut args = vec!["diff", "base.pb.gz", "new.pb.gz", "--format", "json"];
        args.extend(more);
        run(dir.path(), &args).json()
    };
    assert_eq!(row(&diff(&["--type", "inuse_objects"]), "shop::keep")["delta"], 3000);
    assert_eq!(row(&diff(&["--type", "alloc_space"]), "shop::keep")["delta"], 60 * MIB);
    assert_eq!(diff(&["--focus", "fresh"])["rows"].as_array().unwrap().len(), 1);
    assert_eq!(diff(&["--ignore", "keep"])["rows"].as_array().unwrap().len(), 2);
    assert_eq!(diff(&["-n", "1"])["rows"].as_array().unwrap().len(), 1);
}

#[test]
fn diff_writes_every_format_by_name_or_by_flag() {
    let dir = scratch();
    for out in ["d.json", "d.svg", "d.html", "d.pb.gz", "d.txt"] {
        run(dir.path(), &["diff", "base.pb.gz", "new.pb.gz", "-o", out]).ok();
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(read("d.json").contains("diag.diff/1"));
    assert!(read("d.svg").contains("<svg") && read("d.svg").contains("shop::keep"));
    assert!(read("d.html").starts_with("<!"));
    assert!(read("d.txt").contains("+30.0 MiB"));
    let bytes = std::fs::read(dir.path().join("d.pb.gz")).unwrap();
    let delta = diag::profile::pprof::decode(&bytes).unwrap();
    let index = delta.sample_type_index("inuse_space").unwrap();
    assert_eq!(delta.total(index), 27 * MIB);
    let piped = run(dir.path(), &["diff", "base.pb.gz", "new.pb.gz", "--format", "svg"]);
    assert!(piped.ok().stdout.contains("<svg"));
}

#[test]
fn several_captures_and_directories_give_a_trend() {
    let dir = tempfile::tempdir().unwrap();
    let captures = dir.path().join("caps");
    std::fs::create_dir(&captures).unwrap();
    for n in 0..5 {
        let rows: &[Row<'_>] = &[
            (&["shop::keep", "main"], (n + 1) * 10 * MIB, (n + 1) * 1000),
            (&["shop::boot", "main"], MIB, 10),
        ];
        let taken = 1_795_266_000 + n * 60;
        let process = if n == 0 { "7.100" } else { "8.200" };
        let name = format!("heap-20261121T1300{:02}.000Z-{process}.pb.gz", n);
        save(&captures.join(name), &heap(taken, rows));
    }
    std::fs::write(captures.join("captures.jsonl"), "{}\n").unwrap();
    let diff = run(dir.path(), &["diff", "caps", "--format", "json"]).json();
    assert_eq!(diff["captures_of_other_processes"], 1);
    assert_eq!(row(&diff, "shop::keep")["delta_bytes"], 30 * MIB);
    let trend = &diff["trend"]["rows"][0];
    assert_eq!(trend["site"], "shop::keep");
    let rate = trend["bytes_per_hour"].as_f64().unwrap();
    assert!((rate / (600 * MIB) as f64 - 1.0).abs() < 1e-9, "{rate}");
    let text = run(dir.path(), &["diff", "caps"]).ok().stdout.clone();
    assert!(text.contains("+600 MiB/h") && text.contains("earlier processes"), "{text}");
    assert!(run(dir.path(), &["top", "caps"]).ok().stdout.contains("50.0 MiB"));
}

#[test]
fn top_names_the_users_function_and_runtime_on_demand() {
    let dir = scratch();
    let top = run(dir.path(), &["top", "new.pb.gz", "--format", "json"]).json();
    assert_eq!(top["schema"], "diag.top/1");
    assert_eq!(top["top"]["total"], 43 * MIB);
    let first = &top["top"]["rows"][0];
    assert_eq!((first["function"].as_str(), first["flat"].as_i64()), (Some("shop::keep"), Some(40 * MIB)));
    // Some 80 samples of 10 KiB: known to about a fifth.
    let (low, high) = (first["flat_low"].as_i64().unwrap(), first["flat_high"].as_i64().unwrap());
    assert!((25 * MIB..38 * MIB).contains(&low) && (44 * MIB..60 * MIB).contains(&high), "{low} to {high}");
    let runtime = run(dir.path(), &["top", "new.pb.gz", "--runtime", "--format", "json"]).json();
    assert_eq!(runtime["top"]["rows"][0]["function"], "alloc::vec::Vec<T,A>::push");
    let text = run(dir.path(), &["top", "new.pb.gz", "-n", "1"]).ok().stdout.clone();
    assert!(text.contains("shop::keep") && !text.contains("shop::fresh") && text.contains("more"), "{text}");
    assert!(text.contains("512 KiB"), "the sampling period: {text}");
    for by in ["file", "line", "module", "address", "label:bytes"] {
        run(dir.path(), &["top", "new.pb.gz", "--by", by]).ok();
    }
    assert!(run(dir.path(), &["top", "new.pb.gz", "--by", "module"]).stdout.contains("shop"));
}

#[test]
fn tree_nests_and_sums() {
    let dir = scratch();
    let tree = run(dir.path(), &["tree", "new.pb.gz", "--format", "json"]).json();
    let nodes = tree["nodes"].as_array().unwrap();
    assert_eq!(nodes[0]["total"], 43 * MIB);
    let at = |name: &str| nodes.iter().position(|n| n["name"] == name).unwrap();
    assert_eq!(nodes[at("shop::keep")]["parent"], at("shop::serve"));
    assert_eq!(nodes[at("shop::serve")]["total"], 42 * MIB);
    let text = run(dir.path(), &["tree", "new.pb.gz"]).ok().stdout.clone();
    assert!(text.find("shop::serve").unwrap() < text.find("shop::keep").unwrap(), "{text}");
}

#[test]
fn peek_shows_callers_and_callees() {
    let dir = scratch();
    let peek = run(dir.path(), &["peek", "new.pb.gz", "serve", "--format", "json"]).json();
    let serve = &peek["functions"][0];
    assert_eq!(serve["cum"], 42 * MIB);
    assert_eq!(serve["callees"][0]["function"], "shop::keep");
    run(dir.path(), &["peek", "new.pb.gz", "no_such_function"]).fails(3, &["no_such_function", "(?i)"]);
}

#[test]
fn flame_graphs_by_extension() {
    let dir = scratch();
    let path = run(dir.path(), &["flamegraph", "new.pb.gz"]);
    assert_eq!(path.ok().stdout, "flamegraph.svg\n");
    run(dir.path(), &["flamegraph", "new.pb.gz", "--base", "base.pb.gz", "-o", "d.html"]).ok();
    assert!(run(dir.path(), &["flamegraph", "new.pb.gz", "-o", "-"]).ok().stdout.contains("<svg"));
    let json = run(dir.path(), &["flamegraph", "new.pb.gz", "-o", "e.svg", "--format", "json"]).json();
    assert_eq!(json["path"], "e.svg");
    run(dir.path(), &["flamegraph", "new.pb.gz", "-o", "f.png"]).fails(2, &["f.png", ".svg"]);
    run(dir.path(), &["flamegraph", "new.pb.gz", "--context"]).fails(2, &["--base"]);
    assert_eq!(entries(dir.path()), ["base.pb.gz", "d.html", "e.svg", "flamegraph.svg", "new.pb.gz"]);
}

#[test]
fn conversions_keep_the_total() {
    let dir = scratch();
    let folded = run(dir.path(), &["convert", "new.pb.gz", "--to", "folded"]).ok().stdout.clone();
    let sum: i64 = folded.lines().map(|l| l.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()).sum();
    assert_eq!(sum, 43 * MIB);
    let objects = run(dir.path(), &["convert", "new.pb.gz", "--to", "folded", "--type", "inuse_objects"]);
    assert!(objects.ok().stdout.contains("shop::fresh 20\n"), "{}", objects.stdout);
    for (format, key) in [("speedscope", "$schema"), ("firefox", "meta")] {
        let json = run(dir.path(), &["convert", "new.pb.gz", "--to", format]).json();
        assert!(json.get(key).is_some(), "{format}");
    }
    run(dir.path(), &["convert", "new.pb.gz", "--to", "pprof", "-o", "copy.pb.gz"]).ok();
    let copy = run(dir.path(), &["diff", "new.pb.gz", "copy.pb.gz", "--format", "json"]).json();
    assert_eq!((copy["rows_total"].as_u64(), copy["base_total"].as_i64()), (Some(0), Some(43 * MIB)));
}

#[test]
fn hostile_names_cannot_reach_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let rows: &[Row<'_>] = &[(&["evil\u{1b}[2J\u{7}\nname", "main"], MIB, 1)];
    save(&dir.path().join("a.pb.gz"), &heap(1000, rows));
    save(&dir.path().join("b.pb.gz"), &heap(1001, &[(&["other", "main"], MIB, 1)]));
    for args in [
        &["top", "a.pb.gz"][..],
        &["tree", "a.pb.gz"],
        &["peek", "a.pb.gz", "evil"],
        &["diff", "a.pb.gz", "b.pb.gz"],
    ] {
        let text = run(dir.path(), args).ok().stdout.clone();
        assert!(text.contains("evil") && !text.contains(['\u{1b}', '\u{7}']), "{args:?}: {text}");
    }
}

#[test]
fn the_doctor_on_files() {
    let dir = scratch();
    let worst = |name: &str| {
        let run = run(dir.path(), &["doctor", name, "--format", "json"]);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        (run.code, document["worst"].as_str().unwrap().to_owned(), run.stdout)
    };
    // 4,030 objects of about 10 KiB at one sample every 512 KiB are some 80 samples.
    let (code, severity, text) = worst("new.pb.gz");
    assert_eq!((code, severity.as_str()), (0, "warning"), "{text}");
    assert!(text.contains("DIAG_SAMPLE_BYTES"), "{text}");
    save(&dir.path().join("none.pb.gz"), &heap(1000, &[]));
    let (code, severity, text) = worst("none.pb.gz");
    assert_eq!((code, severity.as_str()), (3, "error"), "{text}");
    assert!(text.contains("no samples"), "{text}");
    std::fs::write(dir.path().join("page"), "<html>").unwrap();
    assert_eq!(worst("page").0, 3);
}
