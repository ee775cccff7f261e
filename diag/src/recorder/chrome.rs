//! A [`Trace`] in Chrome's trace-event format, which ui.perfetto.dev, chrome://tracing and speedscope open. Pure.
//!
//! - complete events (`X`): spans, on the track of their thread, with their fields; polls, on a track beside it;
//! - instants (`i`, of a thread): events, with their fields; the message is the name. CPU samples, if a CPU profile was recorded
//!   meanwhile, by the name of the innermost function, with their stack;
//! - counters (`C`); metadata (`M`): names and order of the tracks;
//! - `otherData`: when the window began (UTC), of which process, what was lost.
//!
//! `ts` and `dur` are microseconds, to the nanosecond, since the window began. Fields keep their names; what the recorder adds to them
//! begins with `@`. Slices that are not whole say so: `@began` and `@end`. All text goes through serde_json, so that no name can
//! end a string. Events are in the order of time by track; of two slices that begin together the outer one is first.
//!
//! Source: Trace Event Format (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU), and Perfetto's importer.

use std::io::Write as _;

use serde_json::json;

use super::draw::KERNEL_THREADS;
use super::fields::{MESSAGE, Value};
use super::trace::{Ends, Told, Trace};
use crate::sys::clock::{Utc, utc};

/// What is added to numbers of threads for the track of their polls.
const POLLS: u32 = 2 * KERNEL_THREADS;
/// More than any event takes besides its texts.
const EVENT_BYTES: usize = 220;

impl Trace {
    /// As text, whole.
    #[must_use]
    pub fn to_chrome_json(&self) -> Vec<u8> {
        self.to_chrome_json_at_most(usize::MAX)
    }

    /// As text of about so many bytes at the most: what happened first is left out for that, and `otherData` says since when it
    /// is whole.
    #[must_use]
    pub fn to_chrome_json_at_most(&self, most_bytes: usize) -> Vec<u8> {
        let from_ns = self.fits_from(most_bytes);
        let mut out = Writer { trace: self, json: Vec::new(), first: true };
        out.head(from_ns);
        for position in 0..self.threads.len() {
            out.names(position);
        }
        out.slices(from_ns);
        out.polls(from_ns);
        out.events(from_ns);
        out.samples(from_ns);
        for reading in &self.counters {
            out.event("C", reading.counter.name(), "memory", reading.at_ns, None, 0);
            out.raw(&format!(",\"args\":{{\"bytes\":{}}}}}", reading.value));
        }
        out.raw("\n]}\n");
        out.json
    }

    /// The moment from which on everything fits.
    fn fits_from(&self, most_bytes: usize) -> u64 {
        let of_fields = |fields: &[(&str, Value)]| -> usize {
            let text = |value: &Value| if let Value::Text(text) = value { text.len() } else { 20 };
            fields.iter().map(|(name, value)| name.len() + text(value) + 8).sum()
        };
        let of_site = |site: Option<u32>| {
            self.site(site).map_or(20, |s| s.name.len() + s.target.len() + s.file.len() + 10)
        };
        let of_span: Vec<usize> =
            self.spans.iter().map(|s| EVENT_BYTES + of_site(s.site) + of_fields(&s.fields)).collect();
        let slices =
            self.slices.iter().map(|s| (s.end_ns, of_span.get(s.span as usize).copied().unwrap_or(0)));
        let polls = self.polls.iter().map(|p| (p.end_ns, EVENT_BYTES));
        let events =
            self.events.iter().map(|e| (e.at_ns, EVENT_BYTES + of_site(e.site) + of_fields(&e.fields)));
        let samples = self.samples.iter().map(|s| (s.at_ns, EVENT_BYTES + 60 * s.frames.len()));
        let mut all: Vec<(u64, usize)> = slices.chain(polls).chain(events).chain(samples).collect();
        let total: usize = all.iter().map(|(_, bytes)| bytes).sum();
        if total <= most_bytes {
            return 0;
        }
        all.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut room = most_bytes;
        let first_without = all.into_iter().find(|(_, bytes)| match room.checked_sub(*bytes) {
            Some(rest) => {
                room = rest;
                false
            }
            None => true,
        });
        first_without.map_or(0, |(at, _)| at + 1)
    }
}

struct Writer<'a> {
    trace: &'a Trace,
    json: Vec<u8>,
    first: bool,
}

