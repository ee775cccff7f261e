//! `report`: what stands on the page, that nothing in it can be fetched or injected, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::Path;

use common::aging::Service;
use common::{entries, run, save};
use roxmltree::{Document, ParsingOptions};

const HOSTILE: &str =
    "shop::<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>&amp;]]>::keep";

fn report(dir: &Path) -> String {
    run(dir, &["report", "captures", "-o", "r.html"]).ok();
    std::fs::read_to_string(dir.join("r.html")).unwrap()
}

fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|e| panic!("not well-formed: {e}"))
}

/// All text in an element with this id, and everything below.
fn text_of(document: &Document<'_>, id: &str) -> String {
    let node = document.descendants().find(|n| n.attribute("id") == Some(id));
    let node = node.unwrap_or_else(|| panic!("nothing has the id {id}"));
    node.descendants().filter_map(|n| n.text().filter(|_| n.is_text())).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_leak_is_reported_with_all_that_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    Service::default().write(&dir.path().join("captures"));
    let page = report(dir.path());
    let document = parse(&page);
    let all: String = document.descendants().filter_map(|n| n.text().filter(|_| n.is_text())).collect();
    for says in [
        "Memory report: orders",
        "2026-11-21 13:16:40 UTC to 2026-11-21 13:18:40 UTC (2.0 min)",
        "13 heap profiles with ages; 13 memory waterlines",
        "one allocation for every 64.0 KiB",
        "/orders.slice, memory limit 160 MiB",
        "LEAK: memory of one site grows without bound.",
        "diag-cli report captures -o r.html",
    ] {
        assert!(all.contains(says), "{says:?} is not in the page");
    }
    let verdict = text_of(&document, "verdict");
    for says in [
        "shop::sessions::remember",
        "leak",
        "225 MiB/h",
        "70.0 MiB",
        "16 of 16",
        "thread=worker",
        "Stack, 3 frames",
    ] {
        assert!(verdict.contains(says), "{says:?} is not in: {verdict}");
    }
    assert!(verdict.contains("62.5 MiB at 13:16:40 → 70.0 MiB at 13:18:40"), "{verdict}");
    let memory = text_of(&document, "memory");
    for says in
        ["allocated", "active", "resident (jemalloc)", "RSS", "cgroup limit", "(1 of 13 missing)", "missing"]
    {
        assert!(memory.contains(says), "{says:?} is not in: {memory}");
    }
    assert!(text_of(&document, "top").contains("shop::cache::fill"));
    assert!(text_of(&document, "growth").contains("+7.5 MiB"));
    let frames: Vec<_> = document.descendants().filter(|n| n.has_tag_name("iframe")).collect();
    assert_eq!(frames.len(), 2);
    for frame in frames {
        let picture = frame.attribute("srcdoc").unwrap();
        assert!(picture.contains("shop::sessions::remember"));
        parse(picture);
    }
    let charts = document.descendants().filter(|n| n.attribute("role") == Some("img"));
    assert_eq!(charts.filter(|n| n.children().any(|c| c.has_tag_name("desc"))).count(), 4);
    assert!(page.len() < 300_000, "{} bytes", page.len());
    assert_eq!(entries(dir.path()), ["captures", "r.html"]);
}

/// Elements and attributes of a document, and of those that stand in it.
fn inspect(page: &str, scripts: &mut usize) {
    let document = parse(page);
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let known =
            !["img", "image", "object", "embed", "link", "foreignObject", "base", "a", "use", "video"]
                .contains(&name);
        assert!(known, "there is a {name}");
        *scripts += usize::from(name == "script");
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            if key == "srcdoc" {
                inspect(value, scripts);
                continue;
            }
            assert!(!key.starts_with("on") && key != "style" && key != "src", "{name} has {key}={value}");
            if key == "href" || value.contains("url(") {
                assert!(value.starts_with('#') || value.starts_with("url(#"), "{key}={value}");
            }
            assert!(!value.contains("://"), "{name} has {key}={value}");
        }
        if name == "style" {
            let style = node.text().unwrap_or_default();
            assert!(!style.contains("@import") && !style.contains("url("), "{style}");
        }
    }
}

