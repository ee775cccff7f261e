//! CPU profiles through every command: recorded from a target, kept in files, looked at, and refused where they make no sense.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::server::{Reply, Request, Server, ok, profile, status};
use common::{command, entries, finish, heap, run, save};
use diag::profile::{Profile, pprof, speedscope};
use serde_json::Value;

const STATUS: &str = "/debug/diag/api/v1/status";
const MEMORY: &str = "/debug/diag/api/v1/memory";
const PROFILE: &str = "/debug/pprof/profile";
const MS: i64 = 1_000_000;

/// A service that spends its time in `shop::price`.
fn cpu(taken_unix_s: i64, price_ms: i64) -> Profile {
    common::of_time(
        "cpu",
        taken_unix_s,
        &[
            (&["shop::price", "shop::serve", "main"], price_ms * MS, price_ms / 10),
            (&["shop::parse", "shop::serve", "main"], 300 * MS, 30),
            (&["shop::log", "main"], 40 * MS, 4),
        ],
    )
}

fn status_document(executable: &str, cpu: &str) -> Reply {
    ok(
        "application/json",
        format!(
            r#"{{"schema":"diag.status/1","pid":7,"started_unix_s":100.5,"executable":"{executable}",
                "heap":{{"active":true}},"cpu":{cpu},"problems":[]}}"#
        ),
    )
}

/// A service with diag whose program is not on this machine.
fn service() -> Server {
    Server::start(move |r: &Request| match r.path.as_str() {
        STATUS => status_document("/opt/no/such/shop", "null"),
        PROFILE if r.query.contains("mode=wall") => {
            profile(&common::of_time("wall", 1_795_266_000, &[(&["shop::wait", "main"], 500 * MS, 10)]))
        }
        PROFILE => profile(&cpu(1_795_266_000, 660)),
        MEMORY => ok("application/json", r#"{"schema":"diag.memory/1","rss_bytes":1}"#),
        _ => profile(&heap(1_795_266_000, &[(&["shop::keep", "main"], 1 << 20, 10)])),
    })
}

fn asked(server: &Server, path: &str) -> Vec<String> {
    server.requests().iter().filter(|r| r.path == path).map(|r| r.query.clone()).collect()
}

fn files(dir: &std::path::Path, kind: &str) -> Vec<String> {
    entries(dir).into_iter().filter(|n| n.starts_with(kind) && n.ends_with(".pb.gz")).collect()
}

fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("base.pb.gz"), &cpu(1_795_266_000, 660));
    save(&dir.path().join("new.pb.gz"), &cpu(1_795_266_060, 1160));
    save(&dir.path().join("heap.pb.gz"), &heap(1_795_266_000, &[(&["shop::keep", "main"], 1 << 20, 10)]));
    dir
}

#[test]
fn captures_are_whole_files_that_say_cpu() {
    let server = service();
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["capture", &server.host(), "--kind", "cpu", "--cpu-seconds", "1", "--hz", "199", "-o", "caps"];
    let run_1 = run(dir.path(), &args);
    let caps = dir.path().join("caps");
    let cpu = files(&caps, "cpu-");
    assert_eq!(run_1.ok().stdout, format!("caps/{}\n", cpu[0]));
    assert!(cpu[0].ends_with("-7.100.pb.gz"), "{cpu:?}");
    assert_eq!(asked(&server, PROFILE), ["seconds=1&hz=199&symbolize=true"]);
    assert!(asked(&server, "/debug/pprof/heap").is_empty());
    let kept = pprof::decode(&std::fs::read(caps.join(&cpu[0])).unwrap()).unwrap();
    let comments = &kept.meta().comments;
    assert!(comments.iter().any(|c| c.starts_with("cpu_source=")), "{comments:?}");
    assert!(comments.iter().any(|c| c == "# diag.process pid=7 started_unix_s=100"), "{comments:?}");

    let all = ["capture", &server.host(), "--kind", "cpu,memory,heap", "--cpu-seconds", "1", "-o", "all"];
    let written = run(dir.path(), &all).ok().stdout.clone();
    let kinds: Vec<&str> =
        written.lines().filter_map(|l| l.strip_prefix("all/")?.split('-').next()).collect();
    assert_eq!(kinds, ["heap", "memory", "cpu"], "what takes time comes last");

    let wall = ["capture", &server.host(), "--kind", "cpu", "--mode", "wall", "-o", "caps", "--no-names"];
    run(dir.path(), &wall).ok();
    assert_eq!(files(&caps, "wall-").len(), 1);
    assert_eq!(asked(&server, PROFILE).last().unwrap(), "seconds=10&mode=wall&symbolize=false");
}

