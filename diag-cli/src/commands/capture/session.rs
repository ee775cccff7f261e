//! One run of `capture`: the loop, and what it remembers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::journal::Journal;
use super::round::{Miss, Puller, Round};
use super::{CaptureArgs, Plan, Wanted};
use crate::captures::{self, Process};
use crate::cli::{GlobalArgs, TextOrJson};
use crate::clock;
use crate::error::{Error, Result};
use crate::http::Client;
use crate::interrupt::Interrupt;
use crate::output::{self, Sink};
use crate::target::Endpoint;
use crate::terminal::{Progress, counted};

/// Waits between attempts while the target is away: doubles from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(15);

/// What a run has done.
#[derive(Debug)]
pub(super) struct Summary {
    dir: PathBuf,
    target: String,
    files: Vec<Value>,
    rounds: u64,
    restarts: u64,
    gaps: Vec<Value>,
    interrupted: bool,
    gone: Option<Error>,
}

impl Summary {
    /// The machine-readable form.
    pub(super) fn json(&self) -> Value {
        json!({
            "schema": "diag.capture/1", "target": self.target, "dir": self.dir, "captures": self.files,
            "restarts": self.restarts, "gaps": self.gaps, "interrupted": self.interrupted,
            "error": self.gone.as_ref().map(Error::line),
        })
    }

