//! Whole pictures, so that any change shows in a review. `FLAMEGRAPHS_WRITE_GOLDEN=1 cargo test -p flamegraphs --test
//! golden` rewrites the files in tests/golden/; look at them in a browser before committing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use diag::profile::{Profile, pprof};
use flamegraphs::{Options, render_diff_html, render_diff_svg, render_html, render_svg};
use support::{Stacks, service, service_later};

/// Through the codec and back: a picture of a file is the picture of the profile.
fn stored(profile: &Profile) -> Profile {
    pprof::decode(&pprof::encode_gz(profile)).unwrap()
}

fn options() -> Options {
    Options { title: "orders".to_owned(), ..Options::default() }
}

fn check(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    // One element a line, so that a diff of the golden file can be read.
    let actual = actual.replace("><", ">\n<");
    if std::env::var_os("FLAMEGRAPHS_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let at = actual.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        actual == expected,
        "{file} differs, first at line {:?}:\n now: {:?}\n was: {:?}",
        at.map(|l| l + 1),
        at.and_then(|l| actual.lines().nth(l)),
        at.and_then(|l| expected.lines().nth(l)),
    );
}

#[test]
fn heap() {
    check("heap.svg", &render_svg(&stored(&service()), &options()).unwrap());
    check("heap.html", &render_html(&stored(&service()), &options()).unwrap());
}

#[test]
fn difference() {
    check(
        "difference.svg",
        &render_diff_svg(&stored(&service()), &stored(&service_later()), &options()).unwrap(),
    );
    check(
        "difference.html",
        &render_diff_html(&stored(&service()), &stored(&service_later()), &options()).unwrap(),
    );
}

#[test]
fn empty() {
    let profile = stored(&Stacks::heap(1_795_000_000).done());
    check("empty.svg", &render_svg(&profile, &options()).unwrap());
    check("empty.html", &render_html(&profile, &options()).unwrap());
}