#[test]
fn a_program_of_this_machine_is_asked_for_addresses() {
    let exe = std::env::current_exe().unwrap();
    let exe = exe.to_str().unwrap().to_owned();
    let server = Server::start(move |r| match r.path.as_str() {
        STATUS => status_document(&exe, "null"),
        _ => profile(&cpu(1_795_266_000, 660)),
    });
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["capture", &server.host(), "--kind", "cpu", "-o", "caps"]).ok();
    run(dir.path(), &["top", &server.host(), "--kind", "cpu"]).ok();
    assert_eq!(asked(&server, PROFILE), ["seconds=10&symbolize=false"; 2]);
}

#[test]
fn a_busy_target_is_asked_again_when_it_says() {
    let requests = AtomicU64::new(0);
    let server = Server::start(move |r| match r.path.as_str() {
        STATUS => status_document("/opt/shop", "null"),
        _ if requests.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Answer {
            status: 503,
            headers: vec!["Retry-After: 1".into(), "Content-Type: text/plain".into()],
            body: b"a CPU profile is being recorded already; try again in 1 s".to_vec(),
        },
        _ => profile(&cpu(1_795_266_000, 660)),
    });
    let dir = tempfile::tempdir().unwrap();
    let done = run(dir.path(), &["capture", &server.host(), "--kind", "cpu", "-o", "caps"]);
    assert!(done.ok().stderr.contains("recorded already"), "{}", done.stderr);
    assert_eq!(files(&dir.path().join("caps"), "cpu-").len(), 1);
}

#[test]
fn views_record_a_live_target() {
    let server = service();
    let host = server.host();
    let dir = tempfile::tempdir().unwrap();
    let see = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--kind", "cpu", "--cpu-seconds", "2s"]);
        run(dir.path(), &all).ok().stdout.clone()
    };
    let top = see(&["top", &host]);
    assert!(top.contains(": cpu 1.0 s in ") && top.contains("660 ms"), "{top}");
    assert!(top.lines().nth(2).is_some_and(|l| l.contains("shop::price")), "{top}");
    let tree = see(&["tree", &host]);
    assert!(tree.contains("960 ms") && tree.contains("shop::serve"), "{tree}");
    let peek = see(&["peek", &host, "serve"]);
    assert!(peek.contains("with callees 960 ms"), "{peek}");
    assert_eq!(see(&["flamegraph", &host]), "flamegraph.svg\n");
    let svg = std::fs::read_to_string(dir.path().join("flamegraph.svg")).unwrap();
    assert!(
        svg.contains(&format!("CPU time: http://{host}"))
            && svg.contains("shop::price (660 ms in 66 samples")
    );
    assert_eq!(asked(&server, PROFILE), ["seconds=2&symbolize=true"; 4]);
    assert!(asked(&server, "/debug/pprof/heap").is_empty());

    let wall = run(dir.path(), &["top", &host, "--kind", "cpu", "--mode", "wall"]).ok().stdout.clone();
    assert!(wall.contains(": wall 500 ms"), "{wall}");
    // Without --kind it is the heap.
    assert!(run(dir.path(), &["top", &host]).ok().stdout.contains("inuse_space"));
}

#[test]
fn wrong_settings_are_said_before_anything_is_recorded() {
    let server = service();
    let (host, url) = (server.host(), server.url("/debug/pprof/profile?seconds=1"));
    let dir = tempfile::tempdir().unwrap();
    let fails = |args: &[&str], says: &[&str]| run(dir.path(), args).fails(2, says);
    for flag in [["--hz", "99"], ["--mode", "wall"], ["--cpu-seconds", "5"]] {
        fails(&["top", &host, flag[0], flag[1]], &[flag[0], "--kind cpu"]);
        fails(&["capture", &host, flag[0], flag[1]], &[flag[0], "--kind cpu"]);
    }
    fails(&["top", &host, "--kind", "cpu", "--cpu-seconds", "2h"], &["longer than an hour"]);
    fails(&["top", &url, "--kind", "cpu"], &["names /debug/pprof/profile", "leave --kind out"]);
    fails(&["capture", &url, "--kind", "heap,cpu"], &["names /debug/pprof/profile"]);
    assert!(server.requests().is_empty(), "{:?}", server.requests());
    assert_ne!(run(dir.path(), &["top", &host, "--kind", "cpu", "--hz", "5000"]).code, 0);
    // A whole URL is used as it is.
    assert!(run(dir.path(), &["top", &url]).ok().stdout.contains("shop::price"));
}

