//! All tasks of a runtime by tokio's hooks: `RUSTFLAGS="--cfg tokio_unstable" cargo test -p diag --no-default-features --features tokio
//! --test tasks_hooks`. Without that flag there is nothing to test here.
#![cfg(all(feature = "tokio", tokio_unstable))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::time::Duration;

use diag::tasks::{self, Kind, State};
use tokio::sync::oneshot;

#[test]
fn tasks_that_others_spawn_are_seen_too_and_none_twice() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = tasks::hook(builder.worker_threads(2).enable_all()).build().unwrap();
    let (end, ends) = oneshot::channel::<()>();
    let ends = std::sync::Arc::new(tokio::sync::Mutex::new(Some(ends)));
    let wait = move || {
        let ends = std::sync::Arc::clone(&ends);
        async move {
            let waits = ends.lock().await.take();
            match waits {
                Some(ends) => ends.await.is_ok(),
                None => std::future::pending().await,
            }
        }
    };
    runtime.block_on(async {
        let first = tokio::spawn(wait());
        let others: Vec<_> = (0..9).map(|_| tokio::spawn(wait())).collect();
        let ours: Vec<_> = (0..5).map(|_| diag::spawn(std::future::pending::<()>())).collect();
        for _ in 0..100 {
            tokio::spawn(async { tokio::task::yield_now().await }).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let snapshot = tasks::snapshot();
        let count = |chosen: &dyn Fn(&tasks::TaskReading) -> bool| {
            snapshot.tasks.iter().filter(|t| chosen(t)).count()
        };
        assert_eq!(snapshot.tasks.len(), 15, "each once");
        assert_eq!(count(&|t| t.state == State::Idle && t.polls >= 1), 15);
        assert_eq!(count(&|t| t.wakers.is_some()), 5, "hooks know no waker");
        let here = |s: &&tasks::SiteReading| s.file.ends_with("tasks_hooks.rs") && s.kind == Kind::Task;
        let spawned: u64 = snapshot.sites.iter().filter(here).map(|s| s.spawned).sum();
        assert_eq!(spawned, 115, "{:#?}", snapshot.sites);
        let short = snapshot.sites.iter().find(|s| s.spawned == 100).unwrap();
        assert_eq!((short.completed, short.ended_polls), (100, 200));
        assert_eq!(snapshot.coverage.unwrap().share, 1.0);
        end.send(()).unwrap();
        // The channel's was the first task to get the lock, whichever that is.
        drop((first, others, ours));
    });
    drop(runtime);
    assert_eq!(tasks::live_count(), 0, "with their runtime they go");
}
