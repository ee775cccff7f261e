//! Names for what a trace holds: tasks, and the code of CPU samples.

use super::Diag;
#[cfg(target_os = "linux")]
use crate::profile::{Label, ProfileBuilder, ValueType};
use crate::profile::{LabelValue, Profile, Sample};
use crate::recorder::Trace;

impl Diag {
    /// The trace with names for the tasks of its polls, and for the code of its CPU samples. For the latter this program's object files are
    /// read, as by [`symbolize`](Self::symbolize).
    pub fn symbolize_trace(&self, trace: Trace) -> Trace {
        let trace = crate::tasks::name_polls(trace);
        let addresses = trace.code_addresses();
        if addresses.is_empty() {
            return trace;
        }
        let _unprofiled = crate::Unprofiled::begin();
        let names = code_profile(&addresses).and_then(|profile| self.symbolize(&profile).ok());
        match names {
            Some(profile) => trace.with_code_names(code_names(&profile)),
            None => trace,
        }
    }
}

/// Elsewhere the recorder has no CPU samples.
#[cfg(not(target_os = "linux"))]
fn code_profile(_addresses: &[u64]) -> Option<Profile> {
    None
}

/// A profile in which each address is a sample of its own, labelled with itself.
#[cfg(target_os = "linux")]
fn code_profile(addresses: &[u64]) -> Option<Profile> {
    let code = crate::sys::code::Code::of_process().ok()?;
    code.refresh();
    let mut builder = ProfileBuilder::new(vec![ValueType::new("samples", "count")]);
    let mut mappings = Vec::new();
    for module in &code.modules().list {
        crate::code::add_mappings(&mut builder, module, &mut mappings);
    }
    let (key, none) = (builder.str("address"), builder.str(""));
    for address in addresses {
        let mapping = mappings.iter().find(|(range, _)| range.contains(address)).map(|(_, id)| *id);
        let location = builder.location(mapping, *address, &[]);
        let (stack, value) = (builder.stack(&[location]), LabelValue::Num(*address as i64, none));
        let labels = builder.labels(&[Label { key, value }]);
        builder.sample(stack, labels, &[1]);
    }
    builder.finish().ok()
}

/// The innermost function of each address.
fn code_names(profile: &Profile) -> Vec<(u64, String)> {
    let name = |sample: Sample<'_>| {
        let label = profile.label_set(sample.labels).first()?;
        let LabelValue::Num(address, _) = label.value else { return None };
        let location = profile.location(*profile.stack(sample.stack).first()?);
        let function = profile.function(location.lines.first()?.function);
        Some((address as u64, profile.str(function.name).to_owned()))
    };
    profile.samples().filter_map(name).collect()
}
