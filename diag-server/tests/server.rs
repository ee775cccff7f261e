//! The endpoints over a real socket, with the real allocator and collector behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::sync::atomic::AtomicBool;

use common::{PERIOD_BYTES, RETAINED_BYTES, ask, drip, get, get_ok, read, server, turn};
use diag::profile::{LabelValue, Profile, pprof};

/// In-use bytes of the samples whose stack, with inlined frames, has a function whose name contains `part`.
fn retained_by(profile: &Profile, part: &str) -> i64 {
    let inuse = profile.sample_type_index("inuse_space").unwrap();
    let has = |stack| {
        profile.stack(stack).iter().any(|&l| {
            let mut lines = profile.location(l).lines.iter();
            lines.any(|line| profile.str(profile.function(line.function).name).contains(part))
        })
    };
    profile.samples().filter(|s| has(s.stack)).map(|s| s.values[inuse]).sum()
}

fn profile(path: &str) -> Profile {
    let answer = get_ok(server(), path);
    assert_eq!(answer.header("content-type"), "application/octet-stream", "Alloy refuses others");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(&answer.body[..2], [0x1f, 0x8b], "gzip is part of the format");
    assert_eq!(answer.header("content-encoding"), "", "and not of the transfer");
    pprof::decode(&answer.body).unwrap()
}

#[test]
fn heap_names_what_retains() {
    let answer = get_ok(server(), "/debug/pprof/heap?gc=1");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"heap\"");
    let p = profile("/debug/pprof/heap");
    let kinds: Vec<_> = p.sample_types().iter().map(|t| t.kind.as_str()).collect();
    assert_eq!(kinds, ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    assert_eq!(p.default_sample_type(), 3);
    let period = p.meta().period.as_ref().unwrap();
    assert_eq!((period.value_type.kind.as_str(), period.value), ("space", PERIOD_BYTES as i64));
    assert!(p.meta().time_unix_ns.is_some_and(|t| t > 0));
    for name in ["make_piece", "as server::common::Store>::keep", "common::retain"] {
        let bytes = retained_by(&p, name) as f64 / RETAINED_BYTES as f64;
        // 64 KiB pieces at 16 KiB are sampled with probability 0.98, and other tests retain a little.
        assert!((0.9..1.6).contains(&bytes), "{name} retains {bytes} of what it should");
    }
    let allocs = profile("/debug/pprof/allocs");
    assert_eq!(allocs.default_sample_type(), 1, "alloc_space");
    assert_eq!(
        get_ok(server(), "/debug/pprof/allocs").header("content-disposition"),
        "attachment; filename=\"allocs\""
    );
}

#[test]
fn leaks_are_judged_at_once_or_after_a_watch() {
    let answer = get_ok(server(), "/debug/diag/api/v1/leaks");
    assert_eq!(answer.header("content-type"), "application/json");
    let report: diag::leak::Report = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(report.schema, "diag.leaks/1");
    assert_eq!(report.sampling_period_bytes, PERIOD_BYTES);
    // The process is seconds old.
    assert_eq!(report.verdict, diag::leak::Verdict::NotEnoughEvidence, "{report}");
    assert!(!report.reasons.is_empty());

    let watched = get_ok(server(), "/debug/diag/api/v1/leaks?watch=1&format=text");
    assert!(watched.header("content-type").starts_with("text/plain"));
    // A second, or more where the machine is busy.
    assert!(watched.text().contains("\nwatched "), "{}", watched.text());
    let next = format!("next: diag-cli leaks http://{} --watch 5m\n", server());
    assert!(watched.text().contains(&next), "{}", watched.text());
}