#[test]
fn files_and_directories_of_both_kinds() {
    let dir = scratch();
    let caps = dir.path().join("caps");
    std::fs::create_dir(&caps).unwrap();
    for (second, price) in [(1, 660), (2, 1160), (3, 1160)] {
        let name = format!("cpu-20261121T13000{second}.000Z-7.100.pb.gz");
        save(&caps.join(name), &cpu(1_795_266_000 + second, price));
    }
    std::fs::copy(dir.path().join("heap.pb.gz"), caps.join("heap-20261121T130000.000Z-7.100.pb.gz")).unwrap();
    let see = |args: &[&str]| run(dir.path(), args).ok().stdout.clone();
    assert!(see(&["top", "caps"]).contains("shop::keep"), "the heap, where nothing is said");
    assert!(see(&["top", "caps", "--kind", "cpu"]).contains("cpu 1.5 s"));
    let diff = see(&["diff", "caps", "--kind", "cpu"]);
    assert!(diff.contains("+500 ms") && diff.contains("shop::price") && !diff.contains("/h"), "{diff}");
    run(dir.path(), &["top", "caps", "--kind", "cpu", "--mode", "wall"])
        .fails(3, &["no wall captures", "--kind cpu --mode wall"]);
    run(dir.path(), &["top", "heap.pb.gz", "--kind", "cpu"])
        .fails(2, &["heap.pb.gz is no CPU profile", "inuse_space"]);

    let diff = see(&["diff", "base.pb.gz", "new.pb.gz"]);
    for words in ["base  base.pb.gz: 1.0 s in 2.0 s", "cpu +500 ms (50.0 %)", "+500 ms"] {
        assert!(diff.contains(words), "{words} is not in {diff}");
    }
    assert!(!diff.contains("/h"), "CPU time does not grow by the hour: {diff}");
    run(dir.path(), &["flamegraph", "new.pb.gz", "--base", "base.pb.gz", "-o", "d.svg"]).ok();
    let svg = std::fs::read_to_string(dir.path().join("d.svg")).unwrap();
    assert!(svg.contains("Change of CPU time") && svg.contains("+500 ms"));
    run(dir.path(), &["diff", "heap.pb.gz", "new.pb.gz"]).fails(2, &["cpu", "inuse_space"]);
}

#[test]
fn conversions_keep_the_unit() {
    let dir = scratch();
    let folded = run(dir.path(), &["convert", "base.pb.gz", "--to", "folded"]).ok().stdout.clone();
    assert!(folded.contains("main;shop::serve;shop::price 660000000\n"), "{folded}");
    let speedscope = run(dir.path(), &["convert", "base.pb.gz", "--to", "speedscope"]).json();
    let shown = &speedscope["profiles"][speedscope["activeProfileIndex"].as_u64().unwrap() as usize];
    assert_eq!((&shown["unit"], &shown["endValue"]), (&"nanoseconds".into(), &(1000 * MS).into()));
    let firefox = run(dir.path(), &["convert", "base.pb.gz", "--to", "firefox"]).json();
    let selected = firefox["meta"]["initialSelectedThreads"][0].as_u64().unwrap() as usize;
    let samples = &firefox["threads"][selected]["samples"];
    assert_eq!(samples["weightType"], "tracing-ms");
    let ms: f64 = samples["weight"].as_array().unwrap().iter().map(|w| w.as_f64().unwrap()).sum();
    assert!((ms - 1000.0).abs() < 1e-6, "{ms}");
}

