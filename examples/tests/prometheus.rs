//! A real Prometheus scrapes a running program, and answers every query of the dashboard and of the alert rules.

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

/// Far more than is needed; only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the kernel, the container or the state of the program may not have.
const NOT_EVERYWHERE: &[&str] = &[
    "diag_cgroup_limit_bytes",
    "diag_cgroup_limit_hits_total",
    "diag_cgroup_oom_kills_total",
    "diag_cgroup_working_set_bytes",
    "diag_heap_losses_total",
    "diag_leak_site_bytes_per_hour",
    "diag_memory_pressure_full_seconds_total",
    "diag_memory_pressure_some_seconds_total",
    "diag_rule_last_fired_timestamp_seconds",
    "diag_rule_last_problems",
    "diag_rule_level_ratio",
    "process_max_fds",
];

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Without it a test is skipped aloud, or fails where clients are required.
fn has_client(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success()) {
        return true;
    }
    let required = std::env::var_os("DIAG_REQUIRE_CLIENTS").is_some_and(|v| v == "1");
    assert!(!required, "{program} is not installed, and DIAG_REQUIRE_CLIENTS=1");
    println!("SKIPPED: {program} is not installed");
    false
}

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../diag-server/dashboards")
}

fn promtool(arguments: &[&str], input: &[u8]) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(dashboards())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child.stdin.take().expect("its input").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {text}");
}

/// The status line with headers, and the body. HTTP 1.0, so that nothing comes in chunks.
fn ask(addr: &str, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let body = answer.split_off(head);
    (String::from_utf8_lossy(&answer).into_owned(), body)
}

fn get(addr: &str, path: &str) -> Vec<u8> {
    let (head, body) = ask(addr, path);
    assert!(head.contains(" 200 "), "{path}: {head}{}", String::from_utf8_lossy(&body));
    body
}

/// `data` of an answer of Prometheus.
fn api(prometheus: &str, path: &str) -> Value {
    let mut answer: Value = serde_json::from_slice(&get(prometheus, path)).expect("JSON");
    assert_eq!(answer["status"], "success", "{path}: {answer}");
    answer["data"].take()
}

fn query(prometheus: &str, expr: &str) -> Vec<Value> {
    let mut path = "/api/v1/query?query=".to_owned();
    for byte in expr.bytes() {
        let _ = write!(path, "%{byte:02x}");
    }
    api(prometheus, &path)["result"].as_array().expect("a vector").clone()
}

fn start_example(captures: &Path) -> (Running, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_leaky_map"))
        .args(["--seconds", "600", "--rate", "200"])
        .env("DIAG_SAMPLE_BYTES", "65536")
        .env("DIAG_CAPTURE_DIR", captures)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let running = Running(child);
    let addr = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
    (running, addr.to_owned())
}

/// With everything it writes in `dir`, on a free port of loopback, which its log names.
fn start_prometheus(dir: &Path, target: &str) -> (Running, String) {
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [{}]\n\
         scrape_configs: [{{job_name: diag, static_configs: [{{targets: ['{target}']}}]}}]\n",
        dashboards().join("alerts.yml").display()
    );
    let file = dir.join("prometheus.yml");
    fs::write(&file, config).expect("written");
    let mut child = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Prometheus starts");
    let log = BufReader::new(child.stderr.take().expect("its log"));
    let running = Running(child);
    let mut seen = String::new();
    let mut lines = log.lines().map_while(Result::ok);
    let addr = lines.find_map(|line| {
        let _ = writeln!(seen, "{line}");
        let says = line.contains("Listening on");
        let addr = line.split("address=").nth(1)?.split_ascii_whitespace().next()?.trim_matches('"');
        (says && !addr.ends_with(":0")).then(|| addr.to_owned())
    });
    // It must be able to write on.
    thread::spawn(move || lines.for_each(drop));
    (running, addr.unwrap_or_else(|| panic!("Prometheus does not say where it listens:\n{seen}")))
}

