//! A live process, from the outside in: reach, token, status, environment, samples, names.

use std::time::Duration;

use diag::endpoints;
use diag::profile::units;
use serde_json::Value;

use super::binary::contains;
use super::cpu;
use super::finding::Findings;
use super::profile;
use crate::cli::SymbolArgs;
use crate::clock;
use crate::collect::Collect;
use crate::http::Client;
use crate::load;
use crate::remote::{Remote, Status, identify};
use crate::target::Endpoint;

/// Clocks may differ by this much before it is worth a word.
const CLOCK_DIFFERENCE_NS: i64 = 5_000_000_000;

/// Asks the target, as far as it answers.
pub(super) fn examine(client: &Client, endpoint: &Endpoint, symbols: &SymbolArgs, findings: &mut Findings) {
    let status = match identify(client, endpoint) {
        Ok(Remote::Ours(status)) => Some(status),
        Ok(Remote::Foreign { http_status }) => {
            findings.info(
                "reach",
                format!("it answers HTTP, without diag ({} gave {http_status})", endpoints::API_STATUS),
                "if diag should be there: is diag_server's router merged, and is this its port?",
            );
            None
        }
        Err(e) => {
            let error = e.explain(endpoint, endpoints::API_STATUS, client.has_credentials(endpoint));
            findings.failed("reach", &error);
            return;
        }
    };
    if let Some(status) = &status {
        about(status, endpoint, findings);
        problems(status, findings);
        collector(status, findings);
        cpu::sampler(status, findings);
        environment(status, endpoint, findings);
    }
    heap(client, endpoint, status.is_some(), symbols, findings);
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|s| !s.is_empty())
}

fn about(status: &Status, endpoint: &Endpoint, findings: &mut Findings) {
    let mut what = "it answers".to_owned();
    if let Some(version) = text(&status.0, "/version") {
        what.push_str(&format!(", diag {version}"));
    }
    if let Some(name) = status.service_name() {
        what.push_str(&format!(", service {name}"));
    }
    if let Some(process) = status.process() {
        what.push_str(&format!(", pid {}", process.pid));
    }
    if let Some(program) = text(&status.0, "/executable") {
        what.push_str(&format!(" ({program})"));
    }
    if let Some(s) = status.0.get("uptime_s").and_then(Value::as_f64) {
        what.push_str(&format!(", up {}", units::nanoseconds((s * 1e9) as i64)));
    }
    findings.ok("reach", what);
    let mine = env!("CARGO_PKG_VERSION");
    if let Some(theirs) = text(&status.0, "/version").filter(|v| *v != mine) {
        findings.info("version", format!("the service has diag {theirs}, this is diag-cli {mine}"), "");
    }
    if let Some(now) = status.0.get("now_unix_s").and_then(Value::as_f64) {
        clocks((now * 1e9) as i64, findings);
    }
    if !endpoint.is_loopback() && endpoint.url("").starts_with("http://") && endpoint.credentials().is_some()
    {
        findings.info("auth", "the token crosses the network in the clear", "use https, or a tunnel");
    }
}

fn clocks(theirs_unix_ns: i64, findings: &mut Findings) {
    let difference = theirs_unix_ns.saturating_sub(clock::now_unix_ns());
    if difference.abs() > CLOCK_DIFFERENCE_NS {
        findings.warning(
            "clock",
            format!("the target's clock differs from this one by {}", units::nanoseconds(difference)),
            "times in captures are the target's; synchronize the clocks before comparing across hosts",
        );
    }
}

fn problems(status: &Status, findings: &mut Findings) {
    let list = status.0.get("problems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for problem in list {
        let part = text(problem, "/part").unwrap_or("status");
        let what = text(problem, "/what").unwrap_or("a problem without a text");
        findings.warning(part, what, text(problem, "/next").unwrap_or_default());
    }
}