#[test]
fn commands_about_memory_say_so_in_a_line() {
    let dir = scratch();
    let caps = dir.path().join("caps");
    std::fs::create_dir(&caps).unwrap();
    save(&caps.join("cpu-20261121T130001.000Z-7.100.pb.gz"), &cpu(1_795_266_001, 660));
    save(&caps.join("cpu-20261121T130002.000Z-7.100.pb.gz"), &cpu(1_795_266_002, 660));
    for (args, what) in [
        (&["leaks", "base.pb.gz", "new.pb.gz"][..], "base.pb.gz"),
        (&["leaks", "base.pb.gz"], "base.pb.gz"),
        (&["leaks", "caps"], "cpu-2026"),
        (&["check", "base.pb.gz", "new.pb.gz"], "base.pb.gz"),
        (&["check", "heap.pb.gz", "new.pb.gz", "--type", "cpu"], "new.pb.gz"),
        (&["report", "caps"], "cpu-2026"),
        (&["report", "base.pb.gz"], "base.pb.gz"),
    ] {
        run(dir.path(), args).fails(2, &[what, "is a CPU profile", args[0], "diag-cli top", "--kind heap"]);
    }
    run(dir.path(), &["triage", "base.pb.gz", "new.pb.gz"]).fails(2, &["is a profile", "memory-*.json"]);
    run(dir.path(), &["triage", "caps"]).fails(3, &["memory captures"]);
}

/// The findings as `severity part: what`.
fn findings(target: &str, dir: &std::path::Path) -> (i32, String) {
    let run = run(dir, &["doctor", target, "--format", "json"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout));
    let line = |f: &Value| format!("{} {}: {}\n", f["severity"], f["part"], f["what"]).replace('"', "");
    (run.code, document["findings"].as_array().unwrap().iter().map(line).collect())
}

#[test]
fn the_doctor_knows_the_source() {
    let dir = scratch();
    let has = |text: &str, lines: &[&str]| {
        for line in lines {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    };
    let (code, text) = findings("base.pb.gz", dir.path());
    assert_eq!(code, 0);
    has(
        &text,
        &[
            "ok sampling: one sample every 10.0 ms",
            "ok cpu: sampled by thread_timers: perf_event_open is refused",
            "ok cpu: its samples stood for 99.7 % of the CPU time",
            "warning sampling: 100 samples",
        ],
    );
    let target = |cpu: &'static str| {
        let heap = profile(&heap(1_795_266_000, &[(&["shop::keep", "main"], 1 << 30, 2000)]));
        Server::start(
            move |r| {
                if r.path == STATUS { status_document("/opt/shop", cpu) } else { heap.clone() }
            },
        )
    };
    let server = target(
        r#"{"recording":true,"profiles_total":3,"source":"perf_cpu_clock","why":"it works","accounted":0.5,
            "losses":{"cpu_ring_full":7}}"#,
    );
    has(
        &findings(&server.host(), dir.path()).1,
        &[
            "ok cpu: CPU profiles are sampled by perf_cpu_clock: it works",
            "info cpu: a CPU profile is being recorded now",
            "info cpu: the last profile stood for 50.0 % of the CPU time",
            "info cpu: CPU profiles so far lost 7 to cpu_ring_full",
        ],
    );
    let server = target(
        r#"{"recording":false,"source":null,"why":"CPU profiles are not available: seccomp; allow it"}"#,
    );
    let (code, text) = findings(&server.host(), dir.path());
    assert_eq!(code, 0, "{text}");
    has(&text, &["warning cpu: CPU profiles are not available: seccomp; allow it"]);

    save(&dir.path().join("none.pb.gz"), &common::of_time("cpu", 1_795_266_000, &[]));
    let (code, text) = findings("none.pb.gz", dir.path());
    assert_eq!(code, 3);
    has(&text, &["error samples: it has no samples"]);
}

#[test]
fn a_target_without_cpu_profiles_says_what_to_do() {
    let server = Server::start(|r| match r.path.as_str() {
        STATUS => status_document("/opt/shop", "null"),
        _ => status(503, "CPU profiles are not available: no timers; allow timer_create to this process"),
    });
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["top", &server.host(), "--kind", "cpu"]).fails(3, &["503", "allow timer_create"]);
    run(dir.path(), &["capture", &server.host(), "--kind", "cpu", "-o", "caps"])
        .fails(3, &["503", "allow timer_create"]);
    assert!(entries(dir.path()).is_empty(), "nothing is left behind");
}

