//! `/metrics`: Prometheus text, version 0.0.4. What cannot be read is left out, never zero.
//!
//! A scrape reads counters and some files of `/proc`; the leak verdict is one of the last minutes (`verdict`, whose query
//! parameter `verdict=0` leaves it out).

mod process;
mod rules;
mod verdict;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use diag::cpu::CpuStats;
use diag::memory::{Cgroup, Jemalloc, Limit, Process, Reading, Waterline};
use diag::sync::SyncStats;
use diag::{Diag, Status, TaskStats};
use process::ProcessTimes;
use write::Metrics;

use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::listener::turned_away;
use crate::query::Query;

/// Where Prometheus looks first.
pub(crate) const PATH: &str = "/metrics";
/// For hosts whose own metrics are at [`PATH`].
pub(crate) const SECOND_PATH: &str = "/debug/diag/metrics";

pub(crate) async fn text(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let with_verdict = Query::of(&uri)?.flag("verdict", true)?;
    let text = shared.light(move |diag| Ok(collect(diag, with_verdict))).await? + &write_server(&shared);
    Ok(content::answer(content::METRICS, text))
}

/// The metrics as text, for a `/metrics` that the host has already: `wanted` says by name which of them, so that none is there
/// twice. Reads a few files of `/proc`. Without the counters of the routes (`diag_server_*`).
///
/// ```
/// # async fn metrics(own_registry_text: impl Fn() -> String) -> impl axum::response::IntoResponse {
/// let mut text: String = own_registry_text(); // what the service measures itself, process_* among it
/// if let Some(diag) = diag::Diag::running() {
///     text += &diag_server::metrics_text(&diag, |name| !name.starts_with("process_"));
/// }
/// ([("content-type", diag_server::METRICS_CONTENT_TYPE)], text)
/// # }
/// ```
///
/// Take [`Options::without_metrics`](crate::Options::without_metrics) with it: axum panics over two routes of one path.
pub fn metrics_text(diag: &Diag, wanted: impl Fn(&str) -> bool) -> String {
    let _unprofiled = diag::Unprofiled::begin();
    write::keep(&collect(diag, verdict::NAMES.iter().any(|name| wanted(name))), wanted)
}

fn collect(diag: &Diag, with_verdict: bool) -> String {
    let mut metrics = Metrics::default();
    // Scraped every few seconds: without the walk of the page tables.
    let waterline = diag::memory::read_quick();
    if let Some(jemalloc) = waterline.jemalloc.known() {
        write_jemalloc(&mut metrics, jemalloc);
    }
    write_process(&mut metrics, &waterline.process, &ProcessTimes::read());
    write_cgroup(&mut metrics, &waterline);
    write_diag(&mut metrics, &diag.status());
    if with_verdict && let Some(last) = verdict::last(diag) {
        verdict::write(&mut metrics, &last);
    }
    metrics.finish()
}

/// About the routes themselves.
fn write_server(shared: &Shared) -> String {
    let mut metrics = Metrics::default();
    let mut counter = |name, help, value: u64| metrics.counter(name, help, Some(value as f64));
    let limits = &shared.limits;
    counter(
        "diag_server_refused_total",
        "Requests refused because too much was under way or took too long.",
        limits.refused(),
    );
    counter(
        "diag_server_connections_refused_total",
        "Connections that found all places of the own listener taken.",
        turned_away(),
    );
    let panics = limits.panics.load(Ordering::Relaxed);
    counter("diag_server_panics_total", "Requests that ended in a panic, which was caught.", panics);
    metrics.finish()
}

fn write_jemalloc(m: &mut Metrics, j: &Jemalloc) {
    let mut gauge = |name, help, value: &Reading<u64>| m.gauge(name, help, value.value().map(|v| v as f64));
    gauge("jemalloc_allocated_bytes", "Bytes allocated and not freed.", &j.allocated_bytes);
    gauge("jemalloc_active_bytes", "Bytes in pages with allocations.", &j.active_bytes);
    gauge("jemalloc_metadata_bytes", "Bytes of jemalloc's own structures.", &j.metadata_bytes);
    gauge("jemalloc_resident_bytes", "Most bytes that jemalloc has resident.", &j.resident_bytes);
    gauge("jemalloc_mapped_bytes", "Bytes in extents mapped by jemalloc.", &j.mapped_bytes);
    gauge("jemalloc_retained_bytes", "Address space kept for reuse.", &j.retained_bytes);
    gauge("jemalloc_dirty_bytes", "Unused pages not yet returned.", &j.dirty_bytes);
    gauge("jemalloc_muzzy_bytes", "Unused pages returned lazily.", &j.muzzy_bytes);
}

