//! The pictures in a real browser: they load, search and zoom. Needs Chromium; without it the tests say that they are
//! skipped, and fail if DIAG_REQUIRE_CLIENTS=1.
//!
//! A script is put into a copy of the file. It waits for the load, acts as a user does, and leaves what it saw in an
//! attribute of the root element, which `--dump-dom` prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flamegraphs::{Direction, Options, render_diff_svg, render_html, render_svg};
use serde_json::Value;
use support::{Stacks, hostile_names, service, service_later};

/// What all scripts use. Time is virtual, so the waits cost nothing.
const TOOLS: &str = r##"
var seen = { errors: [] };
window.onerror = function (message) { seen.errors.push(String(message)); };
function group(text) {
  var all = document.getElementById("frames").children;
  for (var i = 0; i < all.length; i++) if (g_to_text(all[i]).indexOf(text) === 0) return all[i];
}
function look(text) {
  var g = group(text), r = g.querySelector("rect");
  return { shown: getComputedStyle(g).display !== "none", width: parseFloat(r.getAttribute("width")),
           fill: r.getAttribute("fill"), label: g.querySelector("text").textContent,
           px: r.getBoundingClientRect().width };
}
function click(node) { node.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true })); }
function over(node) { node.dispatchEvent(new MouseEvent("mouseover", { bubbles: true })); }
function content(id) { return document.getElementById(id).textContent; }
"##;

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|candidate| candidate.is_file())
}

/// Opens `markup` as a file of this kind (`data`: a page that is its own address), runs `script`, and gives what it put into `seen`. `None`: skipped.
fn browse(markup: &str, extension: &str, script: &str) -> Option<Value> {
    let Some(chromium) = chromium() else {
        assert!(
            std::env::var_os("DIAG_REQUIRE_CLIENTS").is_none_or(|v| v != "1"),
            "no Chromium in PATH, but DIAG_REQUIRE_CLIENTS=1"
        );
        // Past the capture of printed text, which hides the output of tests that pass.
        std::io::stderr().write_all(b"skipped: no Chromium in PATH\n").unwrap();
        return None;
    };
    let scratch = tempfile::tempdir().unwrap();
    let end = if extension == "svg" { "</svg>" } else { "</body>" };
    let at = markup.rfind(end).unwrap();
    let tail = &markup[at..];
    let injected = format!(
        "{}<script nonce=\"n0nce\">//<![CDATA[\n{TOOLS}\nwindow.addEventListener('load', function () {{ setTimeout(function () {{\
         try {{ {script} }} catch (e) {{ seen.errors.push(String(e)); }}\
         document.documentElement.setAttribute('data-seen', encodeURIComponent(JSON.stringify(seen)));\
         }}, 100); }});\n//]]></script>{tail}",
        &markup[..at]
    );
    let address = if extension == "data" {
        format!("data:text/html;charset=utf-8,{}", percent_encoded(&injected))
    } else {
        let file = scratch.path().join("picture").with_extension(extension);
        std::fs::write(&file, injected).unwrap();
        format!("file://{}", file.display())
    };
    let dom = dump(&chromium, scratch.path(), &address);
    let encoded = dom.split("data-seen=\"").nth(1).and_then(|s| s.split('"').next());
    let encoded =
        encoded.unwrap_or_else(|| panic!("the script did not run: {}", &dom[..dom.len().min(2000)]));
    let seen: Value = serde_json::from_str(&percent_decoded(encoded)).unwrap();
    assert_eq!(seen["errors"], Value::Array(vec![]), "no error in the browser");
    Some(seen)
}

