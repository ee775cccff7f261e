//! The triage for a person.

use std::fmt;

use super::words::{change, label, scope_name, seconds};
use super::{Basis, Part, Scope, Triage};
use crate::memory::text::mib;
use crate::printable::printable;

const NAME_WIDTH: usize = 28;
const MOST_HOLDERS: usize = 5;
/// What would be printed as 0.0 MiB is left out.
const LEAST_SHOWN_BYTES: u64 = (1 << 20) / 20;

impl fmt::Display for Triage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_value(self.verdict).ok();
        let word = word.as_ref().and_then(|v| v.as_str()).unwrap_or("?");
        let by = match self.basis {
            Basis::Growth => " (it grows)",
            Basis::Level => " (it is large, not growing now)",
            Basis::Nothing => "",
        };
        writeln!(f, "verdict: {word}{by}")?;
        writeln!(f, "  {}", printable(&self.evidence))?;
        writeln!(f, "  that means: {}\n", self.verdict.meaning())?;
        self.parts_table(f)?;
        self.size_class_table(f)?;
        if let Some(s) = &self.sampled {
            let agrees = match self.sampled_agrees {
                Some(true) => ", which agrees with jemalloc",
                Some(false) => ", which does not agree with jemalloc",
                None => "",
            };
            let ends = (mib(s.low_bytes.unsigned_abs()), mib(s.high_bytes.unsigned_abs()));
            writeln!(
                f,
                "\nthe heap profile finds {} live ({} to {}){agrees}",
                mib(s.bytes.unsigned_abs()),
                ends.0,
                ends.1
            )?;
        }
        for (title, lines) in [("notes", &self.notes), ("missing", &self.missing)] {
            if !lines.is_empty() {
                writeln!(f, "\n{title}")?;
            }
            for line in lines {
                writeln!(f, "  {}", printable(line))?;
            }
        }
        if !self.next.is_empty() {
            writeln!(f, "\nnext")?;
        }
        for command in &self.next {
            writeln!(f, "  {}", printable(command))?;
        }
        Ok(())
    }
}

impl Triage {
    fn parts_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total_bytes.value();
        let name = match self.scope {
            Scope::Process => "RSS of the process",
            Scope::Cgroup => "charged to the cgroup",
        };
        let grown = format!("in {}", seconds(self.watched_s));
        writeln!(f, "{:NAME_WIDTH$}{:>14}{:>9}{grown:>14}", "", "bytes", "share")?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, bytes: i64, growth: Option<i64>, detail: &str| {
            let sign = if bytes < 0 { "-" } else { "" };
            let size = format!("{sign}{}", mib(bytes.unsigned_abs()));
            let share = total
                .filter(|t| *t > 0)
                .map_or_else(String::new, |t| format!("{:.1} %", bytes as f64 * 100.0 / t as f64));
            let growth = growth.map_or_else(|| "?".to_owned(), change);
            let detail = if detail.is_empty() { String::new() } else { format!("  {}", printable(detail)) };
            writeln!(f, "{name:NAME_WIDTH$}{size:>14}{share:>9}{growth:>14}{detail}")
        };
        match total {
            Some(bytes) => line(f, name, super::parts::signed(bytes), self.total_growth_bytes, "")?,
            None => writeln!(f, "{name:NAME_WIDTH$}{:>14}", "missing")?,
        }
        let told = |bytes: i64| bytes.unsigned_abs() >= LEAST_SHOWN_BYTES;
        let shown = |p: &&Part| told(p.bytes) || p.growth_bytes.is_none_or(told);
        for part in self.parts.iter().filter(shown) {
            line(f, &format!("  {}", label(part.name)), part.bytes, part.growth_bytes, &part.detail)?;
        }
        if total.is_some() {
            let why = if self.unexplained_bytes < 0 { "the parts count more than the total" } else { "" };
            line(f, "  unexplained", self.unexplained_bytes, self.unexplained_growth_bytes, why)?;
        }
        if self.total_growth_bytes.is_none() {
            writeln!(f, "the growth of {} is not known", scope_name(self.scope))?;
        }
        Ok(())
    }

    fn size_class_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.size_classes.is_empty() {
            writeln!(f, "\nfree room in slabs, by size class")?;
        }
        for c in &self.size_classes {
            writeln!(
                f,
                "  {:>6} B {:>14} free, {:>3.0} % in use, {} since the first reading",
                c.size_bytes,
                mib(c.wasted_bytes),
                c.utilization * 100.0,
                c.growth_bytes.map_or_else(|| "?".to_owned(), change)
            )?;
        }
        if !self.holders.is_empty() {
            writeln!(f, "\nobjects of these sizes from before the first reading: they hold the slabs")?;
        }
        for h in self.holders.iter().take(MOST_HOLDERS) {
            let about = format!("about {} objects", h.objects);
            writeln!(
                f,
                "  {:>6} B {about:>24}, half of them older than {}: {}",
                h.size_bytes,
                seconds(h.age_p50_s),
                printable(&h.site)
            )?;
        }
        Ok(())
    }
}
