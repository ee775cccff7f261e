//! One line and one start: what works without any variable, and what says so when it cannot.
//! Each case runs this test's own binary again as a child, with another environment.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use std::process::Command;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const CASE: &str = "DIAG_TEST_CASE";

/// Runs `case` of [`child`] in a process of its own.
fn in_child(case: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{case}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn work() -> Vec<Vec<u8>> {
    (0..2_000).map(|i| std::hint::black_box(vec![i as u8; 10_000])).collect()
}

/// Not a test by itself: what the children do.
#[test]
fn child() {
    match std::env::var(CASE).as_deref() {
        Ok("status") => {
            let diag = diag::Diag::builder().service_name("orders").start().unwrap();
            let kept = work();
            println!("STATUS {}", serde_json::to_string(&diag.status()).unwrap());
            drop(kept);
        }
        Ok("host") => {
            // All of it before the start.
            diag::work(3);
            let _cap = diag::declare_cap("sessions", 1 << 20);
            let _gauge = diag::gauge("sessions", || (2, 8));
            let _many: Vec<_> = (0..300).map(|i| diag::declare_cap(format!("cap {i}"), 1)).collect();
            let diag = diag::Diag::builder().start().unwrap();
            diag::work(4);
            println!("STATUS {}", serde_json::to_string(&diag.status()).unwrap());
        }
        Ok("capture") => {
            let diag = diag::Diag::builder().start().unwrap();
            let kept = work();
            drop(diag);
            drop(kept);
        }
        Ok("dump") => {
            let diag = diag::Diag::builder().force_prof_dump(true).sample_bytes(65_536).start().unwrap();
            let kept = work();
            let profile = diag.heap().unwrap().snapshot(&Default::default()).unwrap();
            let bytes = profile.sample_type_index("inuse_space").map(|i| profile.total(i));
            println!("DUMP {} {bytes:?}", diag.heap().unwrap().stats().source);
            assert!(bytes.is_some_and(|b| (10_000_000..40_000_000).contains(&b)), "{bytes:?}");
            drop(kept);
        }
        Ok("capped") => {
            const CAP: u64 = 4 << 20;
            let diag = diag::Diag::builder().sample_bytes(1).heap_table_bytes(CAP).start().unwrap();
            let heap = *diag.heap().unwrap();
            let before = heap.stats().memory_bytes;
            let kept: Vec<Vec<u8>> = (0..60_000).map(|_| std::hint::black_box(vec![1; 10])).collect();
            let full = heap.stats();
            assert!(full.losses["live_table_full"] > 10_000, "{full:?}");
            assert!(full.memory_bytes - before < CAP, "{full:?}");
            drop(kept);
            let emptied = heap.stats();
            assert!(emptied.live_samples < full.live_samples / 10, "{emptied:?}");
            let profile = heap.snapshot(&Default::default()).unwrap();
            assert!(profile.meta().losses.iter().any(|l| l.what == "live_table_full" && l.count > 10_000));
        }
        Ok("aftermath") => {
            let diag = diag::Diag::builder().start().unwrap();
            let profile = diag.heap().unwrap().snapshot(&Default::default()).unwrap();
            let dirty = || {
                let waterline = serde_json::to_value(diag.memory()).unwrap();
                let arenas = waterline["jemalloc"]["arenas"].as_array().unwrap().clone();
                arenas.iter().map(|a| a["dirty_bytes"].as_u64().unwrap()).sum::<u64>()
            };
            let (done, is_done) = std::sync::mpsc::channel();
            let (end, ends) = std::sync::mpsc::channel::<()>();
            let asker = std::thread::spawn({
                let diag = diag.clone();
                move || {
                    let blocks: Vec<Vec<u8>> = (0..400).map(|_| vec![1; 64 << 10]).collect();
                    drop(std::hint::black_box(blocks));
                    diag.symbolize(&profile).unwrap();
                    done.send(()).unwrap();
                    // Alive, and idle.
                    let _ = ends.recv();
                }
            });
            is_done.recv().unwrap();
            let left = dirty();
            assert!(left > 15 << 20, "{left} bytes are there to be given back");
            let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
            // Not all of it: the arenas of those who ask here have some, too.
            while dirty() > left / 3 {
                assert!(std::time::Instant::now() < until, "{} of {left} bytes stay", dirty());
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            drop(end);
            asker.join().unwrap();
        }
        Ok("again") => {
            let first = diag::Diag::builder().start().unwrap();
            let refused = diag::Diag::builder().start().unwrap_err().to_string();
            assert!(refused.contains("already running"), "{refused}");
            assert!(diag::Diag::running().is_some());
            drop(first);
            assert!(diag::Diag::running().is_none());
            let second = diag::Diag::builder().start().unwrap();
            assert_eq!(second.heap().unwrap().stats().source, "hooks");
        }
        _ => {}
    }
}

fn status(variables: &[(&str, &str)]) -> serde_json::Value {
    status_of("status", variables)
}

fn status_of(case: &str, variables: &[(&str, &str)]) -> serde_json::Value {
    let text = in_child(case, variables);
    let line = text.lines().find_map(|l| l.split_once("STATUS ")).unwrap().1;
    serde_json::from_str(line).unwrap()
}

#[test]
fn nothing_has_to_be_set() {
    let status = status(&[]);
    assert_eq!(status["heap"]["source"], "hooks");
    assert_eq!(status["heap"]["active"], true);
    assert_eq!(status["heap"]["sample_period_bytes"], 524_288);
    assert!(status["heap"]["live_samples"].as_u64().unwrap() > 10);
    let parts = status["heap"]["memory_parts"].as_object().unwrap();
    assert_eq!(parts.values().map(|p| p.as_u64().unwrap()).sum::<u64>(), status["heap"]["memory_bytes"]);
    assert!(parts["live_table_bytes"].as_u64().unwrap() > 0 && parts["unwinder_bytes"].as_u64().unwrap() > 0);
    assert_eq!(status["problems"], serde_json::json!([]));
    assert_eq!(status["config"]["service_name"], "orders");
}

#[test]
fn what_the_host_says_of_itself_is_shown() {
    let status = status_of("host", &[]);
    assert_eq!(status["work_units_total"], 7);
    let sessions = status["declared"].as_array().unwrap().iter().find(|d| d["name"] == "sessions").unwrap();
    assert_eq!((&sessions["cap_bytes"], &sessions["len"]), (&(1 << 20).into(), &2.into()));
    assert_eq!(sessions["capacity"], 8);
    assert!(sessions["site_file"].as_str().unwrap().ends_with("tests/embedding.rs"), "{sessions}");
    assert_eq!(status["declared"].as_array().unwrap().len(), 255, "a cap and a gauge are one");
    let problem = &status["problems"][0];
    assert_eq!(problem["part"], "declared");
    assert!(problem["what"].as_str().unwrap().starts_with("46 "), "{problem}");
}

#[test]
fn the_rate_comes_from_jemallocs_variable_or_ours() {
    assert_eq!(status(&[("_RJEM_MALLOC_CONF", "lg_prof_sample:16")])["heap"]["sample_period_bytes"], 65_536);
    assert_eq!(status(&[("DIAG_SAMPLE_BYTES", "128KiB")])["heap"]["sample_period_bytes"], 131_072);
    let both = [("_RJEM_MALLOC_CONF", "lg_prof_sample:16"), ("DIAG_SAMPLE_BYTES", "1MiB")];
    assert_eq!(status(&both)["heap"]["sample_period_bytes"], 1_048_576);
}

#[test]
fn what_cannot_run_says_why_and_what_to_do() {
    let off = status(&[("_RJEM_MALLOC_CONF", "prof:false")]);
    assert_eq!(off["heap"], serde_json::Value::Null);
    assert!(off["problems"][0]["what"].as_str().unwrap().contains("opt.prof"));
    assert!(off["problems"][0]["next"].as_str().unwrap().contains("prof:true"));
    let disabled = status(&[("DIAG_DISABLE", "1")]);
    assert_eq!(disabled["heap"], serde_json::Value::Null);
    let bad = status(&[("DIAG_SAMPLE_BYTES", "often")]);
    assert!(bad["problems"][0]["what"].as_str().unwrap().contains("DIAG_SAMPLE_BYTES"));
    assert_eq!(bad["heap"]["sample_period_bytes"], 524_288, "a bad value is ignored");
}

#[test]
fn a_job_without_port_leaves_captures() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/there/yet");
    in_child("capture", &[("DIAG_CAPTURE_DIR", path.to_str().unwrap()), ("DIAG_SAMPLE_BYTES", "64KiB")]);
    let mut names: Vec<String> =
        std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let heaps: Vec<_> = names.iter().filter(|n| n.starts_with("heap-") && n.ends_with(".pb.gz")).collect();
    assert!(!heaps.is_empty() && names.iter().any(|n| n.starts_with("memory-")), "{names:?}");
    assert!(names.iter().all(|n| !n.contains(".part")), "{names:?}");
    let last = std::fs::read(path.join(heaps[heaps.len() - 1])).unwrap();
    let profile = diag::profile::pprof::decode(&last).unwrap();
    let in_use = profile.total(profile.sample_type_index("inuse_space").unwrap());
    // The last capture is written when the handle is dropped, while 20 MB are still held; period 64 KiB: error 6 %.
    assert!((15_000_000..35_000_000).contains(&in_use), "{in_use}");
    assert!(profile.find_str("born_at").is_some(), "with ages");
}

#[test]
fn a_full_disk_is_a_problem_in_status_and_nothing_more() {
    let status = status(&[("DIAG_CAPTURE_DIR", "/proc/no/such/place")]);
    assert_eq!(status["heap"]["source"], "hooks");
    assert_eq!(status["captures"]["written"], 0);
}

#[test]
fn without_hooks_the_dump_is_parsed() {
    assert!(in_child("dump", &[]).contains("DUMP prof_dump"));
}

/// jemalloc lets the pages of an arena that nobody uses lie.
#[test]
fn what_a_question_has_freed_goes_back_to_the_kernel() {
    in_child("aftermath", &[("_RJEM_MALLOC_CONF", "dirty_decay_ms:1000")]);
}

#[test]
fn one_a_process_at_a_time() {
    in_child("again", &[]);
}

#[test]
fn the_tables_stay_below_their_cap_and_say_what_they_dropped() {
    in_child("capped", &[]);
}
