//! Tasks of a real runtime: what is counted, what can wake, what share is seen, and that nothing of it changes the tasks.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use diag::tasks::{self, Kind, SiteReading, State, TaskCheck, TaskReading};
use tokio::sync::oneshot;

/// The live tasks of a name.
fn named(name: &str) -> Vec<TaskReading> {
    let snapshot = tasks::snapshot();
    let of = |task: &&TaskReading| snapshot.sites[task.site].name.as_deref() == Some(name);
    snapshot.tasks.iter().filter(of).copied().collect()
}

fn site(name: &str) -> SiteReading {
    let sites = tasks::snapshot().sites;
    sites.into_iter().find(|site| site.name.as_deref() == Some(name)).expect("the site is known")
}

/// Lets the others run until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if so() {
            return;
        }
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_micros(500));
    }
    panic!("never so: {what}");
}

#[tokio::test]
async fn a_task_is_listed_from_spawn_to_end() {
    let (send, receive) = oneshot::channel::<u32>();
    let task = tasks::named("listed").spawn(async move { receive.await.unwrap() + 1 });
    assert_eq!(named("listed").first().map(|t| (t.state, t.polls)), Some((State::New, 0)));
    until("it waits", || named("listed")[0].state == State::Idle).await;
    let waiting = named("listed")[0];
    assert_eq!((waiting.polls, waiting.wakers), (1, Some(1)), "the channel holds its waker");
    assert!(waiting.thread > 0);
    send.send(41).unwrap();
    assert_eq!(named("listed")[0].state, State::Scheduled, "woken, and this thread has not let go");
    assert_eq!(task.await.unwrap(), 42);
    assert!(named("listed").is_empty());
    let over = site("listed");
    assert_eq!((over.spawned, over.completed, over.cancelled, over.panicked), (1, 1, 0, 0));
    assert_eq!(over.ended_polls, 2);
    assert!(over.file.ends_with("tests/tasks.rs"), "{}", over.file);
    assert!(over.future.contains("a_task_is_listed_from_spawn_to_end"), "{}", over.future);
}

#[tokio::test]
async fn ends_are_told_apart() {
    for _ in 0..3 {
        tasks::named("ends").spawn(async {}).await.unwrap();
    }
    let panics = tasks::named("ends").spawn(async { panic!("as the test wants") });
    assert!(panics.await.unwrap_err().is_panic());
    let aborted = tasks::named("ends").spawn(pending::<()>());
    tokio::task::yield_now().await;
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    // The futures' types differ: three sites of one name.
    let all: Vec<SiteReading> =
        tasks::snapshot().sites.into_iter().filter(|s| s.name.as_deref() == Some("ends")).collect();
    let sum = |count: fn(&SiteReading) -> u64| all.iter().map(count).sum::<u64>();
    assert_eq!([sum(|s| s.completed), sum(|s| s.panicked), sum(|s| s.cancelled)], [3, 1, 1]);
    assert!(named("ends").is_empty());
}

#[tokio::test]
async fn wakers_tell_who_can_wake() {
    let stuck = tasks::named("no waker").spawn(pending::<()>());
    let (_kept, receive) = oneshot::channel::<()>();
    let waits = tasks::named("one waker").spawn(receive);
    let sleeps = tasks::named("timer").spawn(tokio::time::sleep(Duration::from_secs(3600)));
    until("all wait", || {
        ["no waker", "one waker", "timer"].iter().all(|name| named(name)[0].state == State::Idle)
    })
    .await;
    assert_eq!(named("no waker")[0].wakers, Some(0));
    assert_eq!(named("one waker")[0].wakers, Some(1));
    assert_eq!(named("timer")[0].wakers, Some(1));
    for task in [stuck.abort_handle(), waits.abort_handle(), sleeps.abort_handle()] {
        task.abort();
    }
    until("all ended", || ["no waker", "one waker", "timer"].iter().all(|name| named(name).is_empty())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_spawn_is_counted() {
    let mut set = diag::JoinSet::new();
    for n in 0..5 {
        set.spawn(async move { n });
    }
    set.spawn_blocking(|| 5);
    set.spawn_on(async { 6 }, &tokio::runtime::Handle::current());
    set.extend([std::future::ready(7)]);
    let mut got = set.join_all().await;
    got.sort_unstable();
    assert_eq!(got, (0..8).collect::<Vec<_>>());

    let (started, has_started) = oneshot::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let blocking = tasks::named("blocking").spawn_blocking(move || {
        started.send(()).unwrap();
        ends.recv().ok();
    });
    has_started.await.unwrap();
    let running = named("blocking")[0];
    assert_eq!((running.state, running.wakers), (State::Running, None));
    assert_eq!(site("blocking").kind, Kind::Blocking);
    drop(end);
    blocking.await.unwrap();

    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = diag::LocalSet::new();
        let shared = std::rc::Rc::new(1);
        let one = local.run_until(async move {
            let inner = std::rc::Rc::clone(&shared);
            let task = diag::spawn_local(async move { *inner });
            let named_task = tasks::named("local").spawn_local(async move { *shared });
            task.await.unwrap() + named_task.await.unwrap()
        });
        runtime.block_on(one)
    });
    assert_eq!(tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap(), 2);
    assert_eq!((site("local").kind, site("local").completed), (Kind::Local, 1));

    let any = tasks::track_named("any executor", std::future::ready(3));
    assert_eq!(named("any executor").len(), 1);
    assert_eq!(any.await, 3);
    assert_eq!((site("any executor").kind, site("any executor").completed), (Kind::Other, 1));
}

