//! `captures`: what is in a directory of captures, most of all what a process that was killed left behind.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use diag::profile::units;
use serde_json::{Value, json};

use crate::captures::{Capture, Process, list_files};
use crate::cli::{FormatArgs, TextOrJson};
use crate::clock;
use crate::error::{Error, Result, one_line};
use crate::output::print;
use crate::table::{Align, Table};
use crate::terminal::stdout_columns;

/// Larger than any event that diag writes.
const MOST_EVENT_BYTES: u64 = 1 << 20;

/// `captures DIR`.
#[derive(Clone, Debug, Args)]
pub struct CapturesArgs {
    /// A directory of captures: what DIAG_CAPTURE_DIR names, or what `diag-cli capture -o` wrote
    pub dir: PathBuf,
    /// Only those that rules asked for
    #[arg(long)]
    pub by_rule: bool,
    /// How it is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// The files of one moment.
#[derive(Debug)]
struct Moment {
    taken_unix_ns: i64,
    process: Option<Process>,
    rule: Option<String>,
    files: Vec<Capture>,
    /// `diag.event/1`, of a rule.
    event: Option<Value>,
}

impl Moment {
    fn size_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size_bytes).sum()
    }

    fn kinds(&self) -> String {
        self.files.iter().map(|f| f.kind.as_str()).filter(|k| *k != "event").collect::<Vec<_>>().join(" ")
    }

    fn why(&self) -> Option<&str> {
        self.event.as_ref()?.get("why")?.as_str()
    }

    fn problems(&self) -> impl Iterator<Item = &str> {
        let list = self.event.as_ref().and_then(|e| e.get("problems")?.as_array());
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// What to look at: the heap, or else any profile.
    fn profile(&self) -> Option<&Path> {
        let of = |kind: &str| self.files.iter().find(|f| f.kind == kind).map(|f| f.path.as_path());
        of("heap").or_else(|| of("sites")).or_else(|| of("cpu"))
    }

    fn next(&self) -> Option<String> {
        self.profile().map(|p| format!("diag-cli top {}", p.display()))
    }
}