#[test]
fn nothing_is_fetched_and_names_inject_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service {
        name: format!("</title>{HOSTILE}\u{202e}\u{1b}[31m"),
        leak: Some(HOSTILE.into()),
        thread: HOSTILE.into(),
        ..Service::default()
    };
    service.write(&dir.path().join("captures"));
    let page = report(dir.path());
    let mut scripts = 0;
    inspect(&page, &mut scripts);
    assert_eq!(scripts, 1 + 2 * 3, "the page's, and in each picture inferno's, the page's and ours");
    for bad in ["<img", "<script>", "\u{202e}", "\u{1b}"] {
        assert!(!page.contains(bad), "{bad:?} is in the page");
    }
    assert!(page.contains("default-src 'none'") || page.contains("default-src &#39;none&#39;"));
    assert!(text_of(&parse(&page), "verdict").contains(HOSTILE), "the name is shown as it is");
    let again = report(dir.path());
    let nonce = |page: &str| page.split("nonce-").nth(1).unwrap()[..32].to_owned();
    assert_ne!(nonce(&page), nonce(&again), "nobody can know it beforehand");
}

#[test]
fn captures_without_ages_or_waterlines_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service { ages: false, ..Service::default() };
    for (name, second) in [("b.pb.gz", 1_120), ("a.pb.gz", 1_000), ("m.pb.gz", 1_060)] {
        save(&dir.path().join(name), &service.capture(second));
    }
    run(dir.path(), &["report", "b.pb.gz", "a.pb.gz", "m.pb.gz", "-o", "r.html"]).ok();
    let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
    let document = parse(&page);
    let verdict = text_of(&document, "verdict");
    assert!(
        verdict.contains("Not enough evidence for a verdict.") && verdict.contains("no ages"),
        "{verdict}"
    );
    assert!(
        verdict.contains("62.5 MiB at 13:16:40 → 70.0 MiB at 13:18:40"),
        "in the order of time: {verdict}"
    );
    assert!(!verdict.contains("Generations"), "{verdict}");
    assert!(verdict.contains("No ages:"), "{verdict}");
    assert!(text_of(&document, "memory").contains("There are no memory waterlines"));
    let both = run(dir.path(), &["report", "a.pb.gz", "b.pb.gz", "-o", "-"]);
    assert!(both.ok().stdout.starts_with("<!DOCTYPE html>"), "{}", both.stdout);
}

#[test]
fn what_is_left_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let captures = dir.path().join("captures");
    Service::default().write(&captures);
    let earlier = Service { pid: 99, started_s: 1_795_266_000 - 7_200, ..Service::default() };
    earlier.write(&captures);
    std::fs::write(captures.join("memory-20261121T131705.000Z-4711.json"), "{").unwrap();
    let damaged = captures.join("heap-20261121T131702.000Z-4711.pb.gz");
    std::fs::write(damaged, [0x1f, 0x8b, 8, 0, 0]).unwrap();
    let page = report(dir.path());
    let document = parse(&page);
    let all: String = document.descendants().filter_map(|n| n.text().filter(|_| n.is_text())).collect();
    for says in [
        "13 captures of earlier processes: the service restarted.",
        "13 waterlines of earlier processes.",
        "1 waterline that cannot be read.",
        "heap-20261121T131702.000Z-4711.pb.gz",
        "LEAK",
    ] {
        assert!(all.contains(says), "{says:?} is not in the page");
    }
}

#[test]
fn a_process_without_a_leak_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    Service { leak: None, ..Service::default() }.write(&dir.path().join("captures"));
    let page = report(dir.path());
    assert!(text_of(&parse(&page), "verdict").contains("No leak found."));
}

