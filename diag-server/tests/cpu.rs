//! CPU profiles over a real socket, read by the real clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{ask, get, get_ok, has_client, run, server, turn};
use diag::profile::{LabelValue, Profile, pprof, speedscope};

const GRIND: &str = "cpu::grind";
const PROFILE: &str = "/debug/pprof/profile";

/// Computes without a call, also where nothing is optimised.
#[inline(never)]
fn grind(stop: &AtomicBool) -> u64 {
    let mut x = 88_172_645_463_325_252u64;
    while !stop.load(Ordering::Relaxed) {
        let mut i = 0u32;
        while i < 1_000_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            i += 1;
        }
    }
    x
}

/// A thread that does nothing but [`grind`].
struct Busy(&'static AtomicBool, Option<JoinHandle<u64>>);

impl Busy {
    fn start() -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::default());
        let thread = std::thread::Builder::new().name("grinder".to_owned()).spawn(move || grind(stop));
        Self(stop, Some(thread.unwrap()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        std::hint::black_box(self.1.take().map(JoinHandle::join));
    }
}

fn status() -> serde_json::Value {
    let answer = get_ok(server(), "/debug/diag/api/v1/status");
    serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["cpu"].take()
}

fn until_recording(wanted: bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while status()["recording"] != wanted {
        assert!(Instant::now() < end, "recording is not {wanted}: {}", status());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The value of the samples with this leaf, in the default type.
fn own(profile: &Profile, leaf: &str) -> i64 {
    let value = profile.default_sample_type();
    let is = |stack| {
        let line = profile.stack(stack).first().and_then(|&l| profile.location(l).lines.first());
        line.is_some_and(|line| profile.str(profile.function(line.function).name) == leaf)
    };
    profile.samples().filter(|s| is(s.stack)).map(|s| s.values[value]).sum()
}

#[test]
fn a_profile_says_who_computes_and_how_it_was_made() {
    let _turn = turn();
    let _busy = Busy::start();
    let answer = get_ok(server(), "/debug/pprof/profile?seconds=1&hz=199");
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"profile\"");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(&answer.body[..2], [0x1f, 0x8b]);
    let p = pprof::decode(&answer.body).unwrap();
    let types: Vec<String> = p.sample_types().iter().map(|t| format!("{}/{}", t.kind, t.unit)).collect();
    assert_eq!(types, ["samples/count", "cpu/nanoseconds"]);
    assert_eq!(p.default_sample_type(), 1);
    let period = p.meta().period.as_ref().unwrap();
    assert_eq!((period.value_type.kind.as_str(), period.value), ("cpu", 1_000_000_000 / 199));
    assert!(own(&p, GRIND) * 10 > p.total(1) * 8, "{} of {}", own(&p, GRIND), p.total(1));
    assert!((900_000_000..20_000_000_000).contains(&p.meta().duration_ns.unwrap()), "{:?}", p.meta());
    assert!(p.meta().comments.iter().any(|c| c.starts_with("cpu_source=")), "{:?}", p.meta().comments);
    let thread = p.find_str("thread").unwrap();
    let of_grinder = |s: diag::profile::Sample<'_>| {
        p.label_set(s.labels)
            .iter()
            .any(|l| matches!(l.value, LabelValue::Str(name) if l.key == thread && p.str(name) == "grinder"))
    };
    assert!(p.samples().any(of_grinder), "threads are labelled");

    let bare = get_ok(server(), "/debug/pprof/profile?seconds=1&symbolize=false");
    let bare = pprof::decode(&bare.body).unwrap();
    // What is no code has a name of its own.
    assert!(bare.functions().iter().all(|f| bare.str(f.name).starts_with('[')), "addresses only");

    let text = get_ok(server(), "/debug/pprof/profile?seconds=1&debug=1");
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    let text = text.text();
    assert!(text.starts_with("cpu profile: ") && text.contains(GRIND), "{text}");
    assert!(text.contains("# cpu_source="), "{text}");
}

#[test]
fn wall_mode_sees_who_waits() {
    let _turn = turn();
    let _busy = Busy::start();
    let p = pprof::decode(&get_ok(server(), "/debug/pprof/profile?seconds=1&mode=wall").body).unwrap();
    let kind = &p.sample_types()[p.default_sample_type()];
    assert_eq!((kind.kind.as_str(), kind.unit.as_str()), ("wall", "nanoseconds"));
    let (state, waiting) = (p.find_str("state").unwrap(), p.find_str("waiting").unwrap());
    let waits = |s: diag::profile::Sample<'_>| {
        p.label_set(s.labels)
            .iter()
            .any(|l| l.key == state && matches!(l.value, LabelValue::Str(v) if v == waiting))
    };
    assert!(p.samples().any(waits), "this test waits for its answer");
}

