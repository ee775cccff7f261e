//! Which files a report is made of, and which are left out and why.

use std::path::Path;

use diag::profile::cohorts::process_started_ns;
use diag::tasks::TasksReport;

use super::waterline::Reading;
use crate::captures::{self, Capture, Process};
use crate::clock;
use crate::error::{Error, Result};
use crate::load::{self, Loaded, Loader, spread};
use crate::target::Target;
use crate::view::refuse_time;

/// Captures of a directory that are read, evenly spread.
const MOST_CAPTURES: usize = 64;
/// A waterline is a few kilobytes.
const MOST_WATERLINE_BYTES: usize = 16 << 20;

/// What was read.
pub(super) struct Inputs {
    /// Captures of one process, oldest first.
    pub(super) captures: Vec<Loaded>,
    /// Its tasks, as they were last.
    pub(super) tasks: Option<TasksReport>,
    /// Its waterlines, oldest first.
    pub(super) readings: Vec<Reading>,
    /// What was left out and why, a sentence each.
    pub(super) left_out: Vec<String>,
    /// What the user calls it all.
    pub(super) name: String,
}

impl Inputs {
    /// Reads a directory of captures, or files.
    ///
    /// # Errors
    /// Nothing is there, or fewer than two captures of one process.
    pub(super) fn read(loader: &mut Loader, names: &[String]) -> Result<Self> {
        let targets = names.iter().map(|t| Target::parse(t)).collect::<Result<Vec<_>>>()?;
        let mut inputs = Self {
            captures: Vec::new(),
            readings: Vec::new(),
            left_out: Vec::new(),
            tasks: None,
            name: names.join(" "),
        };
        match targets.as_slice() {
            [Target::Dir(dir)] => inputs.directory(loader, dir)?,
            targets => inputs.files(loader, targets)?,
        }
        refuse_time("report", &inputs.captures)?;
        inputs.in_order();
        inputs.of_one_process();
        if inputs.captures.len() < 2 {
            let mut what = format!("{}: a report needs two captures of one process", inputs.name);
            for left_out in &inputs.left_out {
                what.push_str(&format!(" ({})", left_out.trim_end_matches('.')));
            }
            return Err(Error::failed(
                what,
                "give a directory that `diag-cli capture` or DIAG_CAPTURE_DIR filled, or two or more files",
            ));
        }
        Ok(inputs)
    }

    fn directory(&mut self, loader: &mut Loader, dir: &Path) -> Result<()> {
        let all = captures::list(dir)?;
        let found = all.len();
        let (of_process, others) = captures::comparable(all);
        let other_kinds = found - of_process.len() - others;
        self.leave_out(others, "of earlier processes: the service restarted");
        self.leave_out(other_kinds, "of other kinds than the heap");
        let some = spread(&of_process, MOST_CAPTURES);
        self.leave_out(
            of_process.len() - some.len(),
            "between the others, evenly: a report reads at most 64",
        );
        let process = some.last().and_then(|c| c.process);
        let files: Vec<Target> = some.into_iter().map(|c| Target::File(c.path)).collect();
        self.captures = match loader.all(&files) {
            Ok(loaded) => loaded,
            Err(e) => self.without_damaged(loader, &files, e)?,
        };
        self.waterlines(captures::list_waterlines(dir)?, process)?;
        self.tasks(captures::list_tasks(dir)?, process);
        Ok(())
    }

    /// The tasks as they were last.
    fn tasks(&mut self, mut found: Vec<Capture>, process: Option<Process>) {
        found.retain(|t| t.process == process || t.process.is_none());
        let Some(last) = found.last() else { return };
        let read = load::read_file(&last.path).ok();
        match read.and_then(|bytes| serde_json::from_slice::<TasksReport>(&bytes).ok()) {
            Some(tasks) => self.tasks = Some(tasks),
            None => self.left_out_of_tasks(&last.path),
        }
    }

    fn left_out_of_tasks(&mut self, path: &Path) {
        self.left_out.push(format!("The tasks: {} cannot be read.", path.display()));
    }