#[test]
fn without_symbols_there_are_addresses_and_modules() {
    let p = profile("/debug/pprof/heap?symbolize=false");
    assert!(p.functions().is_empty());
    let exe = std::env::current_exe().unwrap();
    let main = &p.mappings()[0];
    assert_eq!(p.str(main.file), exe.to_str().unwrap(), "the program comes first");
    assert!(p.str(main.build_id).len() >= 16, "{:?}", p.str(main.build_id));

    // The symbolz protocol names the same addresses.
    let addresses: Vec<String> =
        p.location_ids().map(|l| format!("{:#x}", p.location(l).address)).take(500).collect();
    let body = addresses.join("+");
    let request =
        format!("POST /debug/pprof/symbol HTTP/1.1\r\nContent-Length: {}\r\nHost: localhost", body.len());
    let mut socket = std::net::TcpStream::connect(server()).unwrap();
    use std::io::Write as _;
    write!(socket, "{request}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let answer = read(socket);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    assert!(text.lines().all(|l| l.starts_with("0x") && l.contains('\t')), "{text}");
    assert!(
        text.lines().any(|l| l.contains("Ledger") && l.contains("keep")),
        "linker names, for pprof to demangle"
    );
}

#[test]
fn ages_label_every_live_sample() {
    let p = profile("/debug/pprof/heap?ages=1");
    let inuse = p.sample_type_index("inuse_objects").unwrap();
    let labels = |name: &str| {
        let key = p.find_str(name);
        p.samples()
            .filter(|s| s.values[inuse] > 0)
            .filter_map(|s| p.label_set(s.labels).iter().find(|l| Some(l.key) == key).map(|l| l.value))
            .collect::<Vec<_>>()
    };
    let ages = labels("age");
    assert!(ages.len() > 100, "{}", ages.len());
    for age in &ages {
        let LabelValue::Str(age) = age else { panic!("an age is a text") };
        assert!(["0-10s", "10-60s", "1-10m"].contains(&p.str(*age)), "{}", p.str(*age));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    for born in labels("born_at") {
        let LabelValue::Num(born, unit) = born else { panic!("a time is a number") };
        assert!(born <= now && born > now - 600_000_000_000 && p.str(unit) == "nanoseconds");
    }
}

#[test]
fn a_delta_has_what_came_in_between_and_its_duration() {
    let _turn = turn();
    let addr = server();
    let stop = AtomicBool::new(false);
    let (answer, dripped) = std::thread::scope(|scope| {
        let dripping = scope.spawn(|| drip(&stop));
        let answer = get(addr, "/debug/pprof/heap?seconds=2");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (answer, dripping.join().unwrap() as i64)
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    let p = pprof::decode(&answer.body).unwrap();
    let (came, stayed) = (retained_by(&p, "common::drip"), retained_by(&p, "make_piece"));
    // Of 64 KiB pieces at 16 KiB 2 % are not sampled.
    assert!(came > 0 && came <= dripped + dripped / 10, "{came} of {dripped}");
    assert_eq!(stayed, 0, "what was there before is not part of the difference");
    let duration = p.meta().duration_ns.unwrap();
    assert!((2_000_000_000..60_000_000_000).contains(&duration), "{duration}");
}

#[test]
fn text_for_people() {
    let answer = get_ok(server(), "/debug/pprof/heap?debug=1");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let text = answer.text();
    assert!(text.starts_with("heap profile: "), "{text}");
    let first_stack: Vec<&str> = text.lines().skip(1).take_while(|l| !l.is_empty()).collect();
    assert!(
        first_stack.iter().any(|l| l.contains("make_piece") && l.contains("common/mod.rs:")),
        "{first_stack:?}"
    );
}

#[test]
fn flame_graphs() {
    let answer = get_ok(server(), "/debug/diag/api/v1/flamegraph");
    assert_eq!(answer.header("content-type"), "image/svg+xml");
    assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    let svg = answer.text();
    assert!(svg.contains("<svg") && svg.contains("make_piece"), "{}", &svg[..svg.len().min(2000)]);
    assert!(!svg.contains("sons <test>"), "the service's name is escaped");
    let by_age = get_ok(server(), "/debug/diag/api/v1/flamegraph?ages=1&type=inuse_objects").text();
    assert!(by_age.contains("0-10s") || by_age.contains("10-60s"), "grouped by age");
    let page = get_ok(server(), "/debug/diag/api/v1/flamegraph?format=html");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let _turn = turn();
    let changed = get_ok(server(), "/debug/diag/api/v1/flamegraph?base=1");
    assert!(changed.text().contains("<svg"));
    let wrong = get(server(), "/debug/diag/api/v1/flamegraph?type=inuse");
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("inuse_space"), "{}", wrong.text());
}

#[test]
fn metrics_and_memory_know_the_allocator() {
    diag::work(7);
    let metrics = get_ok(server(), "/metrics").text();
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
    };
    assert!(value("jemalloc_allocated_bytes") >= RETAINED_BYTES as f64);
    assert!(value("jemalloc_resident_bytes") >= value("jemalloc_active_bytes"));
    assert!(value("process_resident_memory_bytes") >= RETAINED_BYTES as f64);
    assert_eq!(value("diag_work_units_total"), 7.0);
    assert_eq!(value("diag_heap_up"), 1.0);
    assert_eq!(value("diag_heap_sample_period_bytes"), PERIOD_BYTES as f64);
    assert!(value("diag_heap_live_samples") >= 100.0);
    assert!(value("diag_heap_memory_bytes") > 0.0);
    let memory: serde_json::Value =
        serde_json::from_slice(&get_ok(server(), "/debug/diag/api/v1/memory").body).unwrap();
    assert!(memory["jemalloc"]["allocated_bytes"].as_u64().unwrap() >= RETAINED_BYTES as u64);
    assert!(memory["diag_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_host_appends_them_to_its_own() {
    server();
    let diag = diag::Diag::running().unwrap();
    let text = diag_server::metrics_text(&diag, |name| !name.starts_with("process_"));
    assert!(text.starts_with("# HELP ") && text.ends_with('\n'));
    assert!(text.contains("\njemalloc_allocated_bytes ") && text.contains("\ndiag_heap_up 1\n"), "{text}");
    assert!(!text.contains("process_"), "{text}");
    let one = diag_server::metrics_text(&diag, |name| name == "process_threads");
    assert_eq!(one.lines().count(), 3, "{one}");
}

#[test]
fn scrapes_show_the_last_verdict_and_do_not_wait_for_one() {
    let addr = server();
    // The first scrape asks for it.
    let text = loop {
        let text = get_ok(addr, "/metrics").text();
        if text.contains("diag_leak_verdict{") {
            break text;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let one = text.lines().filter(|l| l.starts_with("diag_leak_verdict{") && l.ends_with(" 1")).count();
    assert_eq!(one, 1, "{text}");
    let age = |text: &str| -> f64 {
        let line = text.lines().find_map(|l| l.strip_prefix("diag_leak_verdict_age_seconds "));
        line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    let later = get_ok(addr, "/metrics").text();
    // It is kept for a minute.
    assert!(age(&later) > age(&text) || age(&text) > 50.0, "{} then {}", age(&text), age(&later));
    assert!(!get_ok(addr, "/metrics?verdict=0").text().contains("diag_leak_"));
}

#[test]
fn health_knows_the_parts_and_who_answers() {
    assert_eq!(get_ok(server(), "/debug/diag/api/v1/health").text(), "ok\n");
    let answer = get_ok(server(), "/debug/diag/api/v1/health?deep=true");
    assert_eq!(answer.header("content-type"), "application/json");
    let health: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&health["state"], &health["listener"]), (&"ok".into(), &"own".into()), "{health}");
    let part = |name: &str| {
        let parts = health["parts"].as_array().unwrap();
        parts.iter().find(|p| p["part"] == name).map(|p| p["state"].clone()).unwrap_or_default()
    };
    assert_eq!((part("heap"), part("thread"), part("captures")), ("ok".into(), "ok".into(), "off".into()));
}

#[test]
fn triage_sees_what_drips() {
    let _turn = turn();
    let addr = server();
    let stop = AtomicBool::new(false);
    let (answer, text) = std::thread::scope(|scope| {
        scope.spawn(|| drip(&stop));
        let answer = get_ok(addr, "/debug/diag/api/v1/triage?seconds=3");
        let text = get_ok(addr, "/debug/diag/api/v1/triage?seconds=1&format=text").text();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (answer, text)
    });
    assert_eq!(answer.header("content-type"), "application/json");
    let t: diag::memory::triage::Triage = serde_json::from_slice(&answer.body).unwrap();
    let live = t.part(diag::memory::triage::PartName::LiveHeap).unwrap();
    // 64 KiB each 10 ms or a little more; a busy machine is slower.
    assert!((1 << 20..100 << 20).contains(&live.growth_bytes.unwrap()), "{t}");
    assert!(live.bytes >= RETAINED_BYTES as i64, "{t}");
    assert_eq!(t.pid, Some(std::process::id()));
    assert!(t.watched_s >= 3.0 && t.sampled.is_some(), "{t}");
    let sum: i64 = t.parts.iter().map(|p| p.bytes).sum();
    assert_eq!(sum + t.unexplained_bytes, t.total_bytes.value().unwrap() as i64, "{t}");
    assert!(t.next.iter().all(|n| !n.contains("TARGET")), "the client's name for it: {:?}", t.next);
    assert!(
        text.starts_with("verdict: ") && text.contains("live heap") && text.contains("\nnext\n"),
        "{text}"
    );
}

#[test]
fn a_purge_is_asked_for_with_post() {
    let _turn = turn();
    let addr = server();
    // Pages that were used and are free: on a thread that stays, in blocks below the size that goes back at once.
    let blocks: Vec<Vec<u8>> = (0..64).map(|_| std::hint::black_box(vec![1u8; 1 << 20])).collect();
    drop(blocks);
    let purge: diag::memory::Purge =
        serde_json::from_slice(&read(ask(addr, "POST /debug/diag/api/v1/purge")).body).unwrap();
    let dirty = |idle: &diag::memory::Idle| idle.dirty_bytes.value().unwrap();
    assert!(dirty(&purge.before) > 16 << 20 && dirty(&purge.after) < 8 << 20, "{purge:?}");
    assert!(purge.returned_bytes().is_some_and(|b| b > 8 << 20), "{purge:?}");
}

#[test]
fn a_client_that_hangs_up_frees_its_place() {
    let _turn = turn();
    let addr = server();
    let path = "/debug/pprof/heap?seconds=3600&symbolize=false";
    let mut waiting: Vec<_> = (0..6).map(|_| ask(addr, &format!("GET {path}"))).collect();
    for socket in &waiting {
        socket.set_nonblocking(true).unwrap();
    }
    // Four may wait; the two others are answered.
    let mut refused = Vec::new();
    while refused.len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        if let Some(at) = waiting.iter().position(|s| s.peek(&mut [0]).is_ok()) {
            let socket = waiting.remove(at);
            socket.set_nonblocking(false).unwrap();
            refused.push(read(socket));
        }
    }
    for full in &refused {
        assert_eq!(full.status, 503);
        assert!(full.header("retry-after").parse::<u32>().is_ok_and(|s| s > 0), "{}", full.head);
        assert_eq!(full.header("x-go-pprof"), "1");
        assert!(full.text().contains("seconds="), "{}", full.text());
    }
    assert_eq!(waiting.len(), 4);
    drop(waiting);
    // Their places come back although an hour has not passed.
    loop {
        let answer = get(addr, "/debug/pprof/heap?seconds=1&symbolize=false");
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