#[tokio::test]
async fn a_future_that_is_polled_by_others_too_is_passed_through() {
    // A task of ours whose future is polled with another waker than the first: through select, in a join, moved.
    let (send, receive) = oneshot::channel::<()>();
    let mut tracked = Box::pin(tasks::track(receive));
    let first = poll_fn(|context| Poll::Ready(tracked.as_mut().poll(context).is_pending()));
    assert!(first.await);
    let moved = diag::spawn(tracked);
    tokio::task::yield_now().await;
    send.send(()).unwrap();
    moved.await.unwrap().unwrap();
    let mut never = pin!(tasks::track(pending::<()>()));
    let polled = poll_fn(|context| Poll::Ready(never.as_mut().poll(context).is_pending()));
    assert!(polled.await);
}

#[tokio::test]
async fn a_task_check_names_what_is_left() {
    let check = TaskCheck::begin();
    diag::spawn(async { tokio::time::sleep(Duration::from_millis(30)).await });
    check.finish().await.unwrap();

    let check = TaskCheck::begin().grace(Duration::from_millis(20));
    let left = tasks::named("left over").spawn(pending::<()>());
    let error = check.finish().await.unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains("1 tasks outlive") && text.contains("left over") && text.contains("tests/tasks.rs:"),
        "{text}"
    );
    left.abort();
}

#[test]
fn names_and_sites_without_end_are_bounded_and_counted() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for n in 0..200 {
            tasks::named(&format!("connection {n}")).spawn(async {}).await.unwrap();
        }
    });
    let snapshot = tasks::snapshot();
    let connections: Vec<&SiteReading> =
        snapshot.sites.iter().filter(|s| s.future.contains("names_and_sites_without_end")).collect();
    assert_eq!(connections.len(), 65);
    assert_eq!(connections.iter().map(|s| s.spawned).sum::<u64>(), 200);
    let other = connections.iter().find(|s| s.name.as_deref() == Some("(other)")).unwrap();
    assert_eq!(other.spawned, 136);
    assert_eq!(snapshot.losses["task_names_without_room"], 136);
}

#[test]
fn the_share_of_tasks_seen_is_told() {
    // In a process of its own: other tests make runtimes.
    if std::env::var_os("DIAG_TASKS_COVERAGE").is_none() {
        let me = std::env::current_exe().unwrap();
        let run = std::process::Command::new(me)
            .args(["--exact", "the_share_of_tasks_seen_is_told"])
            .env("DIAG_TASKS_COVERAGE", "1")
            .output()
            .unwrap();
        assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    assert_eq!(tasks::snapshot().coverage, None);
    let _entered = runtime.enter();
    for _ in 0..30 {
        diag::spawn(pending::<()>());
    }
    for _ in 0..10 {
        tokio::spawn(pending::<()>());
    }
    let coverage = tasks::snapshot().coverage.unwrap();
    assert_eq!((coverage.runtimes, coverage.seen, coverage.alive), (1, 30, 40));
    assert!((coverage.share - 0.75).abs() < 1e-9);
}

#[test]
fn a_million_tasks_leave_nothing_and_a_hundred_thousand_take_what_is_stated() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let check = TaskCheck::begin();
    runtime.block_on(async {
        for _ in 0..1_000 {
            let mut set = diag::JoinSet::new();
            for _ in 0..1_000 {
                set.spawn(async {});
            }
            set.join_all().await;
        }
    });
    let before = tasks::memory_bytes();
    let short: u64 = tasks::snapshot()
        .sites
        .iter()
        .filter(|s| s.future.contains("a_million_tasks"))
        .map(|s| s.completed)
        .sum();
    assert_eq!(short, 1_000_000, "each is counted");
    check.finish_blocking().unwrap();

    let tasks = runtime.block_on(async {
        let mut set = diag::JoinSet::new();
        for _ in 0..100_000 {
            set.spawn(pending::<()>());
        }
        set
    });
    let grown = tasks::memory_bytes().saturating_sub(before);
    let a_task = grown as f64 / 100_000.0;
    assert!((96.0..128.0).contains(&a_task), "{a_task} bytes a live task");
    drop(tasks);
    drop(runtime);
    let after = tasks::memory_bytes();
    assert!(after < before + (256 << 10), "{before} bytes before, {after} after");
}

#[cfg(feature = "heap")]
#[test]
fn a_handle_judges_tasks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let diag = diag::Diag::builder().service_name("tasks").start().unwrap();
    let _entered = runtime.enter();
    for _ in 0..3 {
        tasks::named("judged").spawn(pending::<()>());
    }
    // A task counts as settled after a second.
    std::thread::sleep(Duration::from_millis(1_300));
    let report = diag.tasks();
    let stuck = report.sites.iter().find(|s| s.name.as_deref() == Some("judged")).unwrap();
    assert_eq!(
        (stuck.verdict, stuck.live, stuck.idle),
        (tasks::TaskVerdict::Stuck, 3, 3),
        "{}",
        stuck.reason
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schema"], "diag.tasks/1");
    let (snapshot, leaked) = diag.leaked_tasks();
    let certain = leaked.iter().filter(|l| l.certain);
    let names: Vec<_> = certain.map(|l| snapshot.sites[snapshot.tasks[l.task].site].name.clone()).collect();
    assert_eq!(names.iter().filter(|n| n.as_deref() == Some("judged")).count(), 3);
    assert!(diag.status().tasks.live >= 3);
}
