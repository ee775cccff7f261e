//! CPU profiles by the `pprof` crate, where diag's own sampler does not run.
//!
//! One timer for the process (setitimer), at most CONFIG_HZ signals a second; it names functions itself and keeps no
//! addresses. A sample that meets another one is lost uncounted, so the nanoseconds are a lower bound: its own count times the
//! period. It owns SIGPROF while it runs, as diag's sampler does: one recording at a time keeps them apart.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::CpuError;
use super::ladder::Choice;
use super::recording::Control;
use crate::profile::{Function, Label, LabelValue, Line, Period, Profile, ProfileBuilder, StrId, ValueType};

/// Records until it is told to end; gives the profile and its number of samples.
pub(super) fn record(choice: &Choice, hz: u32, control: &Control) -> Result<(Profile, u64), CpuError> {
    let failed = |e: pprof::Error| CpuError::Failed { why: format!("the pprof crate: {e}") };
    let rate = i32::try_from(hz).unwrap_or(i32::MAX);
    let guard = pprof::ProfilerGuardBuilder::default().frequency(rate).build().map_err(failed)?;
    let began = Instant::now();
    control.begun();
    while !control.wait(Duration::from_millis(100)) {}
    let report = guard.report().build().map_err(failed)?;
    let length = began.elapsed();
    drop(guard);
    Ok((convert(&report, choice, hz, length)?, report.data.values().map(|n| (*n).max(0) as u64).sum()))
}

fn convert(report: &pprof::Report, choice: &Choice, hz: u32, length: Duration) -> Result<Profile, CpuError> {
    let period_ns = 1_000_000_000 / i64::from(hz);
    let types = vec![ValueType::new("samples", "count"), ValueType::new("cpu", "nanoseconds")];
    let mut builder = ProfileBuilder::new(types);
    let thread_key = builder.str("thread");
    for (frames, count) in &report.data {
        let mut stack = Vec::new();
        for inlined in &frames.frames {
            // All functions inlined at one address, innermost first.
            let lines: Vec<Line> = inlined
                .iter()
                .map(|symbol| {
                    let name = symbol.name();
                    let system_name = symbol.sys_name();
                    let file = symbol.filename();
                    let function = Function {
                        name: builder.str(&name),
                        system_name: if name == system_name {
                            StrId::EMPTY
                        } else {
                            builder.str(&system_name)
                        },
                        file: builder.str(&file),
                        start_line: 0,
                    };
                    Line { function: builder.function(function), line: i64::from(symbol.lineno()) }
                })
                .collect();
            stack.push(builder.location(None, 0, &lines));
        }
        let stack = builder.stack(&stack);
        let thread = builder.str(&frames.thread_name_or_id());
        let labels = builder.labels(&[Label { key: thread_key, value: LabelValue::Str(thread) }]);
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        builder.sample(stack, labels, &[count, count.saturating_mul(period_ns)]);
    }
    let meta = builder.meta_mut();
    meta.default_sample_type = Some(1);
    meta.period = Some(Period { value_type: ValueType::new("cpu", "nanoseconds"), value: period_ns });
    meta.time_unix_ns =
        SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|t| i64::try_from(t.as_nanos()).ok());
    meta.duration_ns = i64::try_from(length.as_nanos()).ok();
    meta.comments.push(format!("cpu_source=pprof_crate: {}", choice.why));
    meta.comments.push(
        "samples that met another one are lost uncounted; the nanoseconds are a lower bound".to_owned(),
    );
    Ok(builder.finish()?)
}