fn write_process(m: &mut Metrics, p: &Process, times: &ProcessTimes) {
    m.counter("process_cpu_seconds_total", "User and system time.", times.cpu_s);
    m.gauge("process_start_time_seconds", "Start of the process, unix time.", times.start_unix_s);
    m.gauge("process_open_fds", "Open file descriptors.", times.open_fds.map(|n| n as f64));
    m.gauge("process_max_fds", "Most file descriptors.", times.max_fds.map(|n| n as f64));
    let mut gauge = |name, help, value: &Reading<u64>| m.gauge(name, help, value.value().map(|v| v as f64));
    gauge("process_resident_memory_bytes", "Resident memory.", &p.rss_bytes);
    gauge("process_virtual_memory_bytes", "Address space.", &p.virtual_bytes);
    gauge("process_threads", "Threads.", &p.threads);
    gauge("process_resident_memory_peak_bytes", "Highest resident memory so far.", &p.rss_peak_bytes);
    gauge("process_anonymous_memory_bytes", "Resident anonymous memory.", &p.anonymous_bytes);
    gauge("process_swap_bytes", "Swapped out.", &p.swap_bytes);
    m.counter(
        "process_major_page_faults_total",
        "Pages that had to be read from a file or from swap.",
        p.major_faults_total.value().map(|n| n as f64),
    );
}

fn write_cgroup(m: &mut Metrics, waterline: &Waterline) {
    let Some(cgroup): Option<&Cgroup> = waterline.cgroup.known() else { return };
    let limit = cgroup.limit_bytes.value().map(|limit| match limit {
        Limit::Bytes(bytes) => bytes as f64,
        Limit::Unlimited => f64::INFINITY,
    });
    let value = |reading: &Reading<u64>| reading.value().map(|v| v as f64);
    m.gauge("diag_cgroup_memory_bytes", "Charged to the cgroup.", value(&cgroup.current_bytes));
    m.gauge("diag_cgroup_memory_peak_bytes", "The highest so far.", value(&cgroup.peak_bytes));
    m.gauge(
        "diag_cgroup_working_set_bytes",
        "The same without inactive file pages.",
        value(&cgroup.working_set_bytes),
    );
    m.gauge("diag_cgroup_limit_bytes", "The limit that applies; +Inf when there is none.", limit);
    m.counter(
        "diag_cgroup_limit_hits_total",
        "How often the limit was about to be exceeded, before reclaim or a kill.",
        value(&cgroup.events.max),
    );
    m.counter(
        "diag_cgroup_oom_kills_total",
        "Processes killed in the cgroup.",
        value(&cgroup.events.oom_kill),
    );
    if let Some(pressure) = cgroup.pressure.known() {
        let seconds = |stall: &Reading<diag::memory::Stall>| stall.known().map(|s| s.total_us as f64 / 1e6);
        m.counter(
            "diag_memory_pressure_some_seconds_total",
            "Time that some task waited for memory.",
            seconds(&pressure.some),
        );
        m.counter(
            "diag_memory_pressure_full_seconds_total",
            "Time that all tasks waited for memory.",
            seconds(&pressure.full),
        );
    }
}

fn write_diag(m: &mut Metrics, status: &Status) {
    m.labelled_gauge("diag_info", "Version of diag.", "version", [(status.version, 1.0)].into_iter());
    if let Some(captures) = &status.captures {
        m.counter("diag_captures_total", "Captures written to files.", Some(captures.written as f64));
        m.counter("diag_capture_failures_total", "Captures that failed.", Some(captures.failed as f64));
    }
    m.gauge("diag_uptime_seconds", "Since diag was started.", Some(status.uptime_s));
    m.gauge("diag_problems", "What does not work as asked; see status.", Some(status.problems.len() as f64));
    m.counter(
        "diag_work_units_total",
        "Requests or jobs, as the host counts them.",
        Some(status.work_units_total as f64),
    );
    m.gauge(
        "diag_heap_up",
        "Whether the heap collector runs.",
        Some(f64::from(u8::from(status.heap.is_some()))),
    );
    if let Some(cpu) = &status.cpu {
        write_cpu(m, cpu);
    }
    if let Some(triggers) = &status.triggers {
        rules::write(m, triggers);
    }
    write_sync(m, &status.sync);
    write_tasks(m, &status.tasks);
    #[cfg(feature = "recorder")]
    if let Some(recorder) = &status.recorder {
        write_recorder(m, recorder);
    }
    let Some(heap) = &status.heap else { return };
    m.gauge(
        "diag_heap_sampling_active",
        "Whether allocations are sampled.",
        Some(f64::from(u8::from(heap.active))),
    );
    m.gauge(
        "diag_heap_sample_period_bytes",
        "Mean bytes between samples.",
        Some(heap.sample_period_bytes as f64),
    );
    m.counter("diag_heap_samples_total", "Samples taken.", Some(heap.samples_total as f64));
    m.gauge("diag_heap_live_samples", "Sampled objects alive.", Some(heap.live_samples as f64));
    m.gauge("diag_heap_stacks", "Distinct call stacks.", Some(heap.stacks as f64));
    m.gauge("diag_heap_memory_bytes", "Memory of the collector itself.", Some(heap.memory_bytes as f64));
    m.gauge(
        "diag_heap_memory_limit_bytes",
        "The bound of that memory.",
        Some(heap.memory_limit_bytes as f64),
    );
    m.labelled_counter(
        "diag_heap_losses_total",
        "What the collector lost, by kind.",
        "what",
        heap.losses.iter().map(|(what, count)| (what.as_str(), *count as f64)),
    );
}

