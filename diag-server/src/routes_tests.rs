//! Every route by a direct call, without a network.

use axum::body::{Body, to_bytes};
use axum::http::header;
use tower::ServiceExt as _;

use super::*;
use crate::content;
use crate::testing::diag;
use crate::token::Token;

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// All routes and three that panic: at once, after a pause, and on a blocking thread.
pub(crate) fn with_panics(diag: &Diag, access: Access) -> Router {
    async fn later() -> StatusCode {
        tokio::task::yield_now().await;
        panic!("on purpose {}", 2)
    }
    async fn blocking(shared: axum::extract::State<Arc<Shared>>) -> Result<StatusCode, Failure> {
        shared.0.heavy(|_| panic!("on purpose 3")).await
    }
    let at_once = || async { if true { panic!("on purpose 1") } else { StatusCode::OK } };
    let panics = Router::new()
        .route("/panics", get(at_once))
        .route("/panics/later", get(later))
        .route("/panics/blocking", get(blocking));
    build_with(diag, access, &Options::default(), panics)
}

pub(crate) fn shared_with(limits: Limits) -> Shared {
    Shared { diag: diag().clone(), limits, kept: Kept::default(), read_only: false }
}

async fn call(access: Access, request: Request) -> Answer {
    let router: Router = with_fallback(build(diag(), access, &Options::default()));
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    Answer { status, headers, body: String::from_utf8_lossy(&bytes).into_owned() }
}

fn request(method: &str, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:6060")
        .body(Body::empty())
        .unwrap()
}

async fn get_ok(path: &str) -> Answer {
    let answer = call(Access::Loopback, request("GET", path)).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    answer
}

/// An error as `go tool pprof` shows it: text, marked, with something to do next.
async fn refused(request: Request, status: StatusCode) -> String {
    let path = request.uri().to_string();
    let answer = call(Access::Loopback, request).await;
    assert_eq!(answer.status, status, "{path}: {}", answer.body);
    assert_eq!(answer.header("content-type"), content::TEXT, "{path}");
    assert_eq!(answer.header("x-go-pprof"), "1", "{path}");
    assert!(answer.body.len() > 20 && answer.body.ends_with('\n'), "{path}: {:?}", answer.body);
    answer.body
}

#[tokio::test]
async fn pages_link_only_to_what_is_there() {
    for page in [endpoints::PPROF_INDEX, endpoints::UI] {
        let answer = get_ok(page).await;
        assert_eq!(answer.header("content-type"), content::HTML);
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        let links: Vec<&str> =
            answer.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() >= 6, "{links:?}");
        // Behind a path prefix that the browser knows and the process does not; opened with the final slash or without it.
        for start in [page, page.trim_end_matches('/')] {
            let mut at = format!("/some/where{start}");
            let answer = call(Access::Loopback, request("GET", start)).await;
            if answer.status == StatusCode::PERMANENT_REDIRECT {
                at = resolved(&at, answer.header("location"));
            }
            assert_eq!(at, format!("/some/where{page}"), "from {start}");
            for link in links.iter().filter(|link| !link.starts_with('#')) {
                let target = resolved(&at, link.split('?').next().unwrap());
                let path =
                    target.strip_prefix("/some/where").unwrap_or_else(|| panic!("{link} leaves the prefix"));
                let answer = call(Access::Loopback, request("DELETE", path)).await;
                assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{link} is no route");
            }
        }
    }
}

