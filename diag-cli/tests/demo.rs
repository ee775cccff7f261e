//! The demo, once, short: it names the leak and leaves its pictures, and the twin is not blamed.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{entries, run};

/// One demo at a time: each brings its own load.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn the_demo_names_the_leak() {
    let _alone = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let story = run(dir.path(), &["demo", "--seconds", "8", "--out", "d", "--format", "json"]).json();
    let leak = &story["retains"];
    assert!(leak["site"].as_str().unwrap_or_default().contains("remember_reply"), "{story}");
    assert!(leak["bytes_per_hour_low"].as_f64().unwrap() > 0.0, "{story}");
    let names = entries(&dir.path().join("d"));
    assert!(names.iter().filter(|n| n.starts_with("heap-")).count() == 7, "{names:?}");
    for picture in ["heap.svg", "growth.svg"] {
        let text = std::fs::read_to_string(dir.path().join("d").join(picture)).unwrap();
        assert!(text.contains("<svg") && text.contains("remember_reply"), "{picture}");
    }
    assert_eq!(entries(dir.path()), ["d"]);
}

#[test]
fn the_twin_is_not_blamed() {
    let _alone = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let story =
        run(dir.path(), &["demo", "--fixed", "--seconds", "8", "--out", "d", "--format", "json"]).json();
    assert_eq!(story["retains"], serde_json::Value::Null, "{story}");
}