fn dump(chromium: &Path, scratch: &Path, address: &str) -> String {
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--window-size=1280,800",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", scratch.join("chromium").display()))
        .arg(address)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, b| {
        if b.is_ascii_alphanumeric() {
            all.push(char::from(b));
        } else {
            all.push_str(&format!("%{b:02x}"));
        }
        all
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn options(direction: Direction) -> Options {
    Options { title: "orders".to_owned(), direction, ..Options::default() }
}

#[test]
fn the_svg_searches_and_zooms() {
    for direction in [Direction::Icicle, Direction::Flame] {
        let svg = render_svg(&service(), &options(direction)).unwrap();
        let script = r##"
            seen.before = look("orders::cache");
            search("orders::cache");
            seen.found = look("orders::cache");
            seen.other = look("orders::warm_up");
            seen.matched = content("matched");
            reset_search();
            seen.reset = look("orders::cache");
            click(group("orders::warm_up").querySelector("rect"));
            seen.zoomed = look("orders::warm_up");
            seen.hidden = look("orders::http");
            seen.parent = look("orders::main");
            seen.child = look("SSL_CTX_new");
            seen.unzoom_shown = getComputedStyle(document.getElementById("unzoom")).display;
            click(document.getElementById("unzoom"));
            seen.back = look("orders::http");
            over(group("orders::cache").querySelector("rect"));
            seen.details = content("details");
        "##;
        let Some(seen) = browse(&svg, "svg", script) else { return };
        assert_eq!(seen["found"]["fill"], "rgb(255,225,77)", "a match is marked");
        assert_ne!(seen["other"]["fill"], "rgb(255,225,77)");
        assert_eq!(seen["matched"], "Matched: 56.9%");
        assert_eq!(seen["reset"]["fill"], seen["before"]["fill"]);
        assert_eq!(seen["zoomed"]["width"], 100.0);
        assert_eq!(seen["hidden"]["shown"], false);
        assert_eq!(seen["parent"]["width"], 100.0);
        assert_eq!(seen["child"]["label"], "SSL_CTX_new", "there is room for the name after the zoom");
        assert_ne!(seen["unzoom_shown"], "none");
        assert_eq!(seen["back"]["shown"], true);
        let details = seen["details"].as_str().unwrap().trim();
        assert!(
            details.starts_with("orders::cache::Cache<K,V>::insert (30.0 MiB in 4,210 objects"),
            "{details}"
        );
    }
}

#[test]
fn labels_use_the_room_there_is() {
    let svg = render_diff_svg(&service(), &service_later(), &options(Direction::Icicle)).unwrap();
    let script = r##"
        seen.wide = look("+ orders::audit");
        seen.narrow = look("+ orders::metrics");
        seen.gone = look("- <alloc::vec::Vec<T>");
        seen.window = window.innerWidth;
        seen.root = look("+ all");
    "##;
    let Some(seen) = browse(&svg, "svg", script) else { return };
    assert_eq!(seen["wide"]["label"], "+ orders::audit::Log::append");
    assert_eq!(seen["narrow"]["label"], "+ metrics::l..");
    assert_eq!(
        seen["root"]["px"].as_f64().unwrap(),
        seen["window"].as_f64().unwrap() - 20.0,
        "as wide as the window"
    );
}

#[test]
fn the_page_searches_and_zooms() {
    let html = render_html(&service(), &options(Direction::Icicle)).unwrap();
    let script = r##"
        var term = document.getElementById("term");
        window.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true }));
        seen.focused = document.activeElement === term;
        function type(t) { term.value = t; term.dispatchEvent(new Event("input", { bubbles: true })); }
        type("cache");
        seen.found = [look("orders::cache").fill, content("found")];
        type("[");
        seen.bad = content("found");
        type("nowhere");
        seen.none = content("found");
        type("");
        seen.cleared = [look("orders::cache").fill !== "rgb(255,225,77)", content("found")];
        click(group("orders::warm_up").querySelector("rect"));
        seen.zoomed = look("orders::warm_up").width;
        over(group("orders::warm_up").querySelector("rect"));
        seen.info = content("info");
        window.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
        seen.back = look("orders::http").shown;
        seen.root = look("all").px;
        seen.page = document.documentElement.clientWidth;
        seen.scrolls_sideways = document.documentElement.scrollWidth > document.documentElement.clientWidth;
        seen.requests = performance.getEntriesByType("resource").map(function (r) { return r.name; });
    "##;
    let Some(seen) = browse(&html, "html", script) else { return };
    assert_eq!(seen["focused"], true);
    assert_eq!(seen["found"], serde_json::json!(["rgb(255,225,77)", "Matched: 56.9%"]));
    assert_eq!(seen["bad"], "not a valid pattern");
    assert_eq!(seen["none"], "no match");
    assert_eq!(seen["cleared"], serde_json::json!([true, ""]));
    assert_eq!(seen["zoomed"], 100.0);
    assert!(
        seen["info"].as_str().unwrap().starts_with("orders::warm_up (9.7 MiB in 13 objects"),
        "{}",
        seen["info"]
    );
    assert_eq!(seen["back"], true);
    assert!(
        seen["root"].as_f64().unwrap() > seen["page"].as_f64().unwrap() - 60.0,
        "the picture fills the page"
    );
    assert_eq!(seen["scrolls_sideways"], false);
    assert_eq!(seen["requests"], serde_json::json!([]), "nothing is fetched");
}

