//! The endpoints of tasks, over HTTP and with `go tool pprof`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::future::pending;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use diag::profile::pprof;
use serde_json::Value;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

fn get(addr: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(head))
}

fn text(addr: SocketAddr, path: &str) -> String {
    let (status, body) = get(addr, path);
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn waits_for_ever() {
    pending::<()>().await;
}

/// One test, for the process has one set of tasks.
#[test]
fn tasks_are_served_as_text_as_json_and_to_pprof() {
    let diag = diag::Diag::builder().listen(([127, 0, 0, 1], 0).into()).start().unwrap();
    let server = diag_server::serve(&diag).unwrap();
    let addr = server.local_addr();

    // Nothing is tracked yet: an estimate from the heap, which has no tasks either.
    let (status, body) = get(addr, "/debug/pprof/tasks");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let empty = pprof::decode(&body).unwrap();
    assert!(
        empty.meta().comments.iter().any(|c| c.contains("no task is tracked")),
        "{:?}",
        empty.meta().comments
    );
    let guess = text(addr, "/debug/pprof/tasks?debug=1");
    assert!(guess.contains("diag::spawn in place of tokio::spawn"), "{guess}");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    for _ in 0..3 {
        diag::spawn(waits_for_ever());
    }
    let (_kept, closed) = tokio::sync::oneshot::channel::<()>();
    diag::tasks::named("waits").spawn(async move { closed.await.ok() });
    drop(entered);
    std::thread::sleep(Duration::from_millis(1_300));

    let grouped = text(addr, "/debug/pprof/tasks?debug=1");
    assert!(grouped.starts_with("tasks profile: total 4\n3 @ idle"), "{grouped}");
    assert!(
        grouped.contains("tasks::waits_for_ever") && grouped.contains("diag-server/tests/tasks.rs:"),
        "{grouped}"
    );
    let listed = text(addr, "/debug/pprof/goroutine?debug=2&state=idle");
    assert_eq!(listed.matches("[idle, ").count(), 4, "{listed}");
    assert!(listed.contains("\"waits\" [idle,") && listed.contains("1 waker]"), "{listed}");
    assert_eq!(text(addr, "/debug/pprof/tasks?debug=2&min_age=3600").matches("task ").count(), 0);
    let leaked = text(addr, "/debug/pprof/taskleak?debug=1");
    assert!(leaked.starts_with("tasks: 4 live, 3 can never wake again, 0 are probably stuck"), "{leaked}");

    let profile = pprof::decode(&get(addr, "/debug/pprof/tasks").1).unwrap();
    assert_eq!(profile.total(0), 4);
    let leak = pprof::decode(&get(addr, "/debug/pprof/taskleak").1).unwrap();
    assert_eq!(leak.total(0), 3);
    let change = pprof::decode(&get(addr, "/debug/pprof/tasks?seconds=1").1).unwrap();
    assert_eq!(change.total(0), 0);

    let drawn = text(addr, "/debug/diag/api/v1/flamegraph?kind=tasks");
    assert!(drawn.contains("tasks::waits_for_ever (3 tasks"), "{drawn}");
    let (status, _) = get(addr, "/debug/diag/api/v1/flamegraph?kind=tasks&seconds=1");
    assert_eq!(status, 200, "what has not changed draws an empty picture");

    let report: Value = serde_json::from_str(&text(addr, "/debug/diag/api/v1/tasks")).unwrap();
    assert_eq!(report["schema"], "diag.tasks/1");
    assert_eq!(report["totals"]["live"], 4);
    assert_eq!(report["coverage"]["share"], 1.0);
    let worst = &report["sites"][0];
    assert_eq!((worst["verdict"].as_str(), worst["live"].as_u64()), (Some("stuck"), Some(3)), "{worst}");
    assert_eq!(worst["future"], "tasks::waits_for_ever");
    let verdict: Value = serde_json::from_str(&text(addr, "/debug/diag/api/v1/leaks")).unwrap();
    assert_eq!(verdict["tasks"][0]["task"], "tasks::waits_for_ever", "{verdict}");
    assert_ne!(verdict["verdict"], "leak", "three tasks that stand still are no growth");

    for wrong in ["/debug/pprof/tasks?state=asleep", "/debug/pprof/tasks?seconds=1&debug=1"] {
        let (status, body) = get(addr, wrong);
        assert_eq!(status, 400, "{wrong}: {}", String::from_utf8_lossy(&body));
    }
    go_reads(addr);
    runtime.shutdown_background();
}

fn go_reads(addr: SocketAddr) {
    let url = format!("http://{addr}/debug/pprof/tasks");
    let home = tempfile::tempdir().unwrap();
    let run = Command::new("go")
        .args(["tool", "pprof", "-top", "-symbolize=none", &url])
        .env("PPROF_TMPDIR", home.path())
        .output();
    let Ok(out) = run else {
        assert!(std::env::var_os("DIAG_REQUIRE_CLIENTS").is_none(), "go is missing");
        return println!("skipped: no go");
    };
    let shown = String::from_utf8_lossy(&out.stdout);
    let row = shown.lines().find(|line| line.ends_with("tasks::waits_for_ever"));
    let row = row.unwrap_or_else(|| panic!("{shown}{}", String::from_utf8_lossy(&out.stderr)));
    assert_eq!(row.split_whitespace().next(), Some("3"), "{row}");
}