    /// A capture that was cut off while it was copied should not cost the report.
    fn without_damaged(
        &mut self,
        loader: &mut Loader,
        files: &[Target],
        first: Error,
    ) -> Result<Vec<Loaded>> {
        let mut sound = Vec::new();
        for file in files {
            let Target::File(path) = file else { continue };
            match load::read_file(path).and_then(|bytes| load::decode(&bytes, &file.to_string()).map(|_| ()))
            {
                Ok(()) => sound.push(file.clone()),
                Err(e) => self.left_out.push(format!("Left out, because it cannot be read: {}.", e.line())),
            }
        }
        if sound.len() < 2 || sound.len() == files.len() {
            return Err(first);
        }
        loader.all(&sound)
    }

    fn waterlines(&mut self, mut found: Vec<Capture>, process: Option<Process>) -> Result<()> {
        let all = found.len();
        found.retain(|w| w.process == process || w.process.is_none());
        self.leave_out_of("waterlines", all - found.len(), "of earlier processes");
        let mut damaged = 0;
        for waterline in found {
            match load::read_file(&waterline.path).ok().and_then(|bytes| reading(&bytes)) {
                Some(reading) => self.readings.push(reading),
                None => damaged += 1,
            }
        }
        self.leave_out_of("waterlines", damaged, "that cannot be read");
        Ok(())
    }

    fn files(&mut self, loader: &mut Loader, targets: &[Target]) -> Result<()> {
        let is_waterline = |target: &&Target| matches!(target, Target::File(path) if path.extension().is_some_and(|x| x == "json"));
        if let Some(live) = targets.iter().find(|t| matches!(t, Target::Live(_))) {
            return Err(Error::usage(
                format!("{live} is a live process, and a report is made of captures"),
                format!(
                    "`diag-cli capture {live} --every 10s --for 5m -o captures`, then `diag-cli report captures`"
                ),
            ));
        }
        for target in targets.iter().filter(is_waterline) {
            let Target::File(path) = target else { continue };
            let reading = reading(&load::read_file(path)?).ok_or_else(|| {
                Error::failed(
                    format!("{target}: this is no memory waterline of diag"),
                    "leave it out, or give the memory-*.json of a capture",
                )
            })?;
            self.readings.push(reading);
        }
        let profiles: Vec<Target> = targets.iter().filter(|t| !is_waterline(t)).cloned().collect();
        if !profiles.is_empty() {
            self.captures = loader.all(&profiles)?;
        }
        Ok(())
    }

    /// Files may be given in any order; those without times keep theirs.
    fn in_order(&mut self) {
        let time = |l: &Loaded| l.profile.meta().time_unix_ns;
        if self.captures.iter().all(|l| time(l).is_some()) {
            self.captures.sort_by_key(time);
        }
        self.readings.sort_by_key(Reading::at_ns);
        self.readings.dedup_by_key(|r| r.at_ns());
    }

    /// Names of files may not tell processes apart; captures with ages do.
    fn of_one_process(&mut self) {
        let last = self.captures.last().and_then(|l| process_started_ns(&l.profile));
        let all = self.captures.len();
        self.captures.retain(|l| process_started_ns(&l.profile) == last);
        let which = match last {
            Some(at) => format!("of other processes than the one that started {}", clock::readable(at)),
            None => "of other processes than the last".to_owned(),
        };
        self.leave_out(all - self.captures.len(), &which);
    }

    fn leave_out(&mut self, count: usize, why: &str) {
        self.leave_out_of("captures", count, why);
    }

    fn leave_out_of(&mut self, what: &str, count: usize, why: &str) {
        let what = if count == 1 { what.trim_end_matches('s') } else { what };
        if count > 0 {
            self.left_out.push(format!("{count} {what} {why}."));
        }
    }
}

fn reading(bytes: &[u8]) -> Option<Reading> {
    (bytes.len() <= MOST_WATERLINE_BYTES).then(|| Reading::parse(bytes)).flatten()
}