/// The line under the header of `go tool pprof -top`, and its total.
fn go_top(dir: &std::path::Path, file: &str) -> Option<(String, String)> {
    let go = |arguments: &[&str]| std::process::Command::new("go").args(arguments).current_dir(dir).output();
    if !go(&["version"]).is_ok_and(|o| o.status.success()) {
        assert_ne!(std::env::var("DIAG_REQUIRE_CLIENTS").as_deref(), Ok("1"), "go is not installed");
        println!("SKIPPED: go is not installed");
        return None;
    }
    let report = go(&["tool", "pprof", "-top", file]).unwrap();
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let first =
        report.lines().skip_while(|l| !l.contains("flat%")).nth(1).unwrap_or_else(|| panic!("{report}"));
    let total = report.lines().find_map(|l| l.split(" of ").nth(1)?.strip_suffix(" total"));
    Some((first.to_owned(), total.unwrap_or_else(|| panic!("{report}")).to_owned()))
}

#[test]
fn pprof_speedscope_and_the_picture_agree() {
    let dir = scratch();
    let Some((first, total)) = go_top(dir.path(), "base.pb.gz") else { return };
    assert!(first.trim_start().starts_with("660ms 66.00%") && first.ends_with("shop::price"), "{first}");
    assert_eq!(total, "1000ms");
    run(dir.path(), &["flamegraph", "base.pb.gz", "-o", "f.svg"]).ok();
    let svg = std::fs::read_to_string(dir.path().join("f.svg")).unwrap();
    assert!(
        svg.contains("Total 1.0 s in 100 samples")
            && svg.contains("shop::price (660 ms in 66 samples, 66.0 %")
    );
    let json = run(dir.path(), &["convert", "base.pb.gz", "--to", "speedscope"]).json();
    let library: Value =
        serde_json::from_str(&speedscope::write(&cpu(1_795_266_000, 660), "base.pb.gz")).unwrap();
    assert_eq!(json["profiles"], library["profiles"]);
    let shown = &json["profiles"][1];
    let (at, most) = shown["weights"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_i64().unwrap())
        .enumerate()
        .max_by_key(|w| w.1)
        .unwrap();
    let leaf = shown["samples"][at].as_array().unwrap().last().unwrap().as_u64().unwrap() as usize;
    assert_eq!((json["shared"]["frames"][leaf]["name"].as_str(), most), (Some("shop::price"), 660 * MS));
}

#[test]
fn progress_counts_on_a_terminal_only() {
    let server = service();
    let dir = tempfile::tempdir().unwrap();
    let mut piped = command(dir.path());
    piped.args(["top", &server.host(), "--kind", "cpu"]);
    let done = finish(piped, &[]);
    assert_eq!(done.ok().stderr, "");
}

/// The real thing: the demo's service in a process of its own.
#[cfg(feature = "demo")]
#[test]
fn a_real_service() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Stdio};

    struct Service(Child);
    impl Drop for Service {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut serve = command(dir.path());
    serve.args(["demo", "--serve", "--seconds", "600"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut service = Service(serve.stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();

    let cpu = ["--kind", "cpu", "--cpu-seconds", "1", "--hz", "499"];
    let see = |args: &[&str]| run(dir.path(), &[args, &cpu[..]].concat()).ok().stdout.clone();
    let top = see(&["top", &url, "-n", "0"]);
    assert!(top.contains(": cpu ") && top.contains("one every 2.0 ms"), "{top}");
    assert!(top.contains("examples::shop::Shop::"), "{top}");
    for _ in 0..2 {
        see(&["capture", &url, "-o", "caps"]);
    }
    let caps = dir.path().join("caps");
    assert_eq!(files(&caps, "cpu-").len(), 2, "{:?}", entries(&caps));
    assert!(run(dir.path(), &["diff", "caps"]).ok().stdout.contains("examples::shop::Shop::"));
    let wall = run(
        dir.path(),
        &["flamegraph", &url, "--kind", "cpu", "--mode", "wall", "--cpu-seconds", "1", "-o", "wall.svg"],
    );
    wall.ok();
    let svg = std::fs::read_to_string(dir.path().join("wall.svg")).unwrap();
    assert!(svg.contains("Wall-clock time: ") && svg.contains("threads on average"), "no wall picture");
    let (code, text) = findings(&url, dir.path());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("CPU profiles are sampled by "), "{text}");
}
