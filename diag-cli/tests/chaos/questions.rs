//! The command, one verb after another, and what it may say.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::random::Random;
use super::service::Service;
use crate::common::{Run, command, finish};

const VERBS: [&str; 10] = [
    "leaks",
    "own leaks",
    "pulled leaks",
    "own captures",
    "top",
    "cpu",
    "flamegraph",
    "triage",
    "tasks",
    "watch",
];

/// Asks until the end.
pub fn go_on(service: &Service, random: &mut Random, until: Instant, over: &AtomicBool) {
    while Instant::now() < until && !over.load(Ordering::SeqCst) {
        ask(service, random.of(&VERBS));
        std::thread::sleep(random.between_ms(10, 300));
    }
}

fn ask(service: &Service, verb: &str) {
    let (target, own) = (service.address.as_str(), service.own.to_str().unwrap());
    let (pulled, svg) = (service.pulled.to_str().unwrap(), service.scratch.join("flame.svg"));
    let words: Vec<&str> = match verb {
        "leaks" => vec!["leaks", target, "--watch", "2s", "--format", "json"],
        "own leaks" => vec!["leaks", own, "--format", "json"],
        "pulled leaks" => vec!["leaks", pulled, "--format", "json"],
        "own captures" => vec!["captures", own, "--format", "json"],
        "top" => vec!["top", target],
        "cpu" => vec!["top", target, "--kind", "cpu", "--cpu-seconds", "1s"],
        "flamegraph" => vec!["flamegraph", target, "-o", svg.to_str().unwrap()],
        "triage" => vec!["triage", target, "--watch", "1s", "--format", "json"],
        "tasks" => vec!["tasks", target, "--format", "json"],
        _ => vec!["watch", target, "--once", "--after", "1s"],
    };
    let _ = fs::remove_file(&svg);
    let from = Instant::now();
    let mut asked = command(&service.scratch);
    asked.args(["--quiet", "--timeout", "15s"]).args(&words);
    let run = finish(asked, &[]);
    let about_files = verb.starts_with("own") || verb.starts_with("pulled");
    // Of files there may be too few.
    let may_fail = about_files || !service.was_left_alone(from);
    service.count(if run.code == 3 { "answers that it failed" } else { "answers" });
    if !may_fail {
        service.count("undisturbed");
    }
    is_true(service, &words, &run, may_fail);
    match run.code {
        3 => assert!(!svg.exists(), "a picture of nothing"),
        _ if verb == "flamegraph" => drop(roxmltree_of(&svg)),
        _ => {}
    }
}

/// A picture that is there is whole.
fn roxmltree_of(svg: &Path) -> usize {
    let text = fs::read_to_string(svg).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(&text, options)
        .unwrap_or_else(|e| panic!("{e}: {text}"))
        .descendants()
        .count()
}

fn is_true(service: &Service, words: &[&str], run: &Run, may_fail: bool) {
    let shown =
        || format!("{words:?} of {}: {}\n{}{}", service.plan.program, run.code, run.stdout, run.stderr);
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("RUST_BACKTRACE"), "{}", shown());
    if run.code == 3 {
        assert!(may_fail, "nothing was wrong: {}", shown());
        let errors: Vec<&str> =
            run.stderr.lines().filter(|l| !l.starts_with("diag-cli: warning: ")).collect();
        assert!(
            matches!(errors.as_slice(), [line] if line.starts_with("diag-cli: error: ") && line.len() > 40),
            "{}",
            shown()
        );
        assert_eq!(run.stdout, "", "{}", shown());
        return;
    }
    assert!(matches!(run.code, 0 | 1), "{}", shown());
    assert!(run.stdout.len() > 20 || words.contains(&"flamegraph"), "{}", shown());
    if !words.contains(&"json") {
        return;
    }
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", shown()));
    if words[0] == "leaks" {
        let verdict = answer["verdict"].as_str().unwrap_or_default();
        service.count(verdict);
        assert_eq!(run.code == 1, verdict == "leak", "{}", shown());
        let false_one = if service.plan.leaks { "no_leak" } else { "leak" };
        assert_ne!(verdict, false_one, "{}", shown());
        if service.plan.leaks && verdict == "leak" {
            let site = answer["suspects"][0]["site"].as_str().unwrap_or_default();
            assert!(site.contains("SessionStore::remember"), "{}", shown());
        }
    }
}

/// `capture` without an end. When it gives up it says why, and is started again.
pub fn capture(service: &Service, until: Instant, over: &AtomicBool) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    while Instant::now() < until && !over.load(Ordering::SeqCst) {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let said = service.scratch.join(format!("capture-{number}.log"));
        let mut asked = command(&service.scratch);
        asked
            .args(["--quiet", "--timeout", "15s", "capture", &service.address, "--every", "1s", "-o"])
            .arg(&service.pulled);
        let log = fs::File::create(&said).unwrap();
        let mut child = asked.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() >= until || over.load(Ordering::SeqCst) {
                break interrupt(&mut child);
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let stderr = fs::read_to_string(&said).unwrap();
        // 130: interrupted before the first capture.
        assert!(matches!(code, Some(0 | 3 | 130)), "capture: {code:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        if code == Some(3) {
            service.count("captures that gave up");
            assert!(stderr.lines().count() == 1 && stderr.starts_with("diag-cli: error: "), "{stderr}");
            std::thread::sleep(Duration::from_millis(500));
        }
        let _ = fs::remove_file(said);
    }
}

/// As Ctrl-C does.
fn interrupt(child: &mut Child) -> Option<i32> {
    let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    crate::common::wait(child, Duration::from_secs(60)).code()
}