fn collector(status: &Status, findings: &mut Findings) {
    let Some(heap) = status.0.get("heap").filter(|h| h.is_object()) else {
        let disabled = status.0.pointer("/config/disabled").and_then(Value::as_bool) == Some(true);
        let next = if disabled {
            "DIAG_DISABLE is set: unset it and restart"
        } else {
            "add `#[global_allocator] static ALLOC: diag::Allocator = diag::Allocator;` to the program, or see above"
        };
        findings.error("heap", "the heap collector does not run", next);
        return;
    };
    if heap.get("active").and_then(Value::as_bool) == Some(false) {
        findings.warning(
            "heap",
            "sampling is switched off: new allocations are not seen",
            "switch it on with set_active(true)",
        );
    }
    if text(heap, "/source") == Some("prof_dump") {
        findings.info(
            "heap",
            "it parses jemalloc's dumps: the sample hooks are missing or taken",
            "jemalloc 5.3.1 (tikv-jemallocator 0.7) and no other owner of the hooks give ages and allocation totals",
        );
    }
    let number = |field: &str| status.heap_number(field);
    if let (Some(used), Some(limit)) = (number("memory_bytes"), number("memory_limit_bytes"))
        && limit > 0.0
    {
        let text = format!(
            "the collector holds {} of its {}",
            units::bytes(used as i64),
            units::bytes(limit as i64)
        );
        if used > limit * 0.9 {
            findings.warning("heap", text, "raise the limit, or sample less often: DIAG_SAMPLE_BYTES");
        } else {
            findings.ok("heap", text);
        }
    }
    if let Some(losses) = heap.get("losses").and_then(Value::as_object) {
        for (what, count) in losses.iter().filter(|(_, n)| n.as_u64().is_some_and(|n| n > 0)) {
            findings.warning(
                "losses",
                format!("the collector lost {count} to {what}"),
                "totals are too low by that; a longer sampling period loses less",
            );
        }
    }
}

/// Looks at the environment of a process on this machine for the wrong prefix.
fn environment(status: &Status, endpoint: &Endpoint, findings: &mut Findings) {
    let Some(process) = status.process().filter(|_| endpoint.is_loopback()) else { return };
    let proc_dir = std::path::PathBuf::from(format!("/proc/{}", process.pid));
    // Another user's process, another pid namespace, another system: nothing to see.
    let Ok(variables) = std::fs::read(proc_dir.join("environ")) else { return };
    let value = |name: &str| {
        variables.split(|b| *b == 0).find_map(|v| {
            let (key, value) = v.split_at_checked(name.len())?;
            (key == name.as_bytes() && value.first() == Some(&b'='))
                .then(|| String::from_utf8_lossy(value.get(1..).unwrap_or_default()).into_owned())
        })
    };
    let Ok(program) = std::fs::read(proc_dir.join("exe")) else { return };
    let (right, wrong) = if contains(&program, b"_RJEM_MALLOC_CONF") {
        ("_RJEM_MALLOC_CONF", "MALLOC_CONF")
    } else {
        ("MALLOC_CONF", "_RJEM_MALLOC_CONF")
    };
    match (value(right), value(wrong)) {
        (None, Some(ignored)) => findings.warning(
            "environment",
            format!("{wrong}={ignored} is set, and this program's jemalloc does not read it"),
            format!("rename it to {right} and restart"),
        ),
        (Some(used), _) if used.split(',').any(|o| o.trim() == "prof:false") => findings.error(
            "environment",
            format!("{right}={used} switches profiling off for the life of the process"),
            "remove prof:false and restart",
        ),
        (Some(used), _) => findings.info("environment", format!("{right}={used} is in force"), ""),
        (None, None) => {}
    }
}

fn heap(client: &Client, endpoint: &Endpoint, ours: bool, symbols: &SymbolArgs, findings: &mut Findings) {
    let path = load::profile_path(endpoint, &Collect::Heap, false, false);
    let started = std::time::Instant::now();
    let answer = match load::fetch(client, endpoint, &path) {
        Ok(answer) => answer,
        Err(e) => {
            findings.failed("heap", &e.explain(endpoint, &path, client.has_credentials(endpoint)));
            return;
        }
    };
    let took = started.elapsed();
    let url = endpoint.url(&path);
    let (decoded, format) = match load::decode(&answer.body, &url) {
        Ok(decoded) => decoded,
        Err(e) => return findings.failed("heap", &e),
    };
    findings.ok(
        "heap",
        format!(
            "a profile of {} came in {}",
            units::bytes(i64::try_from(answer.body.len()).unwrap_or(i64::MAX)),
            units::nanoseconds(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
        ),
    );
    if took > Duration::from_secs(5) {
        findings.warning("heap", "that is slow", "scrapers give up after 10 s: is the host overloaded?");
    }
    if !answer.header("content-type").unwrap_or_default().starts_with("application/octet-stream") && ours {
        findings.warning(
            "heap",
            format!("its Content-Type is {}", answer.header("content-type").unwrap_or("missing")),
            "a proxy changes it; some scrapers accept application/octet-stream only",
        );
    }
    if let Some(at) = decoded.meta().time_unix_ns.filter(|_| ours) {
        clocks(at, findings);
    }
    profile::examine(&decoded, format, findings);
    profile::examine_names(decoded, &url, symbols, findings);
}
