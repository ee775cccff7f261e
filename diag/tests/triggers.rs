//! Rules in a running process: what the service tells, signals, panics, failed allocations, a rules file, hooks and webhooks.
//! Each case runs this test's own binary again as a child, with another environment.
#![cfg(feature = "triggers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use diag::profile::pprof;
use diag::rules::{Do, Level, Relief, Rule, When};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const CASE: &str = "DIAG_TEST_CASE";
const PATIENCE: Duration = Duration::from_secs(60);

fn child_output(case: &str, dir: &Path, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .env("DIAG_CAPTURE_DIR", dir)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn in_child(case: &str, dir: &Path, variables: &[(&str, &str)]) -> String {
    let output = child_output(case, dir, variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{case}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Waits until it is so.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let from = Instant::now();
    while !is() {
        assert!(from.elapsed() < PATIENCE, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Files in a directory whose names have this in them.
fn files(dir: &Path, with: &str) -> Vec<String> {
    let names = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|n| !n.starts_with('.') && n.contains(with)).collect();
    names.sort();
    names
}

fn event(dir: &Path, rule: &str) -> serde_json::Value {
    let name = files(dir, &format!("-{rule}.json")).into_iter().find(|n| n.starts_with("event-"));
    let name = name.unwrap_or_else(|| panic!("no event of {rule} in {:?}", files(dir, "")));
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

fn fired(diag: &diag::Diag, rule: &str) -> u64 {
    let triggers = diag.status().triggers.unwrap();
    triggers.rules.iter().find(|r| r.rule.name == rule).map_or(0, |r| r.firings.fired_total)
}

/// Not a test by itself: what the children do.
#[test]
fn child() {
    let Ok(case) = std::env::var(CASE) else { return };
    let dir = std::path::PathBuf::from(std::env::var_os("DIAG_CAPTURE_DIR").unwrap());
    let kept: Vec<Vec<u8>> = (0..2_000).map(|i| std::hint::black_box(vec![i as u8; 10_000])).collect();
    match case.as_str() {
        "told" => {
            let (sent, called) = std::sync::mpsc::channel();
            let slow = Rule::new("slow", When::Told("slow_checkout".into()))
                .does([Do::Heap, Do::Memory, Do::Leaks, Do::Purge, Do::Cpu(Duration::from_millis(300))])
                .hook(move |firing| sent.send(firing.clone()).unwrap());
            let usr2 = Rule::new("usr2", When::Signal(12)).debounce(Duration::ZERO).an_hour(2);
            let diag = diag::Diag::builder().rule(slow).rule(usr2).start().unwrap();
            assert!(!diag::trigger("nobody waits for this"));
            assert!(diag::trigger("slow_checkout") && diag::trigger("slow_checkout"));
            let firing = called.recv_timeout(PATIENCE).unwrap();
            assert_eq!((firing.rule.as_str(), firing.files.len()), ("slow", 2), "{firing:?}");
            // Waits, so that the profile has something to sample.
            until("a CPU profile", || {
                std::hint::black_box((0..100_000u64).fold(0, |a, b| a ^ b.wrapping_mul(a)));
                files(&dir, "-slow").iter().any(|n| n.starts_with("cpu-"))
            });
            for signal in 1..=4u64 {
                assert!(
                    Command::new("kill")
                        .args(["-USR2", &std::process::id().to_string()])
                        .status()
                        .unwrap()
                        .success()
                );
                until("the signal", || {
                    let t = diag.status().triggers.unwrap();
                    t.rules[1].firings.fired_total + t.rules[1].firings.refused_budget_total >= signal
                });
            }
            until("the event's end", || event(&dir, "slow")["files"].as_array().unwrap().len() == 4);
            println!("STATUS {}", serde_json::to_string(&diag.status()).unwrap());
        }
        "panics" => {
            let rules = [Rule::new("panics", When::Panic), Rule::new("failed", When::AllocFailed)];
            let diag = diag::Diag::builder().rules(rules).start().unwrap();
            let thread = std::thread::Builder::new().name("checkout".into());
            assert!(thread.spawn(|| panic!("no more stock")).unwrap().join().is_err());
            until("the capture", || fired(&diag, "panics") == 1 && !files(&dir, "heap-").is_empty());
            // More than an address space holds; the one that asked goes on.
            let mut huge: Vec<u8> = Vec::new();
            assert!(huge.try_reserve_exact(1 << 50).is_err());
            // It waited: the capture is there.
            assert!(files(&dir, "-failed.pb.gz").len() == 1, "{:?}", files(&dir, ""));
        }
        "trace" => {
            #[cfg(feature = "recorder")]
            let _subscriber = {
                use tracing_subscriber::layer::SubscriberExt as _;
                let layer = diag::recorder::Recorder::builder().build().unwrap();
                tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
            };
            let rule = Rule::new("panics", When::Panic).does([Do::Trace]);
            let diag = diag::Diag::builder().service_name("shop").rules([rule]).start().unwrap();
            #[cfg(feature = "recorder")]
            {
                let mut task = std::pin::pin!(diag::tasks::track_named("restocker", async {}));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(std::future::Future::poll(task.as_mut(), &mut context).is_ready());
            }
            let checkout = tracing::info_span!("checkout", order = 7).entered();
            tracing::warn!("no more stock");
            assert!(std::panic::catch_unwind(|| panic!("sold out")).is_err());
            until("the capture", || fired(&diag, "panics") == 1 && !files(&dir, "event-").is_empty());
            until("the event's end", || event(&dir, "panics")["files"] != event(&dir, "panics")["problems"]);
            drop(checkout);
        }
        #[cfg(feature = "tasks")]
        "slow_poll" => {
            #[cfg(feature = "recorder")]
            let _subscriber = {
                use tracing_subscriber::layer::SubscriberExt as _;
                let layer = diag::recorder::Recorder::builder().build().unwrap();
                tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
            };
            let slow =
                Rule::new("slow", When::SlowPoll(Duration::from_millis(50))).does([Do::Tasks, Do::Trace]);
            let many = Rule::new("many", When::Tasks(3)).does([Do::Tasks]);
            let diag = diag::Diag::builder().rules([slow, many]).start().unwrap();
            let mut quick = Box::pin(diag::tasks::track(async {}));
            let mut draws =
                Box::pin(diag::tasks::track(async { std::thread::sleep(Duration::from_millis(120)) }));
            let waits: Vec<_> = (0..3).map(|_| diag::tasks::track(std::future::pending::<()>())).collect();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(quick.as_mut().poll(&mut context).is_ready());
            assert!(draws.as_mut().poll(&mut context).is_ready());
            until("both rules", || fired(&diag, "slow") == 1 && fired(&diag, "many") == 1);
            until("the end of the events", || {
                ["slow", "many"].iter().all(|rule| !event(&dir, rule)["files"].as_array().unwrap().is_empty())
            });
            drop(waits);
        }
        "aborts" => {
            let rules = [Rule::new("failed", When::AllocFailed).does([Do::Heap])];
            let _diag = diag::Diag::builder().rules(rules).start().unwrap();
            drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 50)));
        }
        "file" => {
            let diag = diag::Diag::builder().start().unwrap();
            diag::trigger("hello");
            until("the webhook's rule", || fired(&diag, "told") == 1);
            std::thread::sleep(Duration::from_millis(300));
            println!("STATUS {}", serde_json::to_string(&diag.status()).unwrap());
        }
        "status" => {
            let diag = diag::Diag::builder().start().unwrap();
            println!("STATUS {}", serde_json::to_string(&diag.status()).unwrap());
        }
        "health" => {
            let diag = diag::Diag::builder().start().unwrap();
            println!("STATUS {}", serde_json::to_string(&diag.health()).unwrap());
        }
        "relief" => {
            let policy = Relief::at(Level::Bytes(8 << 20));
            let diag = diag::Diag::builder().rules([]).relief(policy).start().unwrap();
            until("the decay is lowered", || {
                diag.status().triggers.unwrap().relief.is_some_and(|r| r.lowered && r.purges_total >= 1)
            });
            let decay = diag.memory().jemalloc.known().unwrap().dirty_decay_ms.value();
            assert_eq!(decay, Some(0));
            drop(diag);
            let decay = diag::memory::read().jemalloc.known().unwrap().dirty_decay_ms.value();
            assert_eq!(decay, Some(10_000), "jemalloc's own");
        }
        other => panic!("{other}"),
    }
    drop(kept);
}

fn status(text: &str) -> serde_json::Value {
    let line = text.lines().find_map(|l| l.split_once("STATUS ")).expect("a status").1;
    serde_json::from_str(line).unwrap()
}

#[test]
fn what_the_service_tells_is_captured_with_all_that_a_rule_can_do() {
    let dir = tempfile::tempdir().unwrap();
    let text = in_child("told", dir.path(), &[]);
    let told = event(dir.path(), "slow");
    assert_eq!(told["why"], "the service told of slow_checkout");
    assert_eq!(told["problems"], serde_json::json!([]));
    for (kind, extension) in [("heap", "pb.gz"), ("memory", "json"), ("leaks", "json"), ("cpu", "pb.gz")] {
        let found = files(dir.path(), &format!("-slow.{extension}"));
        let name =
            found.iter().find(|n| n.starts_with(kind)).unwrap_or_else(|| panic!("no {kind}: {found:?}"));
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        if extension == "pb.gz" {
            let profile = pprof::decode(&bytes).unwrap();
            let reason = "reason=slow: the service told of slow_checkout";
            assert!(profile.meta().comments.iter().any(|c| c == reason), "{name}");
            // Addresses only: names are for the reader.
            assert!(profile.functions().is_empty(), "{name}");
        } else {
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
        }
    }
    let status = status(&text);
    let rules = &status["triggers"]["rules"];
    assert_eq!(
        (rules[0]["fired_total"].as_u64(), rules[0]["refused_debounce_total"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(
        (rules[1]["fired_total"].as_u64(), rules[1]["refused_budget_total"].as_u64()),
        (Some(2), Some(2))
    );
    assert_eq!(rules[0]["last"]["rule"], "slow");
    assert_eq!(status["captures"]["by_rule"].as_u64(), Some(3));
}

#[test]
fn panics_and_failed_allocations_are_captured() {
    let dir = tempfile::tempdir().unwrap();
    in_child("panics", dir.path(), &[]);
    let why = event(dir.path(), "panics")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("thread checkout panicked at") && why.ends_with("no more stock"), "{why}");
    assert_eq!(event(dir.path(), "failed")["why"], format!("an allocation of {} bytes failed", 1u64 << 50));
    // The one that aborts waits for the capture as well.
    let dir = tempfile::tempdir().unwrap();
    let output = child_output("aborts", dir.path(), &[]);
    assert!(!output.status.success());
    let heap = files(dir.path(), "-failed.pb.gz");
    pprof::decode(&std::fs::read(dir.path().join(&heap[0])).unwrap()).unwrap();
}

#[test]
fn what_happened_before_a_panic_is_written() {
    let dir = tempfile::tempdir().unwrap();
    in_child("trace", dir.path(), &[]);
    let event = event(dir.path(), "panics");
    if cfg!(not(feature = "recorder")) {
        assert!(event["problems"].to_string().contains("feature `recorder`"), "{event}");
        return;
    }
    assert_eq!(event["problems"], serde_json::json!([]));
    let name = files(dir.path(), "trace-").pop().unwrap();
    let trace: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap();
    assert_eq!(trace["otherData"]["service"], "shop");
    let of = |name: &str| {
        let events = trace["traceEvents"].as_array().unwrap();
        events.iter().find(|e| e["name"] == name).cloned().unwrap_or_else(|| panic!("no {name}: {trace}"))
    };
    assert_eq!((&of("checkout")["ph"], &of("checkout")["args"]["order"]), (&"X".into(), &7.into()));
    assert_eq!(of("no more stock")["ph"], "i");
    // Named by where it was spawned, on a track beside the thread's.
    let poll = of("restocker");
    assert_eq!((&poll["ph"], &poll["cat"]), (&"X".into(), &"poll".into()));
    assert!(poll["args"]["@spawned_at"].as_str().unwrap().contains("tests/triggers.rs:"), "{poll}");
    assert_ne!(poll["tid"], of("checkout")["tid"]);
}

#[cfg(feature = "tasks")]
#[test]
fn slow_polls_and_many_tasks_are_captured() {
    let dir = tempfile::tempdir().unwrap();
    in_child("slow_poll", dir.path(), &[]);
    let why = event(dir.path(), "slow")["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("one poll of triggers::child at diag/tests/triggers.rs:"), "{why}");
    assert!(event(dir.path(), "many")["why"].as_str().unwrap().ends_with("tasks are alive, at least 3"));
    let name = files(dir.path(), "tasks-").into_iter().find(|n| n.ends_with("-slow.json")).unwrap();
    let tasks: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap();
    assert_eq!(
        (&tasks["schema"], &tasks["sites"][0]["verdict"]),
        (&"diag.tasks/1".into(), &"blocking".into())
    );
    if cfg!(feature = "recorder") {
        let trace = files(dir.path(), "trace-").pop().unwrap();
        let trace = std::fs::read_to_string(dir.path().join(trace)).unwrap();
        assert!(trace.contains("poll"), "polls are in the trace: {trace}");
    }
}

#[test]
fn a_rules_file_is_obeyed_and_its_faults_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rules = dir.path().join("rules.toml");
    let text = format!(
        "[[rule]]\nname = \"told\"\nwhen = {{ told = \"hello\" }}\ndo = [\"memory\", {{ webhook = \"http://{}/x\" }}]\n\
         [[rule]]\nname = \"broken\"\nwhen = {{ limit = \"200%\" }}\ndo = []\n",
        listener.local_addr().unwrap()
    );
    std::fs::write(&rules, text).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 8192];
        let n = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    let captures = dir.path().join("captures");
    let status = status(&in_child("file", &captures, &[("DIAG_RULES", rules.to_str().unwrap())]));
    let request = served.join().unwrap();
    assert!(request.starts_with("POST /x HTTP/1.1\r\n") && request.contains("\"diag.event/1\""), "{request}");
    let problems = status["problems"].to_string();
    assert!(problems.contains("rules.toml, line 5: ") && problems.contains("200%"), "{problems}");
    assert!(problems.contains("answered 404"), "{problems}");
    assert_eq!(status["triggers"]["rules"].as_array().unwrap().len(), 1);

    // A file that is none leaves the default rule.
    std::fs::write(&rules, "[[rule").unwrap();
    let status = self::status(&in_child("status", &captures, &[("DIAG_RULES", rules.to_str().unwrap())]));
    assert_eq!(status["triggers"]["rules"][0]["name"], "near_limit");
    assert!(status["problems"].to_string().contains("line 1"), "{}", status["problems"]);
}

#[test]
fn under_pressure_the_decay_is_lowered_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    in_child("relief", dir.path(), &[]);
}

#[test]
fn health_is_one_word_with_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let health = status(&in_child("health", dir.path(), &[]));
    assert_eq!((&health["schema"], &health["state"]), (&"diag.health/1".into(), &"ok".into()), "{health}");
    assert_eq!(health["capture_dir_writable"], true);
    assert!(health["last_census_age_s"].as_f64().is_some_and(|age| age < 30.0), "{health}");
    // Below a file there is no directory, not for root either.
    let health = status(&in_child("health", Path::new("/dev/null/captures"), &[]));
    assert_eq!(
        (&health["state"], &health["capture_dir_writable"]),
        (&"broken".into(), &false.into()),
        "{health}"
    );
    let parts = health["parts"].as_array().unwrap();
    let captures = parts.iter().find(|p| p["part"] == "captures").unwrap();
    assert!(captures["why"].as_str().unwrap().contains("/dev/null/captures"), "{captures}");
    let health = status(&in_child("health", dir.path(), &[("DIAG_DISABLE", "1")]));
    assert_eq!(health["state"], "ok", "what is switched off is not broken: {health}");
}