#[test]
fn the_page_works_without_an_address_of_its_own() {
    let html = render_html(&service(), &options(Direction::Icicle)).unwrap();
    let script = r##"
        var term = document.getElementById("term");
        term.value = "cache";
        term.dispatchEvent(new Event("input", { bubbles: true }));
        seen.found = content("found");
        click(group("orders::warm_up").querySelector("rect"));
        seen.zoomed = look("orders::warm_up").width;
        seen.address = location.href.slice(0, 5);
    "##;
    let Some(seen) = browse(&html, "data", script) else { return };
    assert_eq!(seen["address"], "data:");
    assert_eq!(seen["found"], "Matched: 56.9%");
    assert_eq!(seen["zoomed"], 100.0);
}

#[test]
fn the_page_works_under_a_strict_policy() {
    let options = Options { csp_nonce: Some("n0nce".to_owned()), ..options(Direction::Icicle) };
    let policy = "<head><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                  script-src 'nonce-n0nce'; style-src 'nonce-n0nce'\"/>";
    let html = render_html(&service(), &options).unwrap().replacen("<head>", policy, 1);
    let script = r##"
        search("orders::cache");
        seen.found = content("matched");
        click(group("orders::warm_up").querySelector("rect"));
        seen.zoomed = look("orders::warm_up").width;
        seen.swatch = getComputedStyle(document.querySelector(".legend i")).backgroundColor;
        seen.font = getComputedStyle(document.querySelector("#frames text")).fontFamily;
    "##;
    let Some(seen) = browse(&html, "html", script) else { return };
    assert_eq!(seen["found"], "Matched: 56.9%");
    assert_eq!(seen["zoomed"], 100.0);
    assert_ne!(seen["swatch"], "rgba(0, 0, 0, 0)");
    assert_eq!(seen["font"], "monospace");
}

#[test]
fn hostile_names_run_nothing() {
    let names = hostile_names();
    let mut stacks = Stacks::heap(0);
    for name in &names {
        stacks.push(&["app::main", name.as_str()], 1, 1000);
    }
    let options = Options { title: names.concat(), ..Options::default() };
    let profile = stacks.done();
    let script = r##"
        seen.pwned = typeof window.pwned;
        seen.scripts = document.querySelectorAll("script").length;
        seen.images = document.querySelectorAll("img, image, a, iframe, foreignObject").length;
        seen.frames = document.getElementById("frames").children.length;
        search(".");
        click(group("app::main").querySelector("rect"));
    "##;
    for (markup, extension, scripts) in [
        (render_svg(&profile, &options).unwrap(), "svg", 2),
        (render_html(&profile, &options).unwrap(), "html", 3),
    ] {
        let Some(seen) = browse(&markup, extension, script) else { return };
        assert_eq!(seen["pwned"], "undefined");
        assert_eq!(seen["scripts"], scripts, "ours, and the test's");
        assert_eq!(seen["images"], 0);
        assert_eq!(seen["frames"], names.len() + 2);
    }
}