/// Runs the command.
///
/// # Errors
/// The directory cannot be read, or holds no capture.
pub fn run(args: &CapturesArgs) -> Result<ExitCode> {
    if !args.dir.is_dir() {
        return Err(Error::usage(
            format!("{} is not a directory", args.dir.display()),
            "name the directory that DIAG_CAPTURE_DIR was set to",
        ));
    }
    let mut moments = moments(list_files(&args.dir)?);
    if args.by_rule {
        moments.retain(|m| m.rule.is_some());
    }
    if moments.is_empty() {
        let which = if args.by_rule { "captures by rules" } else { "captures" };
        return Err(Error::failed(
            format!("{}: no {which} in this directory", args.dir.display()),
            "set DIAG_CAPTURE_DIR in the service, and DIAG_RULES for more than the memory limit",
        ));
    }
    match args.format.format {
        TextOrJson::Json => print(&format!("{}\n", document(&args.dir, &moments)))?,
        TextOrJson::Text => print(&text(&args.dir, &moments))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Files with the same time, process and rule are one capture.
fn moments(files: Vec<Capture>) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    for file in files {
        let known = ["heap", "sites", "cpu", "tasks", "memory", "leaks", "trace", "event"]
            .contains(&file.kind.as_str());
        if !known || (file.process.is_none() && !file.path.to_string_lossy().ends_with(".pb.gz")) {
            continue;
        }
        let key = (file.taken_unix_ns, file.process, file.rule.clone());
        // Sorted by time: those of one moment are close together.
        let same = moments
            .iter_mut()
            .rev()
            .take_while(|m| m.taken_unix_ns == key.0)
            .find(|m| (m.process, &m.rule) == (key.1, &key.2));
        match same {
            Some(moment) => moment.files.push(file),
            None => moments.push(Moment {
                taken_unix_ns: key.0,
                process: key.1,
                rule: key.2,
                files: vec![file],
                event: None,
            }),
        }
    }
    for moment in &mut moments {
        let event = moment.files.iter().find(|f| f.kind == "event" && f.size_bytes <= MOST_EVENT_BYTES);
        // One that is no JSON leaves the rule's name, which the file's own name has.
        moment.event = event
            .and_then(|f| std::fs::read(&f.path).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    }
    moments
}

/// The commands for the directory as a whole, and for the last capture by a rule, or else the last.
fn next(dir: &Path, moments: &[Moment]) -> Vec<String> {
    let last = moments.iter().rev().find(|m| m.rule.is_some()).or(moments.last());
    let heaps = moments.iter().filter(|m| m.files.iter().any(|f| f.kind == "heap")).count();
    let mut next = Vec::new();
    if heaps >= 2 {
        next.push(format!("diag-cli leaks {}", dir.display()));
    }
    next.extend(last.and_then(Moment::next));
    if moments.iter().filter(|m| m.files.iter().any(|f| f.kind == "memory")).count() >= 2 {
        next.push(format!("diag-cli triage {}", dir.display()));
    }
    next
}

fn document(dir: &Path, moments: &[Moment]) -> Value {
    let captures: Vec<Value> = moments
        .iter()
        .map(|m| {
            let files: Vec<Value> = m
                .files
                .iter()
                .map(|f| {
                    let name = f.path.file_name().map(|n| n.to_string_lossy().into_owned());
                    json!({"kind": f.kind, "file": name, "bytes": f.size_bytes})
                })
                .collect();
            json!({
                "time": clock::rfc3339(m.taken_unix_ns),
                "pid": m.process.map(|p| p.pid),
                "rule": m.rule,
                "why": m.why(),
                "problems": m.problems().collect::<Vec<_>>(),
                "files": files,
                "bytes": m.size_bytes(),
                "next": m.next(),
            })
        })
        .collect();
    json!({
        "schema": "diag.capture_list/1",
        "dir": dir.display().to_string(),
        "captures": captures,
        "next": next(dir, moments),
    })
}

fn text(dir: &Path, moments: &[Moment]) -> String {
    let by_rule = moments.iter().filter(|m| m.rule.is_some()).count();
    let bytes = |n: u64| units::bytes(i64::try_from(n).unwrap_or(i64::MAX));
    let all: u64 = moments.iter().map(Moment::size_bytes).sum();
    let mut out = format!(
        "{}: {by_rule} by rules, {} by time, {}\n\n",
        one_line(&dir.display().to_string()),
        moments.len() - by_rule,
        bytes(all)
    );
    let mut table = Table::new(&[
        ("TIME", Align::Left),
        ("PID", Align::Right),
        ("FILES", Align::Left),
        ("SIZE", Align::Right),
        ("REASON", Align::Left),
    ]);
    let mut rest = moments;
    while let Some(first) = rest.first() {
        // Captures by time in a row are one line: what matters stands between them.
        let run = rest
            .iter()
            .take_while(|m| m.rule.is_none() && first.rule.is_none() && m.process == first.process)
            .count();
        let (group, tail) = rest.split_at(run.max(1));
        rest = tail;
        let reason = match (&first.rule, first.why()) {
            (Some(rule), Some(why)) => format!("{rule}: {why}"),
            (Some(rule), None) => rule.clone(),
            (None, _) if group.len() == 1 => "by time".to_owned(),
            (None, _) => {
                let until = group.last().map_or(0, |m| m.taken_unix_ns);
                format!("by time, {} until {}", group.len(), clock::readable(until))
            }
        };
        table.row(vec![
            clock::readable(first.taken_unix_ns),
            first.process.map_or_else(String::new, |p| p.pid.to_string()),
            first.kinds(),
            bytes(group.iter().map(Moment::size_bytes).sum()),
            reason,
        ]);
        for problem in first.problems() {
            let empty = String::new;
            table.row(vec![empty(), empty(), empty(), empty(), format!("not done: {problem}")]);
        }
    }
    out.push_str(&table.render(stdout_columns()));
    out.push('\n');
    for command in next(dir, moments) {
        out.push_str(&format!("next: {}\n", one_line(&command)));
    }
    out
}
