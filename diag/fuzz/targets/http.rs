//! Any request to the server: methods, paths, parameters, headers and bodies, most of them nearly right. By a direct call without a
//! network, on a clock that jumps ahead when all wait, so that `seconds=3600` costs nothing.
//!
//! Each is answered, without a panic (also one that the server catches), and never with an internal error; an error is one clear line;
//! who may not ask is refused; and only what takes POST changes anything.
#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use diag::endpoints as at;
use diag::profile::{folded, pprof};
use diag::{Diag, rules};
use diag_fuzz::bytes::Bytes;
use diag_fuzz::one_clear_line;
use diag_fuzz::scratch::Scratch;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const TOKEN: &str = "a-token-that-no-other-text-has";

const PATHS: [&str; 38] = [
    at::PPROF_INDEX,
    at::PPROF_HEAP,
    at::PPROF_ALLOCS,
    at::PPROF_PROFILE,
    at::PPROF_TASKS,
    at::PPROF_GOROUTINE,
    at::PPROF_TASKLEAK,
    at::PPROF_MUTEX,
    at::PPROF_BLOCK,
    at::PPROF_TRACE,
    at::PPROF_CMDLINE,
    at::PPROF_SYMBOL,
    at::UI,
    at::API_STATUS,
    at::API_MEMORY,
    at::API_LEAKS,
    at::API_TASKS,
    at::API_HISTORY,
    at::API_COURSES,
    at::API_VIEW,
    at::API_KEPT,
    at::API_CAPTURES,
    at::API_FLAMEGRAPH,
    at::API_TRIAGE,
    at::API_PURGE,
    at::API_HEALTH,
    "/metrics",
    "/debug/diag/metrics",
    "/debug/pprof/threadcreate",
    "/debug/pprof",
    "/debug/diag",
    "/debug/diag/ui/app.js",
    "/debug/diag/api/v1/captures/heap-20261121T130522.123Z-1.pb.gz",
    "/debug/diag/api/v1/captures/cut.pb.gz",
    "/debug/diag/api/v1/view?of=file:heap-20261121T130522.123Z-1.pb.gz",
    "/debug/diag/api/v1/view?of=file:cut.pb.gz",
    "/debug/diag/api/v1/captures/",
    "/",
];

const NAMES: [&str; 31] = [
    "seconds",
    "ages",
    "symbolize",
    "debug",
    "gc",
    "min_age",
    "state",
    "format",
    "maturity",
    "watch",
    "sample_bytes",
    "kind",
    "type",
    "base",
    "hz",
    "mode",
    "past",
    "since",
    "of",
    "order",
    "runtime",
    "frames",
    "deep",
    "verdict",
    "focus",
    "group",
    "label",
    "site",
    "",
    "%00",
    "name",
];

const VALUES: [&str; 62] = [
    "",
    "0",
    "1",
    "2",
    "5",
    "60",
    "3600",
    "3601",
    "-1",
    "1.5",
    "0.001",
    "NaN",
    "inf",
    "1e-300",
    "18446744073709551615",
    "99999999999999999999",
    "true",
    "false",
    "json",
    "text",
    "svg",
    "html",
    "pprof",
    "chrome",
    "folded",
    "heap",
    "cpu",
    "tasks",
    "wall",
    "inuse_space",
    "alloc_objects",
    "samples",
    "live",
    "kept:1",
    "kept:2",
    "kept:18446744073709551615",
    "file:heap-20261121T130522.123Z-1.pb.gz",
    "file:cut.pb.gz",
    "file:..%2f..%2fetc%2fpasswd",
    "root",
    "leaf",
    "fold",
    "show",
    "hide",
    "age",
    "bytes",
    "idle",
    "running",
    "age=.",
    "bytes=1:4096",
    "bytes=:",
    "=",
    "(",
    "(((a{1000}){1000}){1000})",
    "%ff%fe",
    "%0d%0aX-Evil:%201",
    "%1b%5b31m",
    "%",
    "+",
    "all",
    "999",
    "1000",
];