#[test]
fn one_at_a_time_and_a_client_that_hangs_up_ends_it() {
    let _turn = turn();
    let first = ask(server(), "GET /debug/pprof/profile?seconds=3600");
    until_recording(true);
    for path in [PROFILE, "/debug/diag/api/v1/flamegraph?kind=cpu"] {
        let refused = get(server(), path);
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.header("x-go-pprof"), "1");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((3000..=3601).contains(&seconds), "{seconds}");
        let text = refused.text();
        assert!(text.contains("already") && text.contains(&format!("try again in {seconds} s")), "{text}");
    }
    // Nothing else waits for it.
    get_ok(server(), "/debug/pprof/heap?symbolize=false");
    get_ok(server(), "/debug/pprof/heap?symbolize=false&seconds=1");
    let metrics = get_ok(server(), "/metrics").text();
    assert!(metrics.contains("\ndiag_cpu_recording 1\n"), "{metrics}");
    drop(first);
    until_recording(false);
    get_ok(server(), "/debug/pprof/profile?seconds=1&symbolize=false");
}

#[test]
fn nonsense_is_refused_at_once_and_seconds_are_as_gos() {
    let _turn = turn();
    for bad in
        ["hz=0", "hz=5000", "hz=-1", "hz=x", "hz=", "mode=idle", "symbolize=x", "debug=x", "seconds=3601"]
    {
        let refused = get(server(), &format!("{PROFILE}?{bad}"));
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text());
        assert_eq!(refused.header("x-go-pprof"), "1");
        assert!(refused.text().contains(bad.split('=').next().unwrap()), "{bad}: {}", refused.text());
    }
    assert!(get(server(), &format!("{PROFILE}?hz=5000")).text().contains("from 1 to 4999"));
    // No number, or none above zero, is Go's 30 s; the reply to another client tells how long that is.
    for seconds in ["?seconds=x", "?seconds=-3", "?seconds=0", "?seconds=", ""] {
        let first = ask(server(), &format!("GET {PROFILE}{seconds}"));
        until_recording(true);
        let left: u64 = get(server(), PROFILE).header("retry-after").parse().unwrap();
        assert!((1..=31).contains(&left), "{seconds}: {left}");
        drop(first);
        until_recording(false);
    }
}

#[test]
fn a_flame_graph_of_cpu_time() {
    let _turn = turn();
    let _busy = Busy::start();
    let path = "/debug/diag/api/v1/flamegraph?kind=cpu";
    let answer = get_ok(server(), &format!("{path}&seconds=1"));
    assert_eq!(answer.header("content-type"), "image/svg+xml");
    let svg = answer.text();
    assert!(svg.contains("CPU time") && svg.contains(GRIND), "{}", &svg[..svg.len().min(3000)]);
    let page = get_ok(server(), &format!("{path}&seconds=1&mode=wall&format=html")).text();
    assert!(page.contains("Wall-clock time"), "{}", &page[..page.len().min(3000)]);
    for bad in ["type=inuse_space", "type=wall", "base=1", "ages=1", "hz=0"] {
        let refused = get(server(), &format!("{path}&{bad}"));
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text());
    }
    assert!(get(server(), &format!("{path}&type=wall")).text().contains("cpu, samples"));
}

#[test]
fn metrics_count_profiles() {
    let _turn = turn();
    let value = |name: &str| -> f64 {
        let metrics = get_ok(server(), "/metrics").text();
        let line = metrics.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
    };
    let before = (value("diag_cpu_profiles_total"), value("diag_cpu_samples_total"));
    let _busy = Busy::start();
    get_ok(server(), "/debug/pprof/profile?seconds=1&symbolize=false");
    assert_eq!(value("diag_cpu_profiles_total"), before.0 + 1.0);
    assert!(value("diag_cpu_samples_total") > before.1);
    assert_eq!(value("diag_cpu_recording"), 0.0);
    assert!(value("diag_cpu_memory_bytes") > 0.0);
    assert!(!status()["source"].is_null() && status()["why"].as_str().is_some_and(|w| !w.is_empty()));
}

fn go(arguments: &[&str]) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let all: Vec<&str> = ["tool", "pprof"].iter().chain(arguments).copied().collect();
    let (fine, text) = run("go", &all, scratch.path());
    assert!(fine, "{arguments:?}: {text}");
    text
}

