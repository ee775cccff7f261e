//! Who may ask, with the real clients; and a service that is switched off. One test, since there can be one `Diag` at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use common::{get, has_client, retain, run};
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