impl Writer<'_> {
    fn raw(&mut self, text: &str) {
        self.json.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        // Writing to a Vec does not fail, nor does a text.
        let _ = serde_json::to_writer(&mut self.json, text);
    }

    fn head(&mut self, from_ns: u64) {
        let trace = self.trace;
        let losses: serde_json::Map<_, _> =
            trace.losses.iter().map(|(what, count)| ((*what).to_owned(), json!(count))).collect();
        let whole_from_ns = from_ns.max(trace.missing_ns);
        let about = json!({
            "schema": "diag.trace/1",
            "began_at": iso_8601(trace.began_unix_ns),
            "seconds": trace.length_ns as f64 / 1e9,
            "whole_from_seconds": whole_from_ns as f64 / 1e9,
            "service": trace.service_name,
            "pid": trace.pid,
            "losses": losses,
        });
        self.raw("{\"displayTimeUnit\":\"ns\",\"otherData\":");
        let _ = serde_json::to_writer(&mut self.json, &about);
        self.raw(",\"traceEvents\":[");
        let process = if trace.service_name.is_empty() { "process" } else { trace.service_name.as_str() };
        self.metadata(0, "process_name", &json!({ "name": process }));
    }

    fn metadata(&mut self, thread: u32, what: &str, args: &serde_json::Value) {
        self.comma();
        let pid = self.trace.pid;
        self.raw(&format!(
            "{{\"ph\":\"M\",\"pid\":{pid},\"tid\":{thread},\"ts\":0,\"name\":\"{what}\",\"args\":"
        ));
        let _ = serde_json::to_writer(&mut self.json, args);
        self.raw("}");
    }

    /// Names and places of a thread's tracks.
    fn names(&mut self, position: usize) {
        let Some(thread) = self.trace.threads.get(position) else { return };
        let name = if thread.name.is_empty() { "(thread)" } else { thread.name.as_str() };
        self.metadata(thread.id, "thread_name", &json!({ "name": name }));
        self.metadata(thread.id, "thread_sort_index", &json!({ "sort_index": 2 * position + 1 }));
        if self.trace.polls.iter().any(|poll| poll.thread as usize == position) {
            let polls = POLLS.wrapping_add(thread.id);
            self.metadata(polls, "thread_name", &json!({ "name": format!("polls of {name}") }));
            self.metadata(polls, "thread_sort_index", &json!({ "sort_index": 2 * position }));
        }
    }

    fn comma(&mut self) {
        let is_first = std::mem::take(&mut self.first);
        self.raw(if is_first { "\n" } else { ",\n" });
    }

    /// An event up to its arguments.
    fn event(
        &mut self,
        phase: &str,
        name: &str,
        category: &str,
        at_ns: u64,
        length_ns: Option<u64>,
        thread: u32,
    ) {
        self.comma();
        self.raw("{\"ph\":\"");
        self.raw(phase);
        self.raw("\",\"name\":");
        self.string(name);
        self.raw(",\"cat\":");
        self.string(category);
        let _ = write!(self.json, ",\"pid\":{},\"tid\":{thread},\"ts\":", self.trace.pid);
        self.microseconds(at_ns);
        if let Some(length_ns) = length_ns {
            self.raw(",\"dur\":");
            self.microseconds(length_ns);
        }
    }

    fn microseconds(&mut self, ns: u64) {
        let _ = write!(self.json, "{}.{:03}", ns / 1_000, ns % 1_000);
    }

    fn thread(&self, position: u32) -> u32 {
        self.trace.threads.get(position as usize).map_or(0, |thread| thread.id)
    }

    fn slices(&mut self, from_ns: u64) {
        for slice in self.trace.slices.iter().filter(|s| s.end_ns >= from_ns) {
            let Some(span) = self.trace.spans.get(slice.span as usize) else { continue };
            let site = self.trace.site(span.site);
            let length = slice.end_ns.saturating_sub(slice.begin_ns);
            let (name, target) = (self.trace.span_name(span), site.map_or("", |s| s.target));
            self.event("X", name, target, slice.begin_ns, Some(length), self.thread(slice.thread));
            self.raw(",\"args\":{");
            for (field, value) in &span.fields {
                self.argument(field, value);
            }
            self.place(span.site);
            self.ends(slice.ends);
            if slice.task > 0 {
                let _ = write!(self.json, "\"@task\":{},", slice.task);
            }
            let _ = write!(self.json, "\"@span\":\"{:#x}\"}}}}", span.id);
        }
    }

    fn polls(&mut self, from_ns: u64) {
        for poll in self.trace.polls.iter().filter(|p| p.end_ns >= from_ns) {
            let length = poll.end_ns.saturating_sub(poll.begin_ns);
            let thread = POLLS.wrapping_add(self.thread(poll.thread));
            let site = self.trace.task_site(poll);
            let name = site.map_or_else(|| format!("task {}", poll.task), |(name, _)| name.clone());
            self.event("X", &name, "poll", poll.begin_ns, Some(length), thread);
            self.raw(",\"args\":{");
            if let Some((_, at)) = site {
                self.raw("\"@spawned_at\":");
                self.string(at);
                self.raw(",");
            }
            self.ends(poll.ends);
            let _ = write!(self.json, "\"@task\":{}}}}}", poll.task);
        }
    }

    fn events(&mut self, from_ns: u64) {
        for told in self.trace.events.iter().filter(|e| e.at_ns >= from_ns) {
            let site = self.trace.site(told.site);
            let (name, target) =
                (title(told, site.map_or("event", |s| s.name)), site.map_or("", |s| s.target));
            self.event("i", &name, target, told.at_ns, None, self.thread(told.thread));
            self.raw(",\"s\":\"t\",\"args\":{");
            for (field, value) in told.fields.iter().filter(|(name, _)| *name != MESSAGE) {
                self.argument(field, value);
            }
            self.place(told.site);
            if told.task > 0 {
                let _ = write!(self.json, "\"@task\":{},", told.task);
            }
            let _ = write!(self.json, "\"@span\":\"{:#x}\"}}}}", told.in_span);
        }
    }

    fn samples(&mut self, from_ns: u64) {
        for sample in self.trace.samples.iter().filter(|s| s.at_ns >= from_ns) {
            let stack: Vec<String> = sample.frames.iter().map(|at| self.trace.code_name(*at)).collect();
            let name = stack.first().map_or("CPU sample", String::as_str);
            self.event("i", name, "CPU sample", sample.at_ns, None, self.thread(sample.thread));
            self.raw(",\"s\":\"t\",\"args\":{\"@stack\":");
            let _ = serde_json::to_writer(&mut self.json, &stack);
            self.raw("}}");
        }
    }

    /// A field, with a comma behind it.
    fn argument(&mut self, name: &str, value: &Value) {
        self.string(name);
        self.raw(":");
        let _ = match value {
            Value::F64(v) if v.is_finite() => serde_json::to_writer(&mut self.json, v),
            Value::F64(v) => serde_json::to_writer(&mut self.json, &v.to_string()),
            Value::U64(v) => serde_json::to_writer(&mut self.json, v),
            Value::I64(v) => serde_json::to_writer(&mut self.json, v),
            Value::Bool(v) => serde_json::to_writer(&mut self.json, v),
            Value::Text(v) => serde_json::to_writer(&mut self.json, v),
        };
        self.raw(",");
    }

    /// Level, file and line, with a comma behind them.
    fn place(&mut self, site: Option<u32>) {
        let Some(site) = self.trace.site(site) else { return };
        let _ = write!(self.json, "\"@level\":\"{}\",\"@at\":", site.level);
        self.string(&format!("{}:{}", site.file, site.line));
        self.raw(",");
    }

    fn ends(&mut self, ends: Ends) {
        if ends.began_before {
            self.raw("\"@began\":\"before\",");
        } else if ends.continued {
            self.raw("\"@began\":\"continued\",");
        }
        if ends.end_unknown {
            self.raw("\"@end\":\"unknown\",");
        }
    }
}

/// The message of an event, or what `tracing` calls it.
fn title(told: &Told, name: &str) -> String {
    let message = told.fields.iter().find(|(field, _)| *field == MESSAGE).map(|(_, value)| value.to_string());
    message.filter(|text| !text.is_empty()).unwrap_or_else(|| name.to_owned())
}

/// `2026-11-29T18:43:01.123456789Z`.
fn iso_8601(unix_ns: u64) -> String {
    let Utc { year, month, day, hour, minute, second } = utc(unix_ns);
    let ns = unix_ns % 1_000_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}
