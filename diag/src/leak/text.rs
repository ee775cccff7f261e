//! The verdict for people.

use std::fmt;

use super::{Report, Suspect, SuspectVerdict, Verdict};
use crate::printable::printable;
use crate::profile::frames::{FrameClass, ShownFrame, classify_in};
use crate::profile::units;

/// Frames shown of a suspect's stack.
const FRAMES: usize = 12;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        write!(f, "watched {}", seconds(self.watched_s))?;
        if self.window_s > 0.0 {
            write!(f, ", judged on the last {}", seconds(self.window_s))?;
        }
        if self.maturity_s > 0.0 {
            write!(f, "; objects count from an age of {}", seconds(self.maturity_s))?;
        }
        writeln!(f, "; {} in use", units::bytes(self.live_bytes))?;
        for reason in &self.reasons {
            writeln!(f, "- {}", printable(reason))?;
        }
        for suspect in &self.suspects {
            writeln!(f)?;
            self.suspect(f, suspect)?;
        }
        for task in &self.tasks {
            writeln!(f)?;
            let what = if task.leak { "leak of tasks" } else { task.verdict.as_str() };
            let what = printable(&what.replace('_', " "));
            writeln!(f, "tasks, {what}: {} at {}", printable(&task.task), printable(&task.site))?;
            writeln!(f, "   {}", printable(&task.reason))?;
        }
        writeln!(f)?;
        for limit in self.limits() {
            writeln!(f, "{limit}")?;
        }
        if !self.losses.is_empty() {
            let losses: Vec<String> =
                self.losses.iter().map(|(what, n)| format!("{} {n}", printable(what))).collect();
            writeln!(f, "Lost: {}.", losses.join(", "))?;
        }
        for next in &self.next {
            writeln!(f, "next: {}", printable(next))?;
        }
        Ok(())
    }
}

impl fmt::Display for SuspectVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leak => "leak",
            Self::UnboundedSoFar => "unbounded so far",
            Self::Saturating => "saturating",
        })
    }
}

impl Report {
    /// The verdict in one sentence, without a full stop.
    pub fn headline(&self) -> String {
        let leaks = self.suspects.iter().filter(|s| s.verdict == SuspectVerdict::Leak).count();
        let tasks = self.tasks.iter().filter(|task| task.leak).count();
        match self.verdict {
            Verdict::Leak if leaks == 0 && tasks == 1 => "LEAK: tasks of one site never end".to_owned(),
            Verdict::Leak if leaks == 0 && tasks > 1 => format!("LEAK: tasks of {tasks} sites never end"),
            Verdict::Leak if leaks == 1 => "LEAK: memory of one site grows without bound".to_owned(),
            Verdict::Leak => format!("LEAK: memory of {leaks} sites grows without bound"),
            Verdict::NoLeak => "no leak found".to_owned(),
            Verdict::NotEnoughEvidence => "not enough evidence for a verdict".to_owned(),
        }
    }

    /// What could have been found and what not, a sentence each.
    pub fn limits(&self) -> Vec<String> {
        let found = (self.minimum_detectable_bytes_per_hour > 0.0).then(|| {
            format!(
                "A leak of {} or more in one place, of objects that live on, is found in 95 of 100 such watches (one sample in {}); a slower one takes \
                 a longer watch or a smaller sampling period.",
                units::per_hour(self.minimum_detectable_bytes_per_hour, "bytes"),
                units::bytes(i64::try_from(self.sampling_period_bytes).unwrap_or(i64::MAX))
            )
        });
        let not_seen = "Not seen: memory that does not come from the allocator, and caches that fill for longer than was \
                        watched look like leaks until they are full.";
        found.into_iter().chain([not_seen.to_owned()]).collect()
    }

    fn suspect(&self, f: &mut fmt::Formatter<'_>, s: &Suspect) -> fmt::Result {
        writeln!(f, "{}. {}: {}", s.rank, s.verdict, printable(&s.site))?;
        write!(
            f,
            "   grows {}{} (at least {})",
            if s.doublings.is_some() { "about " } else { "" },
            units::per_hour(s.bytes_per_hour, "bytes"),
            units::per_hour(s.bytes_per_hour_low, "bytes")
        )?;
        if let Some(each) = s.bytes_per_work_unit {
            write!(f, ", {} a unit of work", units::bytes(each.round() as i64))?;
        }
        writeln!(
            f,
            "\n   holds {} in {} objects, half of it older than {}, born in {} of 16 epochs",
            units::bytes(s.live_bytes),
            units::count(s.live_objects),
            seconds(s.age_p50_s),
            s.generations
        )?;
        writeln!(f, "   evidence: {}", printable(&s.evidence))?;
        if !s.labels.is_empty() {
            let labels: Vec<String> = s.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            writeln!(f, "   mostly under {}", printable(&labels.join(", ")))?;
        }
        if let Some(left) = s.seconds_to_limit {
            writeln!(f, "   at this rate the memory limit is reached in {}", seconds(left))?;
        }
        self.stack(f, &s.frames)
    }

    /// The user's frames, and the innermost frame of whoever they called; runtimes further out are left out.
    fn stack(&self, f: &mut fmt::Formatter<'_>, frames: &[ShownFrame]) -> fmt::Result {
        let own = |frame: &&ShownFrame| {
            matches!(classify_in(&frame.function, &frame.file), FrameClass::User | FrameClass::Dependency)
        };
        let first_own = frames.iter().position(|frame| own(&frame)).unwrap_or(0);
        let called = first_own.checked_sub(1).and_then(|at| frames.get(at));
        let shown: Vec<&ShownFrame> =
            called.into_iter().chain(frames.iter().skip(first_own).filter(own)).take(FRAMES).collect();
        let shown = if shown.is_empty() { frames.iter().take(FRAMES).collect() } else { shown };
        for frame in &shown {
            let place = match (printable(short(&frame.file)).as_str(), frame.line) {
                ("", _) => String::new(),
                (file, 0) => format!("  {file}"),
                (file, line) => format!("  {file}:{line}"),
            };
            writeln!(f, "     {}{place}", printable(&frame.function))?;
        }
        match frames.len().saturating_sub(shown.len()) {
            0 => Ok(()),
            more => writeln!(f, "     ({more} more frames, of the standard library and the runtime)"),
        }
    }
}

/// The part of a path that says which crate and file: from the folder above `src` on.
fn short(file: &str) -> &str {
    let Some(source) = file.rfind("/src/") else { return file };
    let above = file.get(..source).and_then(|path| path.rfind('/')).map_or(0, |slash| slash + 1);
    file.get(above..).unwrap_or(file)
}

fn seconds(s: f64) -> String {
    match s {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
