//! Who may ask, with the real clients; and a service that is switched off. One test, since there can be one `Diag` at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use common::{ask, get, has_client, read, retain, run};
use diag::Diag;
use tower::ServiceExt as _;

const ANY: &str = "127.0.0.1:0";

#[test]
fn tokens_and_the_switch() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();

    // All interfaces, with a token.
    let diag = Diag::builder()
        .listen("0.0.0.0:0".parse().unwrap())
        .token_file(&file)
        .sample_bytes(4096)
        .start()
        .unwrap();
    let server = diag_server::serve(&diag).unwrap();
    retain(4 << 20);
    let addr = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
    go_and_curl(addr, dir.path());
    embedded(&diag);
    server.shutdown();
    drop(diag);

    // A token that cannot be read closes a router, and keeps a listener from starting.
    std::fs::remove_file(&file).unwrap();
    let diag = Diag::builder().listen(ANY.parse().unwrap()).token_file(&file).start().unwrap();
    assert!(matches!(diag_server::serve(&diag), Err(diag_server::Error::Token { .. })));
    assert_eq!(status(&diag, None), StatusCode::SERVICE_UNAVAILABLE);
    drop(diag);

    // The token itself, from the host's code; and nothing may be changed.
    let diag = Diag::builder()
        .listen("0.0.0.0:0".parse().unwrap())
        .token_file(&file)
        .token("s3cret")
        .read_only(true)
        .start()
        .unwrap();
    let server = diag_server::serve(&diag).unwrap();
    secret_and_read_only(SocketAddr::from(([127, 0, 0, 1], server.local_addr().port())));
    server.shutdown();
    drop(diag);

    // A secret that did not arrive must not open the door, on loopback either.
    let diag = Diag::builder().listen(ANY.parse().unwrap()).token(" ").start().unwrap();
    let error = diag_server::serve(&diag).unwrap_err().to_string();
    assert!(error.contains("DIAG_TOKEN") && error.contains("is empty"), "{error}");
    assert_eq!(status(&diag, Some("Bearer ")), StatusCode::SERVICE_UNAVAILABLE);
    drop(diag);

    // Off loopback without a token.
    let diag = Diag::builder().listen("0.0.0.0:0".parse().unwrap()).start().unwrap();
    assert!(matches!(diag_server::serve(&diag), Err(diag_server::Error::TokenRequired { .. })));
    drop(diag);

    // Switched off: no error, nothing listens, and status says why.
    let diag = Diag::builder().listen(ANY.parse().unwrap()).disabled(true).start().unwrap();
    let server = diag_server::serve(&diag).unwrap();
    assert!(!server.is_listening());
    server.shutdown();
    assert_eq!(status(&diag, None), StatusCode::OK, "a router in a host still answers");
}

fn go_and_curl(addr: SocketAddr, scratch: &std::path::Path) {
    let refused = get(addr, "/debug/pprof/heap");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic"), "{}", refused.head);
    if has_client("go", "version") {
        let url = format!("http://any:s3cret@{addr}/debug/pprof/heap");
        let (fine, text) = run("go", &["tool", "pprof", "-top", "-cum", &url], scratch);
        assert!(fine && text.contains("access::common::retain"), "{text}");
        let url = format!("http://any:wrong@{addr}/debug/pprof/heap");
        let (fine, text) = run("go", &["tool", "pprof", "-top", &url], scratch);
        assert!(!fine && text.contains("the token is not right"), "{text}");
        let url = format!("http://{addr}/debug/pprof/heap");
        let (fine, text) = run("go", &["tool", "pprof", "-top", &url], scratch);
        assert!(!fine && text.contains("a token is required"), "{text}");
    }
    if has_client("curl", "--version") {
        let url = format!("http://{addr}/debug/diag/api/v1/status");
        let bearer = ["-sS", "--fail", "-H", "Authorization: Bearer s3cret", &url];
        let (fine, text) = run("curl", &bearer, scratch);
        assert!(fine && text.contains("diag.status/1"), "{text}");
        assert!(!text.contains("s3cret"), "the token is not told");
        let (fine, _) = run("curl", &["-sS", "--fail", &url], scratch);
        assert!(!fine);
    }
}

/// No answer, whatever it is about, tells the token; what changes something is refused even with it.
fn secret_and_read_only(addr: SocketAddr) {
    let ask = |method: &str, path: &str, shown: &str| {
        read(ask(addr, &format!("{method} {path} HTTP/1.1\r\nAuthorization: {shown}\r\nX-Rest:")))
    };
    for path in [
        "/debug/pprof/",
        "/debug/pprof/cmdline",
        "/debug/pprof/heap?debug=1",
        "/debug/diag/",
        "/debug/diag/api/v1/status",
        "/debug/diag/api/v1/memory",
        "/debug/diag/api/v1/leaks?format=text",
        "/debug/diag/api/v1/flamegraph?format=html",
        "/metrics",
        "/debug/pprof/heap?seconds=never",
        "/nothing",
    ] {
        // `any:s3cret`
        for (shown, fine) in
            [("Bearer s3cret", true), ("Basic YW55OnMzY3JldA==", true), ("Bearer s3cre", false)]
        {
            let answer = ask("GET", path, shown);
            // All other paths are nobody's secret.
            assert_eq!(answer.status == 401, !fine && path != "/nothing", "{path}: {}", answer.text());
            let all = format!("{}{}", answer.head, answer.text());
            assert!(!all.contains("s3cre") && !all.contains("YW55OnMz"), "{path}: {all}");
        }
    }
    let status = ask("GET", "/debug/diag/api/v1/status", "Bearer s3cret").text();
    assert!(status.contains("\"token\":\"hidden\"") && status.contains("\"read_only\":true"), "{status}");
    for path in ["/debug/diag/api/v1/purge", "/debug/diag/api/v1/leaks?watch=1&sample_bytes=65536"] {
        let answer = ask("POST", path, "Bearer s3cret");
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(answer.text().contains("read-only"), "{}", answer.text());
        assert_eq!(ask("POST", path, "Bearer wrong").status, 401, "who has no token is told nothing else");
    }
    // What is kept takes nothing but this server's own memory.
    for (kind, number) in [("heap", 1), ("cpu&seconds=1", 2)] {
        let kept = ask("POST", &format!("/debug/diag/api/v1/kept?kind={kind}"), "Bearer s3cret");
        assert_eq!(kept.status, 200, "{kind}: {}", kept.text());
        let entry: serde_json::Value = serde_json::from_slice(&kept.body).unwrap();
        assert_eq!(entry["id"], number, "{entry}");
        let view = ask("GET", &format!("/debug/diag/api/v1/view?of=kept:{number}"), "Bearer s3cret");
        assert_eq!(view.status, 200, "{}", view.text());
    }
}

/// Inside a host the token is demanded as well, and host names are the host's affair.
fn embedded(diag: &Diag) {
    assert_eq!(status(diag, None), StatusCode::UNAUTHORIZED);
    assert_eq!(status(diag, Some("Bearer wrong")), StatusCode::UNAUTHORIZED);
    assert_eq!(status(diag, Some("Bearer s3cret")), StatusCode::OK);
}

fn status(diag: &Diag, authorization: Option<&str>) -> StatusCode {
    let mut request =
        Request::builder().uri("/debug/diag/api/v1/status").header(header::HOST, "shop.example");
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    let router: axum::Router = diag_server::router(diag);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(router.oneshot(request.body(Body::empty()).unwrap())).unwrap().status()
}