const HEADERS: [(&str, &str); 16] = [
    ("host", "localhost:6060"),
    ("host", "evil.example"),
    ("host", "[::1]:6060"),
    ("host", "user:secret@127.0.0.1"),
    ("host", ""),
    ("origin", "http://localhost:6060"),
    ("origin", "null"),
    ("origin", "https://evil.example"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("authorization", "Bearer a-token-that-no-other-text-has"),
    ("authorization", "Basic eDphLXRva2VuLXRoYXQtbm8tb3RoZXItdGV4dC1oYXM="),
    ("authorization", "Basic ===="),
    ("authorization", "Bearer "),
    ("x-forwarded-host", "localhost"),
];

struct World {
    runtime: Runtime,
    /// In a host, for this machine, with a token, read-only.
    routers: [Router; 4],
    diag: Diag,
    _captures: Scratch,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let captures = Scratch::new("http");
    let dir = captures.empty().to_owned();
    let profile = folded::parse(b"main;shop::parse 40\nmain;shop::render;alloc::vec::Vec<T>::push 2\n")
        .expect("folded stacks");
    let encoded = pprof::encode_gz(&profile);
    captures.put("heap-20261121T130522.123Z-1.pb.gz", &encoded);
    captures.put("cut.pb.gz", &encoded[..encoded.len() / 2]);
    captures.put("event-20261121T130522.123Z-1-near_limit.json", b"{\"schema\":\"diag.event/1\",\"rule\":7}");
    tracing_subscriber::registry()
        .with(diag::recorder::Recorder::builder().build().expect("the first recorder"))
        .init();
    let diag = Diag::builder()
        .service_name("fuzz & <co>")
        .capture_dir(dir)
        .capture_every(std::time::Duration::from_secs(1 << 30))
        .rules([rules::Rule::near_limit().does([])])
        .start()
        .expect("the first start");
    let of_host = diag_server::router(&diag);
    let read_only = diag_server::router_with(&diag, &diag_server::Options::new().read_only());
    let routers = [
        of_host,
        diag_server::fuzzing::listener(&diag, None),
        diag_server::fuzzing::listener(&diag, Some(TOKEN)),
        read_only,
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    World { runtime, routers, diag, _captures: captures }
});

fuzz_target!(|input: &[u8]| {
    let world = &*WORLD;
    let bytes = &mut Bytes(input);
    let which = bytes.below(world.routers.len());
    let Some(request) = request(bytes) else { return };
    let shown = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let shows_token =
        request.headers().get_all(header::AUTHORIZATION).iter().any(|v| v.as_bytes().len() > 20);
    let before = state(world);
    let (status, kind, body) = world.runtime.block_on(answer(&world.routers[which], request));
    let may_change = method == Method::POST && which != 3;
    // Profiles are kept by POST, also read-only; nothing else may be.
    assert!(before.1 == state(world).1, "it goes on sampling at another rate: {shown}");
    assert!(
        may_change || path == at::API_KEPT && method == Method::POST || before == state(world),
        "changed by {shown}"
    );
    assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{shown}: {}", String::from_utf8_lossy(&body));
    let known = status != StatusCode::NOT_FOUND && status != StatusCode::FORBIDDEN;
    assert!(
        which != 2 || shows_token || !known || status == StatusCode::UNAUTHORIZED,
        "{status} without a token: {shown}"
    );
    if status.as_u16() < 400 || method == Method::HEAD || kind == "application/json" && path == at::API_HEALTH
    {
        return;
    }
    // What axum itself says to a path that is not ours has no text.
    if status == StatusCode::NOT_FOUND && body.is_empty() && matches!(which, 0 | 3) {
        return;
    }
    let text = String::from_utf8(body).expect("an error in UTF-8");
    let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("{shown}: {status}: {text:?}"));
    one_clear_line(line);
    assert!(line.len() > 20 && line.len() < 1000, "{shown}: {line:?}");
    assert!(kind.starts_with("text/plain"), "{shown}: {kind}");
});

fn request(bytes: &mut Bytes<'_>) -> Option<Request<Body>> {
    let method = match bytes.below(8) {
        0..=4 => Method::GET,
        5 | 6 => Method::POST,
        _ => bytes.of(&[Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]),
    };
    let mut target =
        if bytes.below(16) == 15 { format!("/{}", bytes.text(60)) } else { bytes.of(&PATHS).to_owned() };
    for _ in 0..bytes.below(5) {
        let name = bytes.of(&NAMES).to_owned();
        let value = if bytes.below(8) == 7 { bytes.text(40) } else { bytes.of(&VALUES).to_owned() };
        target += if target.contains('?') { "&" } else { "?" };
        target += &format!("{name}={value}");
    }
    let mut request = Request::builder().method(method).uri(target);
    for _ in 0..bytes.below(4) {
        let (name, value) = bytes.of(&HEADERS);
        let value = if bytes.below(8) == 7 { bytes.text(40) } else { value.to_owned() };
        request = request.header(name, value);
    }
    request.body(Body::from(bytes.0.to_vec())).ok()
}

async fn answer(router: &Router, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
    let Ok(response) = router.clone().oneshot(request).await;
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map_or(String::new(), |v| format!("{}", v.to_str().unwrap_or("?")));
    let status = response.status();
    let body = to_bytes(response.into_body(), 96 << 20).await.expect("a whole body");
    (status, kind, body.to_vec())
}

/// What a request may change: the profiles kept by each router, and the rate of sampling.
fn state(world: &World) -> (Vec<Vec<u8>>, u64) {
    let kept = world.routers.iter().map(|router| {
        let request = Request::get(at::API_KEPT)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {TOKEN}"));
        world.runtime.block_on(answer(router, request.body(Body::empty()).expect("a request"))).2
    });
    let period = world.diag.heap().map_or(0, |heap| heap.stats().sample_period_bytes);
    (kept.collect(), period)
}
