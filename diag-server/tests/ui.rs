//! The browser UI in Chromium: every page, behind a path prefix and under its policy, on a wide and on a small screen; flame graphs
//! of 10,000 and 100,000 frames and of hostile names; and that charts do not grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod browser;
mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use browser::drive;
use diag::Diag;
use diag::profile::{Function, LabelSetId, Line, Profile, ProfileBuilder, StrId, ValueType, pprof};

const HOSTILE: &[&str] = &[
    "<script>parent.pwned=1;window.pwned=1</script>",
    "\"'><img src=x onerror=window.pwned=1>",
    "</title></script><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "\u{202e}desrever::f",
    "a\0b\u{1b}[31mred",
    "__proto__",
    "constructor",
    "(?=a+)+$",
    "",
];

/// The moment and the process of a rule's files.
const FIRED: &str = "20261129T173330.120Z-9484";
/// Panics are told in their own words.
const WHY: &str = "thread main panicked: <img src=x onerror=window.pwned=1> \u{202e}desrever";

/// A service with captures that nobody would write.
fn service() -> SocketAddr {
    static SERVICE: OnceLock<(SocketAddr, Diag, tempfile::TempDir)> = OnceLock::new();
    SERVICE
        .get_or_init(|| {
            let dir = tempfile::tempdir().expect("a directory");
            save(dir.path(), "heap-10k.pb.gz", &wide(10_000));
            save(dir.path(), "heap-100k.pb.gz", &wide(100_000));
            save(dir.path(), "heap-hostile.pb.gz", &hostile());
            // What a rule left, as diag writes it; and one whose event was lost.
            let mut saved = wide(100);
            saved.annotate(|meta| meta.comments.push("reason=near_limit: 91 %".to_owned()));
            save(dir.path(), &format!("heap-{FIRED}-near_limit.pb.gz"), &saved);
            save(dir.path(), &format!("cpu-{FIRED}-slow_checkout.pb.gz"), &wide(100));
            let event = serde_json::json!({"schema": "diag.event/1", "rule": "near_limit", "why": WHY,
                "at_unix_ns": 1_795_973_610_120_000_000_u64, "problems": ["a webhook: <b>refused</b>"]});
            std::fs::write(dir.path().join(format!("event-{FIRED}-near_limit.json")), event.to_string())
                .expect("a file");
            let diag = Diag::builder()
                .service_name("shop & sons <b>test</b>")
                .sample_bytes(common::PERIOD_BYTES)
                .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
                .capture_dir(dir.path())
                .capture_every(Duration::from_secs(600))
                .start()
                .expect("one start");
            let server = diag_server::serve(&diag).expect("a listener");
            tasks_that_never_end();
            common::retain(common::RETAINED_BYTES);
            (server.local_addr(), diag, dir)
        })
        .0
}

async fn waits_for_ever() {
    std::future::pending::<()>().await;
}

/// Three, on a runtime that stays.
fn tasks_that_never_end() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let entered = runtime.enter();
    for _ in 0..3 {
        diag::spawn(waits_for_ever());
    }
    drop(entered);
    std::mem::forget(runtime);
}

/// The same process on a listener of the host, whose code refuses what changes something.
fn read_only_service() -> SocketAddr {
    service();
    let routes = diag_server::router_with(
        &Diag::running().expect("it runs"),
        &diag_server::Options::new().read_only(),
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("for tokio");
    let addr = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, routes).await
        })
    });
    addr
}

fn save(dir: &Path, name: &str, profile: &Profile) {
    std::fs::write(dir.join(name), pprof::encode_gz(profile)).expect("a file");
}

fn profile(stacks: impl Iterator<Item = (Vec<String>, i64)>) -> Profile {
    let mut b = ProfileBuilder::new(vec![ValueType::new("inuse_space", "bytes")]);
    b.meta_mut().time_unix_ns = Some(1_795_266_322_000_000_000);
    for (root_first, value) in stacks {
        let locations: Vec<_> = root_first
            .iter()
            .rev()
            .map(|name| {
                let name = b.str(name);
                let function =
                    b.function(Function { name, system_name: StrId::EMPTY, file: name, start_line: 0 });
                b.location(None, 0, &[Line { function, line: 1 }])
            })
            .collect();
        let stack = b.stack(&locations);
        b.sample(stack, LabelSetId::EMPTY, &[value]);
    }
    b.finish().unwrap()
}