fn write_sync(m: &mut Metrics, sync: &SyncStats) {
    m.gauge(
        "diag_mutex_profile_fraction",
        "One in so many contentions is in the mutex profile; 0: it is off.",
        Some(f64::from(sync.mutex_profile_fraction)),
    );
    m.gauge(
        "diag_block_profile_rate_seconds",
        "Waits of so long are all in the block profile; 0: it is off.",
        Some(sync.block_profile_rate_ns as f64 / 1e9),
    );
    m.labelled_counter(
        "diag_sync_samples_total",
        "Samples in the profiles of contention.",
        "profile",
        [("mutex", sync.mutex_samples_total as f64), ("block", sync.block_samples_total as f64)].into_iter(),
    );
    m.gauge("diag_sync_memory_bytes", "Memory of those profiles.", Some(sync.memory_bytes as f64));
    m.labelled_counter(
        "diag_sync_losses_total",
        "What profiles of contention lost, by kind.",
        "what",
        sync.losses.iter().map(|(what, count)| (what.as_str(), *count as f64)),
    );
}

fn write_tasks(m: &mut Metrics, tasks: &TaskStats) {
    m.gauge("diag_tasks", "Tracked async tasks that are alive.", Some(tasks.live as f64));
    m.counter(
        "diag_tasks_spawned_total",
        "Tracked tasks spawned since the process began.",
        Some(tasks.spawned_total as f64),
    );
    m.counter("diag_tasks_ended_total", "Of them those that are over.", Some(tasks.ended_total as f64));
    m.gauge(
        "diag_tasks_memory_bytes",
        "Memory of the records of tasks, their sites and censuses.",
        Some(tasks.memory_bytes as f64),
    );
}

#[cfg(feature = "recorder")]
fn write_recorder(m: &mut Metrics, recorder: &diag::recorder::RecorderStats) {
    let active = f64::from(u8::from(recorder.active));
    m.gauge("diag_recorder_active", "Whether the flight recorder records.", Some(active));
    m.gauge("diag_recorder_memory_bytes", "Memory of its rings.", Some(recorder.memory_bytes as f64));
    m.counter("diag_recorder_traces_total", "Traces taken.", Some(recorder.traces_total as f64));
    m.labelled_counter(
        "diag_recorder_losses_total",
        "What the flight recorder overwrote or dropped, by kind.",
        "what",
        recorder.losses.iter().map(|(what, count)| (what.as_str(), *count as f64)),
    );
}

fn write_cpu(m: &mut Metrics, cpu: &CpuStats) {
    m.gauge(
        "diag_cpu_recording",
        "Whether a CPU profile is being recorded.",
        Some(f64::from(u8::from(cpu.recording))),
    );
    m.counter("diag_cpu_profiles_total", "CPU profiles recorded.", Some(cpu.profiles_total as f64));
    m.counter("diag_cpu_samples_total", "Samples in them.", Some(cpu.samples_total as f64));
    m.gauge(
        "diag_cpu_accounted_ratio",
        "Of the last CPU profile: CPU time that its samples stood for, of that the kernel charged.",
        cpu.accounted,
    );
    m.gauge("diag_cpu_memory_bytes", "Memory of the CPU sampler itself.", Some(cpu.memory_bytes as f64));
    m.labelled_counter(
        "diag_cpu_losses_total",
        "What CPU profiles lost, by kind.",
        "what",
        cpu.losses.iter().map(|(what, count)| (what.as_str(), *count as f64)),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Names in code, not in its tests, and names in the table.
    #[test]
    fn the_table_of_metrics_is_complete() {
        let sources = [
            include_str!("mod.rs"),
            include_str!("process.rs"),
            include_str!("rules.rs"),
            include_str!("verdict.rs"),
        ];
        let is_name = |text: &&str| {
            let ours = ["diag_", "jemalloc_", "process_"].iter().any(|prefix| text.starts_with(prefix));
            ours && !text.ends_with('_') && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let code = sources.iter().filter_map(|source| source.split("#[cfg(test)]").next());
        let written: BTreeSet<&str> = code.flat_map(|code| code.split('"')).filter(is_name).collect();
        let table: BTreeSet<&str> =
            include_str!("../../docs/metrics.md").split('`').filter(is_name).collect();
        assert!(written.len() > 60, "{written:?}");
        assert_eq!(written, table);
    }
}