/// Where a link of a page leads (RFC 3986, section 5.2, for paths).
fn resolved(page: &str, link: &str) -> String {
    if link.starts_with('/') {
        return link.to_owned();
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split_inclusive('/') {
        match part {
            "./" => {}
            "../" => drop(parts.pop()),
            _ => parts.push(part.trim_end_matches('/')),
        }
    }
    let slash = if link.ends_with('/') { "/" } else { "" };
    parts.join("/") + slash
}

#[tokio::test]
async fn the_ui_is_made_of_its_own_files_only() {
    let page = get_ok(endpoints::UI).await;
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
    let mut wanted: Vec<String> = page.body.split("\"ui/").skip(1).map(upto_quote).collect();
    let mut seen = Vec::new();
    while let Some(name) = wanted.pop() {
        if seen.contains(&name) {
            continue;
        }
        let file = get_ok(&format!("{}ui/{name}", endpoints::UI)).await;
        assert!(file.header("content-security-policy").contains("default-src 'none'"), "{name}");
        assert!(
            !file.body.contains("http://") || name == "icon.svg" || name == "dom.js",
            "{name} names another place"
        );
        assert!(!file.body.contains("innerHTML") && !file.body.contains("eval("), "{name}");
        assert!(file.body.lines().count() <= 300, "{name} is long");
        wanted.extend(file.body.split("from \"./").skip(1).map(upto_quote));
        seen.push(name);
    }
    assert!(seen.len() > 15, "{seen:?}");
    assert!(!page.body.contains("<script>") && !page.body.contains("style="), "nothing inline");
    refused(request("GET", "/debug/diag/ui/../../pprof/heap"), StatusCode::NOT_FOUND).await;
    refused(request("GET", "/debug/diag/ui/nothing.js"), StatusCode::NOT_FOUND).await;
}

fn upto_quote(rest: &str) -> String {
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_data_of_the_ui() {
    let json = |answer: &Answer| serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
    let history = json(&get_ok(endpoints::API_HISTORY).await);
    assert_eq!((&history["schema"], &history["every_s"]), (&"diag.history/1".into(), &5.0.into()));
    let times = history["taken_unix_ms"].as_array().unwrap();
    assert!(history["columns"]["rss_bytes"].as_array().unwrap().len() == times.len());
    let later = json(&get_ok(&format!("{}?since=9999999999999", endpoints::API_HISTORY)).await);
    assert_eq!(later["taken_unix_ms"].as_array().unwrap().len(), 0);
    assert_eq!(json(&get_ok(endpoints::API_CAPTURES).await)["dir"], serde_json::Value::Null);
    assert_eq!(json(&get_ok(endpoints::API_KEPT).await)["schema"], "diag.kept/1");
    let text =
        refused(request("GET", "/debug/diag/api/v1/captures/..%2f..%2fetc%2fpasswd"), StatusCode::NOT_FOUND)
            .await;
    assert!(text.contains("DIAG_CAPTURE_DIR"), "{text}");
    for bad in
        ["of=everything", "of=kept:x", "base=10", "order=up", "runtime=x", "format=png", "focus=(", "label=x"]
    {
        refused(request("GET", &format!("{}?{bad}", endpoints::API_VIEW)), StatusCode::BAD_REQUEST).await;
    }
    refused(request("GET", &format!("{}?of=kept:99", endpoints::API_VIEW)), StatusCode::NOT_FOUND).await;
    // This test program has another allocator.
    refused(request("GET", endpoints::API_VIEW), StatusCode::SERVICE_UNAVAILABLE).await;
    refused(request("POST", &format!("{}?kind=heap", endpoints::API_KEPT)), StatusCode::SERVICE_UNAVAILABLE)
        .await;
    refused(request("POST", &format!("{}?kind=tasks", endpoints::API_KEPT)), StatusCode::BAD_REQUEST).await;
    refused(request("GET", endpoints::API_COURSES), StatusCode::BAD_REQUEST).await;
}

/// A pattern is quoted in the error; once it was with its line feeds and escapes.
#[tokio::test]
async fn an_error_is_one_line_whatever_it_quotes() {
    let long = "(".repeat(5_000);
    for pattern in ["(%0aX-Evil:%201%1b%5b2J", "(%0d%0a", "(%00", &long] {
        for parameter in ["focus=", "label=age="] {
            let path = format!("{}?{parameter}{pattern}", endpoints::API_VIEW);
            let text = refused(request("GET", &path), StatusCode::BAD_REQUEST).await;
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(char::is_control) && line.chars().count() < 700, "{line:?}");
        }
    }
}

#[tokio::test]
async fn cmdline_is_separated_by_nul() {
    let answer = get_ok(endpoints::PPROF_CMDLINE).await;
    let arguments: Vec<String> = std::env::args().collect();
    assert_eq!(answer.body, arguments.join("\0"));
    assert_eq!(answer.header("content-type"), content::TEXT);
}

#[tokio::test]
async fn status_and_memory() {
    let answer = get_ok(endpoints::API_STATUS).await;
    assert_eq!(answer.header("content-type"), content::JSON);
    let status: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(status["schema"], "diag.status/1");
    assert_eq!(status["pid"], std::process::id());

    let answer = get_ok(endpoints::API_MEMORY).await;
    let memory: diag::memory::Waterline = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(memory.schema, diag::memory::SCHEMA);
    let text = get_ok(&format!("{}?format=text", endpoints::API_MEMORY)).await;
    assert!(text.body.starts_with("memory at ") && text.body.contains(" UTC"), "{}", text.body);
    assert_eq!(text.header("content-type"), content::TEXT);
    let refusal =
        refused(request("GET", &format!("{}?format=xml", endpoints::API_MEMORY)), StatusCode::BAD_REQUEST)
            .await;
    assert!(refusal.contains("json or text"), "{refusal}");
}

#[tokio::test]
async fn health_says_ok_or_what_is_broken() {
    assert_eq!(get_ok(endpoints::API_HEALTH).await.body, "ok\n");
    // This test program has another allocator, so that one part is broken.
    let deep = request("GET", &format!("{}?deep=true", endpoints::API_HEALTH));
    let answer = call(Access::Loopback, deep).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let health: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&health["schema"], &health["state"]), (&"diag.health/1".into(), &"broken".into()));
    assert_eq!(health["listener"], "host");
    let parts = health["parts"].as_array().unwrap();
    let heap = parts.iter().find(|p| p["part"] == "heap").unwrap();
    assert!(heap["why"].as_str().unwrap().contains("diag::Allocator"), "{heap}");
    refused(request("GET", &format!("{}?deep=very", endpoints::API_HEALTH)), StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn leaks_need_the_collector_and_sane_parameters() {
    for bad in ["watch=0", "watch=never", "maturity=-1", "format=xml"] {
        let path = format!("{}?{bad}", endpoints::API_LEAKS);
        refused(request("GET", &path), StatusCode::BAD_REQUEST).await;
    }
    let path = format!("{}?sample_bytes=65536", endpoints::API_LEAKS);
    refused(request("POST", &path), StatusCode::BAD_REQUEST).await;
    // This test program has another allocator.
    let text = refused(request("GET", endpoints::API_LEAKS), StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(text.contains("diag::Allocator"), "{text}");
}

#[tokio::test]
async fn triage_and_purge_refuse_what_is_not_meant() {
    let purge = |headers: &[(&str, &str)]| {
        let mut request = request("POST", endpoints::API_PURGE);
        for (name, value) in headers {
            let name = header::HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    for other_site in [
        &[("origin", "https://evil.example")] as &[_],
        &[("origin", "null")],
        &[("origin", "http://localhost:6061")],
        // A form that another page submits is a navigation.
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")],
    ] {
        let text = refused(purge(other_site), StatusCode::FORBIDDEN).await;
        assert!(text.contains("may not change"), "{text}");
    }
    for own in [
        &[("origin", "http://localhost:6060"), ("sec-fetch-site", "same-origin")] as &[_],
        // Behind a proxy that calls this listener by its own name.
        &[("origin", "https://ops.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", "http://localhost:6060")],
        &[],
    ] {
        let answer = call(Access::Loopback, purge(own)).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    }
    let text = refused(request("GET", endpoints::API_PURGE), StatusCode::METHOD_NOT_ALLOWED).await;
    assert!(text.contains("use POST"), "{text}");
    for wrong in ["seconds=0", "seconds=3601", "seconds=x", "format=xml"] {
        refused(request("GET", &format!("{}?{wrong}", endpoints::API_TRIAGE)), StatusCode::BAD_REQUEST).await;
    }
}

#[tokio::test]
async fn what_changes_something_takes_post_and_no_read_only_mode() {
    let sampling = format!("{}?watch=1&sample_bytes=65536", endpoints::API_LEAKS);
    let text = refused(request("GET", &sampling), StatusCode::METHOD_NOT_ALLOWED).await;
    assert!(text.contains("POST"), "{text}");
    let read_only = |request: Request| async {
        let router: Router = build(diag(), Access::Loopback, &Options::new().read_only());
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let text = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&text).into_owned())
    };
    for path in [endpoints::API_PURGE, sampling.as_str(), endpoints::API_STATUS] {
        let (status, text) = read_only(request("POST", path)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {text}");
        assert!(text.contains("read-only") && text.contains("DIAG_READ_ONLY"), "{text}");
    }
    for (method, path) in [
        ("GET", endpoints::API_STATUS),
        ("GET", endpoints::UI),
        ("GET", "/metrics"),
        ("POST", endpoints::PPROF_SYMBOL),
    ] {
        let (status, text) = read_only(request(method, path)).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {text}");
    }
    // Kept in the server's own memory. This test program has another allocator; who refuses it is not the guard.
    let (status, text) = read_only(request("POST", &format!("{}?kind=heap", endpoints::API_KEPT))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    let (status, text) = read_only(request("POST", &format!("{}?kind=cpu&hz=0", endpoints::API_KEPT))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    for (options, says) in [(Options::new().read_only(), true), (Options::new(), false)] {
        let router: Router = build(diag(), Access::Loopback, &options);
        let answer = router.oneshot(request("GET", endpoints::API_STATUS)).await.unwrap();
        let status: serde_json::Value =
            serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap();
        assert_eq!(
            (&status["schema"], &status["server"]["read_only"]),
            (&"diag.status/1".into(), &says.into())
        );
    }
}

#[tokio::test]
async fn metrics_are_well_formed() {
    let answer = get_ok("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let mut typed = std::collections::HashMap::new();
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(typed.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            let row = format!("| `{name}` | {kind} |");
            assert!(include_str!("../docs/metrics.md").contains(&row), "no {row}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            assert!(typed.contains_key(name), "{line} has no type before it");
            assert!(value == "+Inf" || value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "diag_heap_up",
        "diag_cpu_recording",
        "diag_cpu_profiles_total",
        "diag_server_refused_total",
    ] {
        assert!(typed.contains_key(name), "{name} is missing in\n{}", answer.body);
    }
    assert!(get_ok("/debug/diag/metrics").await.body.contains("process_resident_memory_bytes "));
}

#[tokio::test]
async fn rules_that_fire_are_counted() {
    diag();
    assert!(diag::trigger("by_a_test") && diag::trigger("by_a_test"));
    // The thread of the rules comes round within a second.
    let wanted = |text: &str| {
        text.contains("\ndiag_rule_fired_total{rule=\"told\"} 1\n")
            && text.contains("\ndiag_rule_refused_total{rule=\"told\",reason=\"debounce\"} 1\n")
            && text.contains("\ndiag_rule_last_problems{rule=\"told\"} 0\n")
    };
    let started = std::time::Instant::now();
    let mut text = String::new();
    while !wanted(&text) {
        assert!(started.elapsed().as_secs() < 60, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        text = get_ok("/metrics").await.body;
    }
    for family in [
        "fired_total counter",
        "refused_total counter",
        "waiting gauge",
        "last_fired_timestamp_seconds gauge",
    ] {
        assert!(text.contains(&format!("# TYPE diag_rule_{family}\n")), "{family} in\n{text}");
    }
    assert!(text.contains("\ndiag_rule_fired_total{rule=\"near_limit\"} "), "{text}");
    assert!(text.contains("\ndiag_rules_looks_total "), "{text}");
}

#[tokio::test]
async fn what_is_not_built_says_what_to_do() {
    for absent in pprof::ABSENT {
        refused(request("GET", absent.path), StatusCode::NOT_IMPLEMENTED).await;
    }
}

#[tokio::test]
async fn nonsense_is_refused_before_any_work() {
    for path in [
        "/debug/pprof/heap?seconds=0",
        "/debug/pprof/heap?seconds=-1",
        "/debug/pprof/heap?seconds=3601",
        "/debug/pprof/heap?seconds=soon",
        "/debug/pprof/heap?seconds=",
        "/debug/pprof/allocs?seconds=99999999999999999999",
        "/debug/pprof/heap?seconds=1&debug=1",
        "/debug/pprof/heap?seconds=1&ages=1",
        "/debug/pprof/heap?ages=maybe",
        "/debug/pprof/heap?symbolize=perhaps",
        "/debug/pprof/heap?debug=x",
        "/debug/pprof/heap?gc=x",
        "/debug/pprof/profile?hz=0",
        "/debug/pprof/profile?hz=1000000",
        "/debug/pprof/profile?mode=idle",
        "/debug/pprof/profile?seconds=3601",
        "/debug/diag/api/v1/flamegraph?kind=gpu",
        "/debug/diag/api/v1/flamegraph?kind=cpu&seconds=3601",
        "/debug/diag/api/v1/flamegraph?format=png",
        "/debug/diag/api/v1/flamegraph?base=1&ages=1",
        "/debug/diag/api/v1/flamegraph?base=x",
    ] {
        refused(request("GET", path), StatusCode::BAD_REQUEST).await;
    }
    for kind in ["tasks", "mutex", "block"] {
        let path = format!("/debug/diag/api/v1/flamegraph?kind={kind}&ages=1");
        refused(request("GET", &path), StatusCode::BAD_REQUEST).await;
    }
    refused(request("PUT", "/debug/pprof/heap"), StatusCode::METHOD_NOT_ALLOWED).await;
    refused(request("GET", "/debug/pprof/nothing"), StatusCode::NOT_FOUND).await;
    let hostile =
        refused(request("GET", "/debug/pprof/heap?seconds=%1b%5b31m%0a"), StatusCode::BAD_REQUEST).await;
    assert!(!hostile.contains('\u{1b}'), "{hostile:?}");
}

#[tokio::test]
async fn symbolz_protocol() {
    let count = get_ok(endpoints::PPROF_SYMBOL).await;
    assert_eq!(count.body, "num_symbols: 1\n");
    let post = |body: String| {
        let mut request = request("POST", endpoints::PPROF_SYMBOL);
        *request.body_mut() = Body::from(body);
        request
    };
    let answer = call(Access::Loopback, post("0x1+0x2".to_owned())).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""), "nothing is at address 1");
    refused(post("main".to_owned()), StatusCode::BAD_REQUEST).await;
    refused(post("0x1+".repeat(1 << 20)), StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn rebinding_and_foreign_pages_are_refused() {
    let with = |name: &'static str, value: &'static str| {
        let mut request = request("GET", endpoints::API_STATUS);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let text = refused(with("host", "evil.example:6060"), StatusCode::FORBIDDEN).await;
    assert!(text.contains("evil.example:6060") && text.contains("DIAG_TOKEN_FILE"), "{text}");
    refused(with("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN).await;
    let mut link = with("sec-fetch-site", "cross-site");
    link.headers_mut().insert("sec-fetch-mode", "navigate".parse().unwrap());
    assert_eq!(call(Access::Loopback, link).await.status, StatusCode::OK, "following a link is fine");
    let absolute = Request::builder().uri("http://evil.example/metrics").body(Body::empty()).unwrap();
    assert_eq!(call(Access::Loopback, absolute).await.status, StatusCode::FORBIDDEN);
    let password =
        Request::builder().uri("http://any:s3cret@evil.example/metrics").body(Body::empty()).unwrap();
    let text = refused(password, StatusCode::FORBIDDEN).await;
    assert!(text.contains("evil.example") && !text.contains("s3cret"), "{text}");
    let answer = call(Access::Host, with("host", "shop.example")).await;
    assert_eq!(answer.status, StatusCode::OK, "inside a host the name is the host's affair");
}

#[tokio::test]
async fn every_route_wants_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "secret").unwrap();
    let token = || Access::Token(Token::read(&file).unwrap());
    let mut paths = vec![
        endpoints::PPROF_INDEX,
        "/debug/pprof",
        endpoints::PPROF_HEAP,
        endpoints::PPROF_ALLOCS,
        endpoints::PPROF_PROFILE,
        endpoints::PPROF_CMDLINE,
        endpoints::PPROF_SYMBOL,
        endpoints::API_STATUS,
        endpoints::API_MEMORY,
        endpoints::API_FLAMEGRAPH,
        endpoints::API_HISTORY,
        endpoints::API_COURSES,
        endpoints::API_VIEW,
        endpoints::API_KEPT,
        endpoints::API_CAPTURES,
        "/debug/diag/api/v1/captures/heap-1.pb.gz",
        "/debug/diag/ui/app.js",
        endpoints::API_LEAKS,
        endpoints::API_TRIAGE,
        endpoints::API_PURGE,
        endpoints::UI,
        "/metrics",
        "/debug/diag/metrics",
    ];
    paths.extend(pprof::ABSENT.iter().map(|a| a.path));
    for path in paths {
        for method in ["GET", "POST", "HEAD"] {
            let answer = call(token(), request(method, path)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{path}");
        }
        let closed = call(Access::Closed("no file".into()), request("GET", path)).await;
        assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let mut right = request("GET", endpoints::API_STATUS);
    right.headers_mut().insert(header::AUTHORIZATION, "Bearer secret".parse().unwrap());
    assert_eq!(call(token(), right).await.status, StatusCode::OK);
    let mut wrong = request("GET", endpoints::API_STATUS);
    wrong.headers_mut().insert(header::AUTHORIZATION, "Bearer Secret".parse().unwrap());
    assert_eq!(call(token(), wrong).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn it_merges_into_a_service_of_its_own() {
    #[derive(Clone)]
    struct Orders(u32);
    let own: Router<Orders> = Router::new()
        .route("/orders", get(|state: axum::extract::State<Orders>| async move { state.0.0.to_string() }))
        .route("/metrics", get(|| async { "the host's own" }))
        .fallback(|| async { (StatusCode::IM_A_TEAPOT, "the host's 404") });
    let app = own.merge(crate::router_with(diag(), &Options::new().without_metrics())).with_state(Orders(7));
    for (path, status, body) in [
        ("/orders", StatusCode::OK, "7"),
        ("/metrics", StatusCode::OK, "the host's own"),
        ("/debug/nothing", StatusCode::IM_A_TEAPOT, "the host's 404"),
    ] {
        let response = app.clone().oneshot(request("GET", path)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(to_bytes(response.into_body(), 1000).await.unwrap(), body, "{path}");
    }
    for path in [endpoints::PPROF_INDEX, endpoints::PPROF_CMDLINE, "/debug/diag/metrics"] {
        let response = app.clone().oneshot(request("GET", path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_full_queue_is_refused_with_a_time_to_come_back() {
    let shared = Arc::new(shared_with(Limits::new()));
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    // One works, eight wait: each is polled once, which takes its place.
    let mut nine: Vec<_> = (0..9)
        .map(|_| {
            let (shared, wait) = (Arc::clone(&shared), Arc::clone(&wait));
            Box::pin(async move {
                let work = move |_: &Diag| wait.lock().unwrap().recv().map_err(|_| Failure::internal("gone"));
                shared.heavy(work).await
            })
        })
        .collect();
    for one in &mut nine {
        let pending = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::future::Future::poll(one.as_mut(), cx).is_pending())
        });
        assert!(pending.await);
    }
    let refusal = shared.heavy(|_| Ok(())).await.expect_err("the tenth");
    let refusal = axum::response::IntoResponse::into_response(refusal);
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.headers()["retry-after"], "5");
    assert_eq!(shared.limits.refused(), 1, "and counted");
    for _ in 0..9 {
        release.send(()).unwrap();
    }
    for one in nine {
        assert!(one.await.is_ok());
    }
    assert!(shared.heavy(|_| Ok(())).await.is_ok(), "all places are free again");
    let broken: Result<(), Failure> = shared.heavy(|_| panic!("on purpose")).await;
    assert!(broken.is_err() && shared.heavy(|_| Ok(())).await.is_ok(), "a panic costs one request");
}

#[tokio::test]
async fn waiting_and_working_have_their_time() {
    let mut limits = Limits::new();
    limits.queue_patience = std::time::Duration::from_millis(20);
    limits.work_patience = std::time::Duration::from_millis(20);
    let shared = Arc::new(shared_with(limits));
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let stuck = shared.heavy(move |_| wait.recv().map_err(|_| Failure::internal("gone"))).await;
    let told = |failure: Failure| axum::response::IntoResponse::into_response(failure);
    let told_late = told(stuck.expect_err("it never ends"));
    assert_eq!(
        (told_late.status(), &told_late.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"30".parse().unwrap())
    );
    // The work goes on, one at a time: who comes now waits for it, and is told.
    let queued = told(shared.heavy(|_| Ok(())).await.expect_err("the turn is taken"));
    assert_eq!(
        (queued.status(), &queued.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"10".parse().unwrap())
    );
    release.send(()).unwrap();
    while shared.heavy(|_| Ok(())).await.is_err() {}
}

#[tokio::test]
async fn large_answers_under_way_share_a_budget() {
    let shared = Arc::new(shared_with(Limits::new()));
    let large = |mib: usize| get(move || async move { vec![0u8; mib << 20] });
    let routes = Router::new().route("/40", large(40)).route("/97", large(97)).route("/0", large(0));
    let gate = Gate { access: Access::Host, read_only: false };
    let router: Router = protect(routes, gate, Arc::clone(&shared));
    let get = |path: &'static str| router.clone().oneshot(request("GET", path));
    let (first, second) = (get("/40").await.unwrap(), get("/40").await.unwrap());
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let third = get("/40").await.unwrap();
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(third.headers().contains_key("retry-after"));
    assert_eq!(get("/0").await.unwrap().status(), StatusCode::OK, "small ones always pass");
    drop(first);
    let bytes = to_bytes(get("/40").await.unwrap().into_body(), 64 << 20).await.unwrap();
    assert_eq!(bytes.len(), 40 << 20);
    // What was taken out of a body counts until it is dropped.
    assert_eq!(get("/40").await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    drop((second, bytes));
    assert_eq!(get("/40").await.unwrap().status(), StatusCode::OK);
    assert_eq!(get("/97").await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE, "too large alone");
}