/// So many frames and a few more: under each of 50 functions as many stacks of 20 frames as it takes.
fn wide(frames: usize) -> Profile {
    profile((0..frames / 20).map(|i| {
        let mut stack = vec!["app::main".to_owned(), format!("app::handler_{}", i % 50)];
        stack.extend((0..20).map(|depth| format!("app::module_{depth}::Type<{i}>::function")));
        (stack, 1_000 + (i as i64 * 7_919) % 100_000)
    }))
}

fn hostile() -> Profile {
    let long = format!("x::{}::end", "y".repeat(10_000));
    let names = HOSTILE.iter().copied().chain([long.as_str()]).map(str::to_owned).collect::<Vec<_>>();
    profile(names.into_iter().map(|name| (vec!["app::main".to_owned(), name], 1_000)))
}

#[test]
fn every_page_stands_on_a_wide_and_on_a_small_screen() {
    let script = r#"
        for (const view of ["overview", "heap", "leaks", "cpu", "tasks", "memory?seconds=1", "captures", "status", "nonsense"]) {
            await open(view);
            if (view === "tasks") await until("tasks", () => text("main").includes("Spawned since"));
            if (view.startsWith("memory")) await until("triage", () => $("table"));
            frame.width = 360;
            await sleep(300);
            const { scrollWidth, clientWidth } = page().documentElement;
            seen[view] = {
                text: text("main"), title: page().title, current: text("nav [aria-current]"), problems: problems(),
                sideways: scrollWidth - clientWidth, links: all("main a[href]").map((a) => a.href),
            };
            frame.width = 1200;
        }
        seen.prefix = location.href.split("drive.html")[0];
        seen.files = frame.contentWindow.performance.getEntriesByType("resource").map((r) => r.name);
    "#;
    let Some(seen) = drive(service(), script, 600, Box::new(|_| None)) else { return };
    let prefix = seen["prefix"].as_str().unwrap();
    for (view, says) in [
        ("overview", ["Memory", "cgroup limit", "What diag costs", "Readings"]),
        ("heap", ["Live heap bytes", "In use", "Mark a baseline", "Download as pprof"]),
        ("leaks", ["Watched", "Sampled every", "Verdict as JSON", "Watch closely"]),
        ("cpu", ["Record", "Samples a second", "wall-clock time", "Nothing is sampled until"]),
        ("tasks", ["waits_for_ever", "can never wake again", "Tasks that leak, each", "Seen"]),
        ("memory?seconds=1", ["live heap", "not explained", "Triage as JSON", "Give unused pages back"]),
        ("captures", ["heap-100k.pb.gz", "download", "Compare the first heap", "memory-"]),
        ("status", ["shop & sons <b>test</b>", "Requests may change it", "near_limit", "capture_dir"]),
        ("nonsense", ["Memory", "cgroup limit", "What diag costs", "Readings"]),
    ] {
        let page = &seen[view];
        let text = page["text"].as_str().unwrap_or_else(|| panic!("{view} was not seen"));
        for words in says {
            assert!(text.contains(words), "{view} does not say {words:?}: {text}");
        }
        assert_eq!(page["problems"], serde_json::json!([]), "{view}");
        assert_eq!(page["sideways"], 0, "{view} is wider than a small screen");
        assert!(page["title"].as_str().unwrap().ends_with("shop & sons <b>test</b>"), "{}", page["title"]);
        for link in page["links"].as_array().unwrap() {
            let link = link.as_str().unwrap();
            assert!(
                link.starts_with(prefix) || link.starts_with(&prefix.replace("/diag/", "/pprof/")),
                "{view}: {link}"
            );
        }
    }
    assert!(seen["files"].as_array().unwrap().len() > 15);
}