#[test]
fn what_cannot_be_reported_on_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::default();
    save(&dir.path().join("a.pb.gz"), &service.capture(1_000));
    save(&dir.path().join("same.pb.gz"), &service.capture(1_000));
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::fs::write(dir.path().join("x.json"), "{}").unwrap();
    std::fs::write(dir.path().join("x.pb.gz"), "not a profile").unwrap();
    run(dir.path(), &["report", "empty"]).fails(3, &["no captures"]);
    run(dir.path(), &["report", "nowhere"]).fails(3, &["nowhere", "no such file"]);
    run(dir.path(), &["report", "a.pb.gz"]).fails(3, &["two captures of one process"]);
    run(dir.path(), &["report", "a.pb.gz", "same.pb.gz"]).fails(3, &["different times"]);
    run(dir.path(), &["report", "a.pb.gz", "x.pb.gz"]).fails(3, &["x.pb.gz"]);
    run(dir.path(), &["report", "a.pb.gz", "same.pb.gz", "x.json"])
        .fails(3, &["x.json", "no memory waterline"]);
    run(dir.path(), &["report", "a.pb.gz", "-o", "no/where.html"]).fails(3, &["there is no directory"]);
    run(dir.path(), &["report", "127.0.0.1:1"]).fails(2, &["live process", "diag-cli capture"]);
    run(dir.path(), &["report"]).fails(2, &["DIR"]);
    let left: Vec<String> = entries(dir.path()).into_iter().filter(|n| n.contains("html")).collect();
    assert!(left.is_empty(), "{left:?}");
}

mod browser {
    //! The page in a real browser. Needs Chromium; without it the tests say that they are skipped, and fail if
    //! DIAG_REQUIRE_CLIENTS=1.

    use super::*;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Command;

    use serde_json::Value;

