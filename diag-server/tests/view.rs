//! What the browser UI asks for, of a real heap: one request in every format, against a baseline, cut down to a part.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{RETAINED_BYTES, ask, get, get_ok, read, retain, server};
use diag::profile::{Profile, pprof};
use serde_json::Value;

const VIEW: &str = "/debug/diag/api/v1/view";
const SITE: &str = "<view::common::Ledger as view::common::Store>::keep";

fn json(path: &str) -> Value {
    serde_json::from_slice(&get_ok(server(), path).body).unwrap()
}

fn profile(query: &str) -> Profile {
    pprof::decode(&get_ok(server(), &format!("{VIEW}?format=pprof&{query}")).body).unwrap()
}

fn in_use(profile: &Profile) -> i64 {
    profile.total(profile.sample_type_index("inuse_space").unwrap())
}

#[test]
fn every_format_shows_the_same() {
    let view = json(VIEW);
    assert_eq!((&view["schema"], &view["flame"]["schema"]), (&"diag.view/1".into(), &"diag.flame/1".into()));
    assert_eq!(view["type"], "inuse_space");
    let total = view["flame"]["frames"]["new"][0].as_i64().unwrap();
    assert!(total >= RETAINED_BYTES as i64 / 2, "{total}");
    let names = view["flame"]["names"].to_string();
    assert!(names.contains("view::common::Ledger as view::common::Store"), "{names}");
    let keys: Vec<&str> =
        view["labels"].as_array().unwrap().iter().map(|l| l["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"age") && keys.contains(&"thread"), "{keys:?}");

    let svg = get_ok(server(), &format!("{VIEW}?format=svg"));
    assert_eq!(svg.header("content-disposition"), "attachment; filename=\"flamegraph.svg\"");
    assert!(svg.text().contains("Ledger as view::common::Store"));
    let page = get_ok(server(), &format!("{VIEW}?format=html&type=inuse_objects"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.text().contains("Live heap objects"));
    let whole = profile("");
    assert!(in_use(&whole) >= RETAINED_BYTES as i64 / 2);
    assert_eq!(whole.default_sample_type(), whole.sample_type_index("inuse_space").unwrap());

    // Parts of it.
    let focused = profile("focus=Ledger");
    assert!(in_use(&focused) >= RETAINED_BYTES as i64 / 2 && focused.stack_count() < whole.stack_count());
    assert_eq!(in_use(&profile("label=thread%3D%5Enobody%24")), 0);
    let grouped = json(&format!("{VIEW}?group=age&order=leaf&runtime=hide&frames=200"));
    assert!(grouped["flame"]["names"].to_string().contains("age = "), "{grouped}");
    assert!(grouped["flame"]["frames"]["depth"].as_array().unwrap().len() <= 200);
    let wrong = get(server(), &format!("{VIEW}?type=inuse"));
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("inuse_space"), "{}", wrong.text());
}

#[test]
fn a_baseline_is_kept_and_compared_with() {
    let answer = read(ask(server(), "POST /debug/diag/api/v1/kept?kind=heap"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let kept: Value = serde_json::from_slice(&answer.body).unwrap();
    let id = kept["id"].as_u64().unwrap();
    const MORE_BYTES: usize = 8 << 20;
    retain(MORE_BYTES);
    let query = format!("base=kept:{id}");
    let view = json(&format!("{VIEW}?{query}"));
    let frames = &view["flame"]["frames"];
    let (base, new) = (frames["base"][0].as_i64().unwrap(), frames["new"][0].as_i64().unwrap());
    assert!(new - base >= MORE_BYTES as i64 / 2, "{base} {new}");
    assert!(view["flame"]["difference"].as_bool().unwrap());
    let change = in_use(&profile(&query));
    assert!(change >= MORE_BYTES as i64 / 2 && change < new, "{change}");
    let all = json("/debug/diag/api/v1/kept");
    assert!(all["kept"].as_array().unwrap().iter().any(|k| k["id"].as_u64() == Some(id)), "{all}");
    // What it is compared with may be looked at alone.
    assert_eq!(json(&format!("{VIEW}?of=kept:{id}"))["flame"]["frames"]["new"][0], base);
}

#[test]
fn history_and_courses_tell_what_went_before() {
    let course = |path: &str| json(&format!("/debug/diag/api/v1/courses?site={path}"));
    let site = SITE.replace('<', "%3C").replace('>', "%3E").replace(' ', "%20");
    // A census sees what is older than its cell.
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let found = course(&site);
        assert_eq!(found["schema"], "diag.courses/1");
        let times = found["taken_unix_ms"].as_array().unwrap().len();
        // Its pieces are made by another function, which is their site.
        assert!(found["sites"][0]["live_bytes"].as_array().unwrap().len() == times, "{found}");
        let live = found["sites"][0]["with_callees_bytes"].as_array().unwrap();
        assert_eq!((&found["sites"][0]["site"], live.len()), (&SITE.into(), times));
        if live.last().and_then(Value::as_u64).is_some_and(|b| b >= RETAINED_BYTES as u64 / 2) {
            break;
        }
        assert!(Instant::now() < until, "{found}");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(course("nobody")["sites"][0]["live_bytes"][0], 0);
    let history = json("/debug/diag/api/v1/history");
    let last = |name: &str| history["columns"][name].as_array().unwrap().last().cloned().unwrap();
    for column in ["rss_bytes", "allocated_bytes", "diag_bytes", "cpu_ns", "diag_cpu_ns"] {
        assert!(last(column).as_u64().is_some_and(|v| v > 0), "{column}: {history}");
    }
}