#[test]
fn a_heap_is_searched_zoomed_marked_and_compared() {
    let script = r##"
        await open("heap");
        const canvas = await until("the picture", () => $("canvas"));
        seen.title = text("figcaption");
        canvas.focus();
        key(canvas, "ArrowDown"); key(canvas, "ArrowDown");
        seen.walked = text("#frame");
        key(canvas, "Enter");
        seen.zoomed = hash();
        key(canvas, "/");
        seen.focused = page().activeElement.type;
        type($("input[type=search]"), "Ledger as");
        seen.found = text("output");
        key($("input[type=search]"), "Enter");
        seen.match = text("#frame");
        seen.searched = hash();
        type($("input[type=search]"), "(");
        seen.bad = text("output");
        type($("input[type=search]"), "");
        const download = all("a").find((a) => a.textContent === "Download as pprof").href;
        seen.pprof = [...new Uint8Array(await (await fetch(download)).arrayBuffer()).slice(0, 2)];
        // The same address shows the same again.
        await open(seen.zoomed.slice(2));
        seen.again = [hash(), all("button").some((b) => b.textContent === "Zoom out" && !b.disabled)];
        button("Objects").click();
        await until("objects", () => text("figcaption").startsWith("Live heap objects"));
        button("Mark a baseline").click();
        await until("a difference", () => text("figcaption").startsWith("Change of live heap objects"));
        seen.marked = hash();
        $("details summary").click();
        // A CPU profile, from the button to the picture.
        await open("cpu");
        const seconds = $("select");
        seconds.value = "2";
        seconds.dispatchEvent(new Event("change"));
        button("Record").click();
        // At once: the browser's clock stands still while it waits for the answer.
        seen.recording = [$("progress").checkVisibility(), button("Record").disabled];
        await until("a profile", () => text("figcaption").startsWith("CPU time"));
        seen.recorded = hash();
        seen.problems = problems();
    "##;
    let _turn = common::turn();
    let Some(seen) = drive(service(), script, 600, Box::new(|_| None)) else { return };
    let says = |what: &str| seen[what].as_str().unwrap_or_else(|| panic!("{what} was not seen")).to_owned();
    assert!(says("title").contains("Live heap bytes: shop & sons <b>test</b>, 20"), "{}", says("title"));
    assert!(
        says("title").contains(" UTC") && says("title").contains("Width: live heap bytes"),
        "{}",
        says("title")
    );
    assert!(says("walked").contains(" MiB in "), "{}", says("walked"));
    assert!(says("zoomed").starts_with("#/heap?zoom="), "{}", says("zoomed"));
    assert_eq!(seen["focused"], "search");
    assert!(says("found").contains(" frame") && says("found").ends_with(" %"), "{}", says("found"));
    assert!(says("match").contains("<ui::common::Ledger as ui::common::Store>::keep: "), "{}", says("match"));
    assert!(says("searched").contains("search=Ledger"), "{}", says("searched"));
    assert_eq!(seen["bad"], "not a valid pattern");
    assert_eq!(seen["pprof"], serde_json::json!([0x1f, 0x8b]));
    assert_eq!(seen["again"], serde_json::json!([says("zoomed"), true]));
    assert!(says("marked").contains("base=kept:"), "{}", says("marked"));
    assert_eq!(seen["recording"], serde_json::json!([true, true]));
    assert!(says("recorded").starts_with("#/cpu?of=kept:"), "{}", says("recorded"));
    assert_eq!(seen["problems"], serde_json::json!([]));
}

#[test]
fn what_a_read_only_server_refuses_is_not_offered() {
    let script = r#"
        await open("memory?seconds=1");
        await until("the server's mode", () => !all(".push > *").every((n) => n.hidden));
        seen.offered = all(".push > *").filter((n) => n.checkVisibility()).map((n) => n.textContent);
        await open("status");
        seen.status = text("main");
        await open("heap");
        await until("the picture", () => $("canvas"));
        button("Mark a baseline").click();
        await until("a difference", () => text("figcaption").startsWith("Change of live heap bytes"));
        seen.problems = problems();
    "#;
    let _turn = common::turn();
    for (service, purge, status) in [
        (read_only_service(), "This server is read-only", "no: read-only"),
        (service(), "Give unused pages back", "yes"),
    ] {
        let Some(seen) = drive(service, script, 600, Box::new(|_| None)) else { return };
        let offered = seen["offered"].as_array().unwrap();
        assert!(offered.len() == 1 && offered[0].as_str().unwrap().starts_with(purge), "{seen}");
        assert!(
            seen["status"].as_str().unwrap().contains(&format!("Requests may change it{status}")),
            "{seen}"
        );
        assert_eq!(seen["problems"], serde_json::json!([]));
    }
}

