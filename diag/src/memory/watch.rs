//! A few numbers, read often: what is charged against the limit, RSS, stalls. Some 5 small files a look; where they are is found anew
//! every few seconds, since limits change and cgroups move.

use std::path::Path;

use super::cgroup;
use super::fields::{self, Fields};
use super::process;
use super::reading::Limit;
use super::source::Source;

const FIND_EVERY_NS: u64 = 5_000_000_000;
const MEMINFO: &str = "/proc/meminfo";

/// What is wanted of a look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// From so many charged bytes on the working set; below it, what is charged is given for it.
    pub(crate) working_set_from_bytes: Option<u64>,
    pub(crate) rss: bool,
    pub(crate) stall: bool,
}

/// What was seen. What is not wanted, or cannot be read, is absent.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Look {
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) charged_bytes: Option<u64>,
    pub(crate) working_set_bytes: Option<u64>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) total_bytes: Option<u64>,
    pub(crate) stall_some_percent: Option<f64>,
    pub(crate) stall_full_percent: Option<f64>,
}

/// Where the numbers are.
#[derive(Debug)]
struct Found {
    at_ns: u64,
    limit_bytes: Option<u64>,
    usage: Option<String>,
    stat: Option<(String, &'static str)>,
    pressure: Option<String>,
    total_bytes: Option<u64>,
}

/// Looks at the memory of this process.
#[derive(Debug)]
pub(crate) struct Watch {
    source: Source,
    found: Option<Found>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self::below(Path::new("/"))
    }

    pub(super) fn below(root: &Path) -> Self {
        Self { source: Source::new(root), found: None }
    }

    /// The limit as it was found last.
    pub(crate) fn limit_bytes(&self) -> Option<u64> {
        self.found.as_ref().and_then(|f| f.limit_bytes)
    }

    pub(crate) fn look(&mut self, now_ns: u64, wanted: &Wanted) -> Look {
        if self.found.as_ref().is_none_or(|f| now_ns.saturating_sub(f.at_ns) >= FIND_EVERY_NS) {
            self.found = Some(find(&self.source, now_ns));
        }
        let Some(found) = &self.found else { return Look::default() };
        let mut look = Look {
            limit_bytes: found.limit_bytes,
            total_bytes: found.total_bytes,
            charged_bytes: found
                .usage
                .as_ref()
                .and_then(|file| fields::number(file, self.source.read(file)).value()),
            ..Look::default()
        };
        look.working_set_bytes =
            wanted.working_set_from_bytes.zip(look.charged_bytes).and_then(|(from, charged)| {
                if charged < from { Some(charged) } else { self.working_set(found, charged) }
            });
        if wanted.rss {
            look.rss_bytes = process::read_rss(&self.source);
        }
        if wanted.stall
            && let Some(file) = &found.pressure
            && let Ok(text) = self.source.read(file)
        {
            let pressure = fields::pressure(file, &text);
            look.stall_some_percent = pressure.some.known().map(|s| s.avg10_percent);
            look.stall_full_percent = pressure.full.known().map(|s| s.avg10_percent);
        }
        look
    }

    fn working_set(&self, found: &Found, charged_bytes: u64) -> Option<u64> {
        let (file, key) = found.stat.as_ref()?;
        let text = self.source.read(file);
        let inactive = Fields::new(file, &text).number(key).value()?;
        Some(charged_bytes.saturating_sub(inactive))
    }
}

fn find(source: &Source, at_ns: u64) -> Found {
    let meminfo = source.read(MEMINFO);
    let total_bytes = Fields::new(MEMINFO, &meminfo).kib("MemTotal").value();
    let cgroup = cgroup::read(source);
    let Some(cgroup) = cgroup.known() else {
        let pressure = Some(cgroup::MACHINE_PRESSURE.to_owned());
        return Found { at_ns, limit_bytes: None, usage: None, stat: None, pressure, total_bytes };
    };
    // Where the cgroup that sets the limit is not to be seen, the own one stands in for it.
    let limiting = cgroup.limited_by.as_ref().and_then(|l| l.directory.as_ref());
    let directory = limiting.unwrap_or(&cgroup.directory);
    let (usage, inactive) = match cgroup.version {
        1 => ("memory.usage_in_bytes", "total_inactive_file"),
        _ => ("memory.current", "inactive_file"),
    };
    let file = |name: &str| format!("{}/{name}", directory.trim_end_matches('/'));
    Found {
        at_ns,
        limit_bytes: cgroup.limit_bytes.value().and_then(Limit::bytes),
        usage: Some(file(usage)),
        stat: Some((file("memory.stat"), inactive)),
        pressure: cgroup.pressure.known().map(|p| p.file.clone()),
        total_bytes,
    }
}