#[test]
fn go_pprof_by_url_and_by_host() {
    if !has_client("go", "version") {
        return;
    }
    let _turn = turn();
    let _busy = Busy::start();
    let report = go(&["-top", &format!("http://{}{PROFILE}?seconds=2", server())]);
    assert!(report.contains("Type: cpu") && report.contains("Duration: 2"), "{report}");
    let first = report.lines().skip_while(|l| !l.contains("flat%")).nth(1).unwrap();
    assert!(first.ends_with(GRIND), "{report}");
    // Without a path pprof asks for the CPU profile.
    let bare = go(&["-top", "-seconds", "1", &server().to_string()]);
    assert!(bare.contains("Type: cpu") && bare.contains(GRIND), "{bare}");
    let tags = go(&["-tags", &format!("http://{}{PROFILE}?seconds=1", server())]);
    assert!(tags.contains("thread: Total") && tags.contains("grinder"), "{tags}");
}

#[test]
fn go_pprof_shows_why_not() {
    if !has_client("go", "version") {
        return;
    }
    let _turn = turn();
    let first = ask(server(), "GET /debug/pprof/profile?seconds=3600");
    until_recording(true);
    let scratch = tempfile::tempdir().unwrap();
    let url = format!("http://{}{PROFILE}?seconds=1", server());
    let (fine, text) = run("go", &["tool", "pprof", "-top", &url], scratch.path());
    assert!(!fine && text.contains("is being recorded already") && text.contains("try again in"), "{text}");
    drop(first);
    until_recording(false);
}

/// `1.23s`, `980ms`.
fn seconds(text: &str) -> f64 {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let (number, unit) = text.split_at(unit);
    let number: f64 = number.trim().parse().unwrap();
    match unit {
        "ns" => number / 1e9,
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        other => panic!("unit {other} in {text}"),
    }
}

#[test]
fn pprof_speedscope_and_the_picture_agree() {
    if !has_client("go", "version") {
        return;
    }
    let _turn = turn();
    let _busy = Busy::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile.pb.gz");
    let body = get_ok(server(), "/debug/pprof/profile?seconds=2").body;
    std::fs::write(&file, &body).unwrap();
    let p = pprof::decode(&body).unwrap();
    let (total, own) = (p.total(1), own(&p, GRIND));
    assert!(own * 10 > total * 8, "{own} of {total}");
    let near = |text: &str, ns: i64, what: &str| {
        // Both show two or three digits.
        let difference = (seconds(text) - ns as f64 / 1e9).abs();
        assert!(difference <= 0.05 + 0.006 * ns as f64 / 1e9, "{what}: {text} is not {ns} ns");
    };

    let report = go(&["-top", file.to_str().unwrap()]);
    let of = report.lines().find_map(|l| l.split(" of ").nth(1)?.strip_suffix(" total")).unwrap();
    near(of, total, "total of pprof");
    let first = report.lines().skip_while(|l| !l.contains("flat%")).nth(1).unwrap();
    assert!(first.ends_with(GRIND), "{report}");
    near(first.split_ascii_whitespace().next().unwrap(), own, "own time in pprof");

    let json: serde_json::Value = serde_json::from_str(&speedscope::write(&p, "test")).unwrap();
    let shown = &json["profiles"][json["activeProfileIndex"].as_u64().unwrap() as usize];
    assert_eq!((shown["unit"].as_str(), shown["endValue"].as_i64()), (Some("nanoseconds"), Some(total)));
    let leaf = |stack: &serde_json::Value| {
        let frame = stack.as_array().unwrap().last().unwrap().as_u64().unwrap() as usize;
        json["shared"]["frames"][frame]["name"] == GRIND
    };
    let weights = shown["samples"].as_array().unwrap().iter().zip(shown["weights"].as_array().unwrap());
    let sum: i64 = weights.filter(|(stack, _)| leaf(stack)).map(|(_, w)| w.as_i64().unwrap()).sum();
    assert_eq!(sum, own, "own time in speedscope");

    let svg = flamegraphs::render_svg(&p, &flamegraphs::Options::default()).unwrap();
    let after = |words: &str| svg.split_once(words).unwrap_or_else(|| panic!("no {words}\n{svg}")).1;
    near(after("Total ").split(" in ").next().unwrap(), total, "total of the picture");
    near(after(&format!("{GRIND} (")).split(" in ").next().unwrap(), own, "own time in the picture");
}

#[test]
fn hanging_up_while_it_starts_or_ends_leaves_nothing_behind() {
    let _turn = turn();
    for _ in 0..5 {
        drop(ask(server(), "GET /debug/pprof/profile?seconds=1"));
    }
    // One that begins late ends by itself.
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = get(server(), "/debug/pprof/profile?seconds=1&symbolize=false");
        if answer.status == 200 {
            break;
        }
        assert!(answer.status == 503 && Instant::now() < end, "{}", answer.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}