#[test]
fn captures_say_which_rule_saved_them_and_why() {
    let script = r##"
        await open("captures");
        const row = (file) => all("tbody tr").find((tr) => tr.textContent.includes(file));
        const parts = (tr) => [...tr.querySelectorAll(".because p")].map((p) => p.textContent);
        const files = () => ["heap-20261129T173330", "event-20261129T", "cpu-20261129T", "memory-"].map((start) => parts(row(start)));
        seen.wide = files();
        frame.width = 360;
        await sleep(300);
        seen.small = { shown: row("heap-20261129T173330").querySelector(".because").checkVisibility(), 
            sideways: page().documentElement.scrollWidth - page().documentElement.clientWidth };
        frame.width = 1200;
        [...row("heap-20261129T173330").querySelectorAll("a")].find((a) => a.textContent === "open").click();
        await until("the picture", () => $("canvas")?.width > 300);
        seen.opened = text(".bar .because");
        seen.notes = text(".notes");
        seen.elements = all("main img").length;
        seen.pwned = typeof frame.contentWindow.pwned;
        seen.problems = problems();
    "##;
    let Some(seen) = drive(service(), script, 600, Box::new(|_| None)) else { return };
    let why = WHY.replace('\u{202e}', "\u{fffd}");
    let reason =
        [format!("near_limit: {why} (17:33:30 UTC)"), "not done: a webhook: <b>refused</b>".to_owned()];
    let lost = ["slow_checkout: its event cannot be read"];
    assert_eq!(seen["wide"], serde_json::json!([reason, reason, lost, []]), "{seen}");
    assert_eq!(seen["small"], serde_json::json!({"shown": true, "sideways": 0}));
    assert_eq!(seen["opened"], reason.concat());
    assert!(seen["notes"].as_str().unwrap().contains("Saved by the rule near_limit: 91 %."), "{seen}");
    assert_eq!((&seen["elements"], &seen["pwned"]), (&0.into(), &"undefined".into()));
    assert_eq!(seen["problems"], serde_json::json!([]));
}

#[test]
fn large_and_hostile_profiles() {
    let script = r##"
        for (const name of ["10k", "100k"]) {
            await open(`captures?of=file:heap-${name}.pb.gz&frames=100000`);
            await until("the picture", () => $("canvas")?.width > 300);
            const paint = $("canvas").getContext("2d").getImageData(0, 0, $("canvas").width, 60).data;
            all("figure summary").forEach((s) => s.click());
            type($("input[type=search]"), "handler_7$");
            await until("the table", () => $("figure tbody tr"));
            seen[name] = { title: text("figcaption"), found: text("output"), colours: new Set(new Uint32Array(paint.buffer)).size,
                rows: all("figure tbody tr").length, notes: text(".notes"), problems: problems() };
        }
        await open("captures?of=file:heap-hostile.pb.gz");
        await until("the picture", () => $("canvas")?.width > 300);
        all("figure summary").forEach((s) => s.click());
        await until("the table", () => $("figure tbody tr"));
        const canvas = $("canvas");
        canvas.focus();
        for (let i = 0; i < 3; i += 1) key(canvas, "ArrowDown");
        const read = [];
        for (let i = 0; i < 20; i += 1) { read.push(text("#frame")); key(canvas, "ArrowRight"); }
        all("button.name")[0].click();
        seen.hostile = { read, names: all("button.name").map((b) => b.textContent), pwned: [typeof window.pwned, typeof frame.contentWindow.pwned],
            elements: all("main script, main img, main svg:not(.chart, .key)").length, problems: problems() };
        await open("captures?of=file:..%2Fsecret");
        seen.outside = problems();
    "##;
    let Some(seen) = drive(service(), script, 600, Box::new(|_| None)) else { return };
    for name in ["10k", "100k"] {
        let page = &seen[name];
        assert!(page["title"].as_str().unwrap().starts_with("Live heap bytes"), "{page}");
        assert_eq!(page["problems"], serde_json::json!([]));
        assert_eq!(page["rows"], 60);
        assert!(page["colours"].as_u64().unwrap() > 5, "something is painted: {page}");
        assert!(page["found"].as_str().unwrap().starts_with("1 frame, "), "{page}");
    }
    let hostile = &seen["hostile"];
    assert_eq!(hostile["pwned"], serde_json::json!(["undefined", "undefined"]));
    assert_eq!(hostile["elements"], 0);
    let names = hostile["names"].to_string();
    for shown in [
        "<script>parent.pwned=1",
        "onerror=window.pwned=1>",
        r"\\u{202e}desrever",
        r"\\u{1b}[31mred",
        "(unnamed)",
        "bytes]",
    ] {
        assert!(names.contains(shown), "{shown} is not in {names}");
    }
    assert!(hostile["read"].to_string().contains("<script>parent.pwned=1"), "{hostile}");
    assert!(seen["outside"].to_string().contains("named by its file name alone"), "{}", seen["outside"]);
}

