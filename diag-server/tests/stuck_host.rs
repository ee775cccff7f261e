//! The own listener answers while every thread of the host's runtime is blocked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::sync::mpsc;

use common::{get_ok, server};
use diag::profile::pprof;

#[test]
fn a_host_whose_runtime_is_stuck_is_profiled() {
    const WORKERS: usize = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // Started from inside the host, as a service does it.
    let addr = runtime.block_on(async { server() });
    let (stuck, is_stuck) = mpsc::channel();
    let mut release = Vec::new();
    for blocking_pool in [false; WORKERS].into_iter().chain([true]) {
        let (go_on, wait) = mpsc::channel::<()>();
        release.push(go_on);
        let stuck = stuck.clone();
        let block = move || {
            stuck.send(()).unwrap();
            let _ = wait.recv();
        };
        if blocking_pool {
            runtime.spawn_blocking(block);
        } else {
            runtime.spawn(async move { block() });
        }
    }
    for _ in 0..=WORKERS {
        is_stuck.recv().unwrap();
    }
    let (answered, is_answered) = mpsc::channel();
    runtime.spawn(async move { answered.send(()) });

    let heap = pprof::decode(&get_ok(addr, "/debug/pprof/heap").body).unwrap();
    assert!(heap.functions().iter().any(|f| heap.str(f.name).contains("make_piece")));
    assert!(get_ok(addr, "/metrics").text().contains("\ndiag_heap_up 1\n"));
    assert!(is_answered.try_recv().is_err(), "the host itself does nothing meanwhile");
    drop(release);
    is_answered.recv().unwrap();
}