    /// The exit code.
    ///
    /// # Errors
    /// The target stayed away, or Ctrl-C came before the first capture.
    pub(super) fn outcome(self) -> Result<ExitCode> {
        match self.gone {
            Some(e) => Err(e),
            None if self.interrupted && self.rounds == 0 => Err(Error::Interrupted),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

struct Session<'a> {
    args: &'a CaptureArgs,
    plan: Plan,
    progress: Progress,
    journal: Journal,
    interrupt: Interrupt,
    last_process: Option<Process>,
    summary: Summary,
}

/// Captures until the plan is done, the user stops it, or the target stays away.
pub(super) fn run(
    global: &GlobalArgs,
    args: &CaptureArgs,
    wanted: Vec<Wanted>,
    endpoint: &Endpoint,
    plan: Plan,
) -> Result<Summary> {
    let puller = Puller::new(Client::new(&global.http)?, endpoint, args, wanted);
    let interrupt = Interrupt::install()?;
    let mut progress = Progress::new(global.quiet);
    progress.step(&format!("asking {endpoint} …"));
    // The first round before the directory: a wrong address leaves nothing behind.
    let started = Instant::now();
    let (puller, first) = first_round(puller, &interrupt, &mut progress, plan)?;
    std::fs::create_dir_all(&args.out).map_err(|e| output::write_error(&args.out, &e))?;
    let mut journal = Journal::open(&args.out)?;
    journal.write(
        "start",
        json!({
            "target": endpoint.to_string(), "every_s": plan.every.as_secs_f64(),
            "process": first.process, "diag_cli": env!("CARGO_PKG_VERSION"),
        }),
    )?;
    let mut session = Session {
        args,
        plan,
        progress,
        journal,
        interrupt,
        last_process: None,
        summary: Summary {
            dir: args.out.clone(),
            target: endpoint.to_string(),
            files: Vec::new(),
            rounds: 0,
            restarts: 0,
            gaps: Vec::new(),
            interrupted: false,
            gone: None,
        },
    };
    session.keep(&first)?;
    session.go_on(puller, started)?;
    let summary = session.summary;
    session.journal.write(
        "end",
        json!({"captures": summary.files.len(), "interrupted": summary.interrupted,
               "error": summary.gone.as_ref().map(Error::line)}),
    )?;
    Ok(summary)
}

/// The first round fails at once, except when the target only says that it is busy.
fn first_round(
    mut puller: Puller,
    interrupt: &Interrupt,
    progress: &mut Progress,
    plan: Plan,
) -> Result<(Puller, Round)> {
    let give_up = Instant::now() + plan.patience();
    loop {
        let (back, result) = pull(puller, interrupt, progress)?;
        puller = back;
        let miss = match result {
            Ok(round) => return Ok((puller, round)),
            Err(miss) => miss,
        };
        let Some(wait) = miss.retry_after.filter(|w| Instant::now() + *w < give_up) else {
            return Err(miss.error);
        };
        progress.note(&format!("{}", miss.error));
        if !interrupt.sleep_until(Instant::now() + wait.max(FIRST_RETRY)) {
            return Err(Error::Interrupted);
        }
    }
}

/// One round on a thread of its own, so that Ctrl-C does not wait for the network.
fn pull(
    mut puller: Puller,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<(Puller, std::result::Result<Round, Miss>)> {
    let (began, recording) = (Instant::now(), puller.recording());
    let mut told = None;
    let tell = || {
        let passed = began.elapsed();
        if let Some((doing, length)) = recording.as_ref().filter(|_| told != Some(passed.as_secs())) {
            told = Some(passed.as_secs());
            progress.step(&format!("{} (Ctrl-C ends)", counted(doing, passed, *length)));
        }
    };
    let work = move || {
        let result = puller.round();
        (puller, result)
    };
    interrupt.unless_asked(work, tell).ok_or(Error::Interrupted)
}

impl Session<'_> {
    fn go_on(&mut self, mut puller: Puller, started: Instant) -> Result<()> {
        let mut ticks = 1u32;
        loop {
            let now = Instant::now();
            let next = started + self.plan.every.saturating_mul(ticks);
            // A round that took longer than the interval skips the captures it missed.
            if next < now && self.plan.every < now - next {
                ticks += 1;
                continue;
            }
            let done = self.plan.count.is_some_and(|n| self.summary.rounds >= n)
                || self.plan.run_for.is_some_and(|t| next > started + t);
            if done {
                return Ok(());
            }
            if !self.wait(next) {
                return Ok(());
            }
            ticks += 1;
            match pull(puller, &self.interrupt, &mut self.progress) {
                Err(_) => return self.stop(),
                Ok((back, Ok(round))) => {
                    puller = back;
                    self.keep(&round)?;
                }
                Ok((back, Err(miss))) => match self.outlast(back, miss, started)? {
                    Some(back) => puller = back,
                    None => return Ok(()),
                },
            }
        }
    }

    fn stop(&mut self) -> Result<()> {
        self.summary.interrupted = true;
        self.progress.note(&format!(
            "stopped; {} captures are in {}",
            self.summary.files.len(),
            self.args.out.display()
        ));
        Ok(())
    }

    /// Waits for the next capture with a countdown; false when interrupted.
    fn wait(&mut self, next: Instant) -> bool {
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let of = self.plan.count.map(|n| format!(" of {n}")).unwrap_or_default();
            self.progress.step(&format!(
                "{}{of} captured, the next in {} s (Ctrl-C ends)",
                self.summary.rounds,
                left.as_secs() + 1
            ));
            if !self.interrupt.sleep_until((Instant::now() + Duration::from_secs(1)).min(next)) {
                let _ = self.stop();
                return false;
            }
        }
    }

    /// The target fails in the middle of a series: waits until it is back, and records the gap.
    fn outlast(&mut self, mut puller: Puller, first: Miss, started: Instant) -> Result<Option<Puller>> {
        let since = Instant::now();
        let since_unix_ns = clock::now_unix_ns();
        let give_up = since + self.plan.patience();
        let end = self.plan.run_for.map(|t| started + t);
        let why = first.error.line();
        self.progress.note(&format!("no capture: {why}"));
        let mut miss = first;
        let mut pause = FIRST_RETRY;
        loop {
            let wait = miss.retry_after.unwrap_or(pause).min(self.plan.patience());
            pause = (pause * 2).min(LAST_RETRY);
            let again = Instant::now() + wait;
            if !miss.passing || again > give_up || end.is_some_and(|end| again > end) {
                self.gap(since_unix_ns, &why)?;
                self.summary.gone = Some(miss.error);
                return Ok(None);
            }
            self.progress.step(&format!("waiting for the target: {}", miss.error));
            if !self.interrupt.sleep_until(again) {
                self.gap(since_unix_ns, &why)?;
                self.stop()?;
                return Ok(None);
            }
            let Ok((back, result)) = pull(puller, &self.interrupt, &mut self.progress) else {
                self.gap(since_unix_ns, &why)?;
                self.stop()?;
                return Ok(None);
            };
            puller = back;
            match result {
                Ok(round) => {
                    self.gap(since_unix_ns, &why)?;
                    self.progress
                        .note(&format!("the target is back after {:.1} s", since.elapsed().as_secs_f64()));
                    self.keep(&round)?;
                    return Ok(Some(puller));
                }
                Err(next) => miss = next,
            }
        }
    }

    fn gap(&mut self, since_unix_ns: i64, why: &str) -> Result<()> {
        let gap = json!({
            "from": clock::rfc3339(since_unix_ns), "to": clock::rfc3339(clock::now_unix_ns()), "why": why,
        });
        self.journal.write("gap", gap.clone())?;
        self.summary.gaps.push(gap);
        Ok(())
    }

    fn keep(&mut self, round: &Round) -> Result<()> {
        if let (Some(old), Some(new)) = (self.last_process, round.process)
            && old != new
        {
            self.summary.restarts += 1;
            self.progress.note(&format!(
                "the target has restarted: pid {} became pid {}; captures of both are kept apart",
                old.pid, new.pid
            ));
            self.journal.write("restart", json!({"from": old, "to": new}))?;
        }
        self.last_process = round.process.or(self.last_process);
        let taken = round.taken_unix_ns;
        for (what, bytes) in &round.documents {
            let path = free_name(&self.args.out, *what, taken, round.process);
            Sink::File(path.clone()).write(bytes)?;
            let entry = json!({
                "file": path.file_name().and_then(|n| n.to_str()), "kind": what.name(),
                "taken": clock::rfc3339(taken), "process": round.process, "bytes": bytes.len(),
            });
            self.journal.write("capture", entry.clone())?;
            self.summary.files.push(entry);
            if self.args.format.format == TextOrJson::Text {
                self.progress.clear();
                output::print(&format!("{}\n", path.display()))?;
            }
        }
        self.summary.rounds += 1;
        Ok(())
    }
}

/// A name that is not taken: the clock may have been set back, or two commands may write here.
fn free_name(dir: &Path, what: Wanted, taken_unix_ns: i64, process: Option<Process>) -> PathBuf {
    let extension = if matches!(what, Wanted::Profile(_)) { "pb.gz" } else { "json" };
    let mut at = taken_unix_ns;
    loop {
        let path = dir.join(captures::file_name(what.name(), at, process, extension));
        if !path.exists() {
            return path;
        }
        at += 1_000_000;
    }
}