#[test]
fn live_charts_do_not_grow() {
    // Forty readings an answer, an hour in eighteen.
    static READ: AtomicU64 = AtomicU64::new(0);
    let fake = |path: &str| {
        if path.contains("/api/v1/leaks") {
            return Some(r#"{"verdict": "no_leak", "suspects": []}"#.to_owned());
        }
        path.contains("/api/v1/history").then(|| {
            let from = READ.fetch_add(40, Ordering::Relaxed);
            let each = |f: &dyn Fn(u64) -> u64| (from..from + 40).map(|n| f(n).to_string()).collect::<Vec<_>>().join(",");
            let columns = ["allocated_bytes", "active_bytes", "resident_bytes", "rss_bytes", "cgroup_bytes",
                "cgroup_limit_bytes", "swap_bytes", "threads", "cpu_ns", "diag_cpu_ns", "diag_bytes",
                "heap_samples_total", "work_units_total"];
            let columns: Vec<String> =
                columns.iter().map(|name| format!("\"{name}\": [{}]", each(&|n| (n + 7) * 1_000_000))).collect();
            format!(
                r#"{{"every_s": 5, "keeps_s": 3600, "taken_unix_ms": [{}], "columns": {{{}}}, "missing": {{}}}}"#,
                each(&|n| 1_795_266_322_000 + n * 5_000),
                columns.join(",")
            )
        })
    };
    let script = r#"
        await open("overview");
        const size = async () => {
            window.gc();
            await sleep(10);
            return { points: Math.max(...all("path.line").map((p) => p.getAttribute("d").split("L").length)),
                nodes: all("*").length, bytes: performance.memory.usedJSHeapSize, said: text("dl.numbers") };
        };
        await sleep(150_000);
        seen.early = await size();
        await sleep(300_000);
        seen.late = await size();
        const chart = $("svg.chart");
        chart.focus();
        key(chart, "ArrowLeft");
        seen.readout = text(".readout");
    "#;
    let Some(seen) = drive(service(), script, 900, Box::new(fake)) else { return };
    let number = |when: &str, what: &str| seen[when][what].as_f64().unwrap_or_else(|| panic!("{seen}"));
    assert!(READ.load(Ordering::Relaxed) > 3_000, "more than four hours were read: {READ:?}");
    for when in ["early", "late"] {
        assert_eq!(number(when, "points"), 720.0, "an hour is drawn");
    }
    // Marks of the time axis come and go.
    assert!((number("late", "nodes") - number("early", "nodes")).abs() < 40.0, "{seen}");
    assert!(number("late", "bytes") - number("early", "bytes") < 1_000_000.0, "{seen}");
    let readout = seen["readout"].as_str().unwrap();
    assert!(readout.contains(" UTC: allocated ") && readout.contains("GiB"), "{readout}");
}