    fn chromium() -> Option<PathBuf> {
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path)
            .flat_map(|dir| names.map(|name| dir.join(name)))
            .find(|candidate| candidate.is_file());
        if found.is_none() {
            assert!(
                std::env::var_os("DIAG_REQUIRE_CLIENTS").is_none_or(|v| v != "1"),
                "no Chromium in PATH, but DIAG_REQUIRE_CLIENTS=1"
            );
            std::io::stderr().write_all(b"skipped: no Chromium in PATH\n").unwrap();
        }
        found
    }

    /// Looks at the page in a window of this width: what it is like 1.5 s after it was loaded, in virtual time. A picture
    /// of it stays in the directory for temporary files of the build.
    fn look(chromium: &Path, page: &str, width: u32, dark: bool) -> Value {
        let scratch = tempfile::tempdir().unwrap();
        let nonce = page.split("nonce-").nth(1).unwrap().split('\'').next().unwrap();
        let nonce = nonce.split('&').next().unwrap();
        // The page reports to the one around it: a window cannot be as narrow as a telephone.
        let early = format!(
            "<script nonce=\"{nonce}\">var seen = {{ errors: [], told: [] }};\
             window.addEventListener('error', function (e) {{ seen.errors.push(String(e.message)); }});\
             document.addEventListener('securitypolicyviolation', function (e) {{ seen.errors.push(e.violatedDirective); }});\
             window.addEventListener('message', function (e) {{ seen.told.push(e.data.height); }});\
             window.addEventListener('load', function () {{ setTimeout(function () {{\
               var root = document.documentElement;\
               seen.width = root.clientWidth; seen.scroll = root.scrollWidth; seen.pwned = typeof window.pwned;\
               seen.dark = matchMedia('(prefers-color-scheme: dark)').matches;\
               seen.background = getComputedStyle(document.body).backgroundColor;\
               seen.frames = Array.from(document.querySelectorAll('iframe')).map(function (f) {{ return f.clientHeight; }});\
               seen.wide = Array.from(document.querySelectorAll('body *')).filter(function (e) {{\
                 return !e.closest('.scroll, svg') && e.getBoundingClientRect().right > root.clientWidth + 1; }}).map(function (e) {{\
                 return e.tagName + '.' + e.className; }});\
               seen.charts = Array.from(document.querySelectorAll('.chart')).filter(function (c) {{\
                 return c.getBoundingClientRect().width > 200; }}).length;\
               seen.requests = performance.getEntriesByType('resource').map(function (r) {{ return r.name; }});\
               parent.postMessage(seen, '*'); }}, 1500); }});</script>"
        );
        std::fs::write(scratch.path().join("r.html"), page.replacen("<style", &format!("{early}<style"), 1))
            .unwrap();
        let around = format!(
            "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\"><body style=\"margin:0\">\
             <iframe src=\"r.html\" width=\"{width}\" height=\"4000\" style=\"border:0\"></iframe>\
             <script>addEventListener('message', function (e) {{\
             document.documentElement.setAttribute('data-seen', encodeURIComponent(JSON.stringify(e.data))); }});</script>"
        );
        let address = scratch.path().join("around.html");
        std::fs::write(&address, around).unwrap();
        let name = format!("report-{width}-{}.png", if dark { "dark" } else { "light" });
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_file(&picture);
        let output = Command::new(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--disable-background-networking",
                "--hide-scrollbars",
                "--virtual-time-budget=6000",
                "--dump-dom",
            ])
            // Frames in processes of their own do not take part in virtual time.
            .args(["--disable-features=IsolateSandboxedIframes", "--disable-site-isolation-trials"])
            .args(["--allow-file-access-from-files", "--enable-logging=stderr"])
            .arg(format!("--window-size={},4000", width.max(500)))
            .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("--user-data-dir={}", scratch.path().join("chromium").display()))
            .arg(format!("file://{}", address.display()))
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        let complaints: Vec<&str> = log
            .lines()
            .filter(|l| {
                l.contains("CONSOLE") && ["rror", "efused", "iolat", "locked"].iter().any(|w| l.contains(w))
            })
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert!(picture.metadata().is_ok_and(|m| m.len() > 10_000), "no picture of the page");
        let dom = String::from_utf8_lossy(&output.stdout);
        let seen = dom.split("data-seen=\"").nth(1).and_then(|s| s.split('"').next());
        let seen = seen.unwrap_or_else(|| panic!("the page did not report: {log}"));
        serde_json::from_str(&percent_decoded(seen)).unwrap()
    }

    fn percent_decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            match (first, tail) {
                (b'%', [a, b, tail @ ..]) => {
                    let hex = [*a, *b];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                    rest = tail;
                }
                _ => {
                    bytes.push(*first);
                    rest = tail;
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_page_fits_telephones_and_desks_by_day_and_night() {
        let Some(chromium) = chromium() else { return };
        let dir = tempfile::tempdir().unwrap();
        Service { thread: HOSTILE.into(), ..Service::default() }.write(&dir.path().join("captures"));
        let page = report(dir.path());
        for (width, dark) in [(360, false), (360, true), (1200, false), (1200, true)] {
            let seen = look(&chromium, &page, width, dark);
            assert_eq!(seen["errors"], serde_json::json!([]), "{width} {dark}");
            assert_eq!(seen["scroll"], seen["width"], "the page does not scroll sideways: {seen}");
            assert_eq!(seen["wide"], serde_json::json!([]), "nothing sticks out");
            assert_eq!(seen["dark"], dark);
            assert_eq!(seen["background"], if dark { "rgb(23, 24, 28)" } else { "rgb(255, 255, 255)" });
            assert_eq!(seen["charts"], 3, "live bytes, births, and memory once: {seen}");
            assert_eq!(seen["requests"], serde_json::json!([]), "nothing is fetched");
            assert_eq!(seen["pwned"], "undefined");
            assert!(seen["told"].as_array().is_some_and(|t| t.len() >= 2), "both pictures run: {seen}");
        }
    }
}