/// The queries of all panels, as they are sent when everything is chosen.
fn dashboard_queries() -> Vec<String> {
    let text = fs::read_to_string(dashboards().join("grafana.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut ids = BTreeSet::new();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64()), "two panels have the id {}", panel["id"]);
        if panel["type"] == "row" {
            continue;
        }
        let title = panel["title"].as_str().expect("a title");
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        assert!(unit.is_string() && panel["description"].is_string(), "{title} says what and in which unit");
        for target in panel["targets"].as_array().expect("queries") {
            let expr = target["expr"].as_str().expect("a query");
            assert!(
                expr.contains("job=~\"$job\"") && expr.contains("instance=~\"$instance\""),
                "{title}: {expr}"
            );
            let expr =
                expr.replace("$job", ".*").replace("$instance", ".*").replace("$__rate_interval", "1m");
            assert!(!expr.contains('$'), "{title}: {expr}");
            queries.push(expr);
        }
    }
    queries
}

/// Names of metrics in a query.
fn metrics_in(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| ["diag_", "jemalloc_", "process_"].iter().any(|prefix| word.starts_with(prefix)))
}

fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(done) = ready() {
            return done;
        }
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn alert_rules_fire_where_they_should() {
    if has_client("promtool") {
        promtool(&["check", "rules", "alerts.yml"], b"");
        promtool(&["test", "rules", "alerts_test.yml"], b"");
    }
}

#[test]
fn a_real_prometheus_scrapes_and_answers() {
    if !has_client("prometheus") || !has_client("promtool") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (_example, target) = start_example(&dir.path().join("captures"));
    let (_prometheus, prometheus) = start_prometheus(dir.path(), &target);

    wait_for("Prometheus is not ready", || ask(&prometheus, "/-/ready").0.contains(" 200 ").then_some(()));
    wait_for("the target is not scraped", || {
        let targets = api(&prometheus, "/api/v1/targets");
        let target = &targets["activeTargets"][0];
        assert!(target["lastError"].as_str().is_none_or(str::is_empty), "{target}");
        (target["health"] == "up").then_some(())
    });
    promtool(&["check", "metrics"], &get(&target, "/metrics"));
    // The first scrape asks for a verdict, a later one shows it; exactly one of the three holds.
    wait_for("no verdict", || (query(&prometheus, "diag_leak_verdict").len() == 3).then_some(()));
    let holds = query(&prometheus, "diag_leak_verdict == 1");
    assert!(holds.len() == 1 && holds[0]["metric"]["verdict"].is_string(), "{holds:?}");
    let rate = "rate(jemalloc_allocated_bytes[30s])";
    wait_for("no two scrapes", || (!query(&prometheus, rate).is_empty()).then_some(()));

    let rules = wait_for("the rules are not evaluated", || {
        let groups = api(&prometheus, "/api/v1/rules");
        let rules = groups["groups"][0]["rules"].as_array().expect("rules").clone();
        assert!(rules.len() >= 10, "{groups}");
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    let mut queries = dashboard_queries();
    // A panel shows something; labels that do not match would leave it empty without an error.
    for expr in queries.iter().filter(|q| metrics_in(q).all(|name| !NOT_EVERYWHERE.contains(&name))) {
        wait_for(expr, || (!query(&prometheus, expr).is_empty()).then_some(()));
    }
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        queries.push(rule["query"].as_str().expect("a query").to_owned());
    }
    let names = api(&prometheus, "/api/v1/label/__name__/values");
    let known: BTreeSet<&str> = names.as_array().expect("names").iter().filter_map(Value::as_str).collect();
    let sources = ["mod.rs", "verdict.rs", "process.rs", "rules.rs"].map(|file| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diag-server/src/metrics").join(file);
        fs::read_to_string(path).expect("the source")
    });
    let mut empty = 0;
    for expr in &queries {
        empty += usize::from(query(&prometheus, expr).is_empty());
        for name in metrics_in(expr) {
            let written = sources.iter().any(|source| source.contains(&format!("\"{name}\"")));
            let seen = known.contains(name) || NOT_EVERYWHERE.contains(&name);
            assert!(written && seen, "{name} of {expr} does not exist");
        }
    }
    println!("{} queries, {empty} without a result now, {} metrics", queries.len(), known.len());
}
