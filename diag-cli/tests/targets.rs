//! Live targets that fail: each gives one line that says what, where and what to do, code 3, and leaves nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::server::{Reply, Server, ok, profile, status};
use common::{entries, heap, run};

#[track_caller]
fn every_command_fails(reply: &Reply, says: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::always(reply.clone());
    let host = server.host();
    // Short where waiting is the test, long where a busy machine must not make a difference.
    let timeout = if matches!(reply, Reply::Hang) { "--timeout=300ms" } else { "--timeout=30s" };
    for args in [
        vec!["top", &host, timeout],
        vec!["flamegraph", &host, "-o", "out.svg", timeout],
        vec!["convert", &host, "--to", "folded", "-o", "out.folded", timeout],
        vec!["capture", &host, "--kind", "heap", "-o", "captures", timeout],
        vec!["diff", &host, &host, timeout],
    ] {
        run(dir.path(), &args).fails(3, says);
        assert_eq!(entries(dir.path()), [""; 0], "{args:?}");
    }
}

#[test]
fn refused() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let host = format!("127.0.0.1:{port}");
    run(dir.path(), &["top", &host]).fails(3, &["connection refused", &host, "nothing listens"]);
    run(dir.path(), &["capture", &host, "-o", "c", "--every=10ms", "--count=3"])
        .fails(3, &["connection refused"]);
    assert_eq!(entries(dir.path()), [""; 0]);
}

#[test]
fn unresolvable() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["top", "http://no-such-host.invalid:6060", "--timeout=2s"])
        .fails(3, &["does not resolve"]);
}

#[test]
fn hanging() {
    every_command_fails(&Reply::Hang, &["no answer in time", "--timeout"]);
}

#[test]
fn statuses() {
    every_command_fails(&status(401, "token please"), &["401 Unauthorized", "token please", "DIAG_TOKEN"]);
    every_command_fails(&status(404, ""), &["404 Not Found", "router"]);
    every_command_fails(&status(500, "boom\r\nat x"), &["500 Internal Server Error", "(boom at x)"]);
}

#[test]
fn html_and_garbage_and_nothing() {
    every_command_fails(
        &ok("text/html", "<!doctype html><title>Login</title>"),
        &["HTML", "/debug/pprof/heap"],
    );
    every_command_fails(
        &ok("application/octet-stream", vec![0x1f, 0x8b, 8, 0, 1, 2, 3]),
        &["the file is damaged"],
    );
    every_command_fails(&ok("application/octet-stream", ""), &["is empty"]);
    every_command_fails(&Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), &["HTTP"]);
}

#[test]
fn cut_short() {
    let whole = diag::profile::pprof::encode_gz(&heap(1000, &[(&["a", "main"], 1 << 20, 10)]));
    let half = whole[..whole.len() / 2].to_vec();
    every_command_fails(&Reply::Short { announced: whole.len(), body: half.clone() }, &["cut short"]);
    every_command_fails(&Reply::ShortChunk(half.clone()), &["http://127.0.0.1"]);
    every_command_fails(&Reply::Reset(half), &["http://127.0.0.1"]);
}

#[test]
fn stalled() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::always(Reply::Stall(vec![0x1f, 0x8b]));
    // Four times as long for the body as for its beginning, which a busy machine may also miss.
    let run = run(dir.path(), &["top", &server.host(), "--timeout=500ms"]);
    run.fails(3, &["--timeout waits longer"]);
    assert!(["stalled", "no answer in time"].iter().any(|s| run.stderr.contains(s)), "{}", run.stderr);
}

#[test]
fn redirects_are_followed_and_bounded() {
    let good = profile(&heap(1000, &[(&["shop::keep", "main"], 1 << 20, 10)]));
    let server = Server::start(move |r| match r.path.as_str() {
        "/moved" => Reply::Answer { status: 302, headers: vec!["Location: /heap".into()], body: vec![] },
        "/heap" => good.clone(),
        _ => Reply::Answer { status: 302, headers: vec!["Location: /loop".into()], body: vec![] },
    });
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["top", &server.url("/moved")]).ok().stdout.contains("shop::keep"));
    run(dir.path(), &["top", &server.url("/loop")]).fails(3, &["redirects"]);
}

#[test]
fn tokens() {
    let good = profile(&heap(1000, &[(&["shop::keep", "main"], 1 << 20, 10)]));
    let server = Server::start(move |r| match r.header("authorization") {
        Some("Bearer s3cret" | "Basic bWU6czNjcmV0") => good.clone(),
        _ => status(401, "a token is required"),
    });
    let dir = tempfile::tempdir().unwrap();
    let host = server.host();
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    run(dir.path(), &["top", &host, "--token", "s3cret"]).ok();
    run(dir.path(), &["top", &host, "--token-file", "token"]).ok();
    run(dir.path(), &["top", &format!("me:s3cret@{host}")]).ok();
    run(dir.path(), &["top", &format!("http://me:s3cret@{host}/debug/pprof/heap")]).ok();
    let mut with_env = common::command(dir.path());
    with_env.args(["top", &host]).env("DIAG_TOKEN", "s3cret");
    common::finish(with_env, &[]).ok();

    run(dir.path(), &["top", &host]).fails(3, &["401", "it wants a token"]);
    let refused = run(dir.path(), &["top", &format!("me:wr0ng@{host}")]);
    refused.fails(3, &["401", "the token was refused"]);
    assert!(!refused.stderr.contains("wr0ng"), "{}", refused.stderr);
    run(dir.path(), &["top", &host, "--token-file", "absent"]).fails(3, &["absent"]);
    run(dir.path(), &["top", &host, "--token-file", "empty"]).fails(3, &["empty"]);
    run(dir.path(), &["top", &host, "--token", "a b"]).fails(2, &["token"]);
}

#[test]
fn a_given_path_is_used_as_it_is() {
    let good = profile(&heap(1000, &[(&["shop::keep", "main"], 1 << 20, 10)]));
    let server = Server::always(good);
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["top", &server.url("/svc/pprof/allocs?x=1")]).ok();
    run(dir.path(), &["top", &server.host()]).ok();
    let asked: Vec<String> = server.requests().iter().map(|r| format!("{}?{}", r.path, r.query)).collect();
    assert_eq!(asked, ["/svc/pprof/allocs?x=1", "/debug/pprof/heap?symbolize=false"]);
}

#[test]
fn names_are_asked_of_the_target_when_they_are_not_here() {
    let named = heap(1000, &[(&["shop::keep", "main"], 1 << 20, 10)]);
    let bare = common::unnamed("/opt/no/such/service");
    let (named, bare) = (profile(&named), profile(&bare));
    let server =
        Server::start(move |r| if r.query.contains("symbolize=true") { named.clone() } else { bare.clone() });
    let dir = tempfile::tempdir().unwrap();
    let top = run(dir.path(), &["top", &server.host()]);
    assert!(top.ok().stdout.contains("shop::keep"), "{}", top.stdout);
    let asked: Vec<String> = server.requests().iter().map(|r| r.query.clone()).collect();
    assert_eq!(asked, ["symbolize=false", "symbolize=true"]);
}
