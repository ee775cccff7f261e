//! The rules file; the documentation of `rules` shows one. A file that is not TOML, or has a field that does not exist, is ignored as a
//! whole; a rule that makes no sense alone. Either is a problem in `status`, with its line.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::rule::{Do, Level, Rule, Stall, When};
use super::{Asked, Relief};
use crate::config::{parse_bytes, parse_duration};
use crate::printable::printable;

/// What is wrong, and in which line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Fault {
    /// In one line, whatever the file has in its names.
    fn new(line: usize, what: &str) -> Self {
        Self { line, what: printable(what) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<RuleTable>>,
    relief: Option<Spanned<ReliefTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    name: String,
    when: WhenTable,
    #[serde(rename = "do")]
    actions: Vec<Action>,
    debounce: Option<String>,
    an_hour: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WhenTable {
    limit: Option<String>,
    rss: Option<String>,
    growth: Option<String>,
    over: Option<String>,
    tasks: Option<u64>,
    task_growth: Option<u64>,
    slow_poll: Option<String>,
    stall_some: Option<String>,
    stall_full: Option<String>,
    signal: Option<String>,
    panic: Option<bool>,
    alloc_failed: Option<bool>,
    told: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an action is heap, memory, purge, leaks, tasks, trace, { cpu = \"10s\" } or { webhook = \"http://...\" }"
)]
enum Action {
    Plain(PlainAction),
    Cpu { cpu: String },
    Webhook { webhook: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlainAction {
    Heap,
    Memory,
    Purge,
    Leaks,
    Tasks,
    Trace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReliefTable {
    at: String,
    stall_some: Option<String>,
}

/// The rules of a file, and what is wrong with it. The first fault of a file that is no rules file is the only one.
pub(crate) fn parse(text: &str) -> (Asked, Vec<Fault>) {
    let line_of = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(e) => {
            let line = e.span().map_or(1, |span| line_of(span.start));
            let what = e.message().lines().collect::<Vec<_>>().join("; ");
            return (Asked::default(), vec![Fault::new(line, &what)]);
        }
    };
    let mut faults = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    for table in file.rule {
        let line = line_of(table.span().start);
        match rule(table.into_inner()) {
            Ok(rule) if rules.iter().any(|r| r.name == rule.name) => {
                faults.push(Fault::new(line, &format!("a second rule is named {}", rule.name)));
            }
            Ok(rule) => rules.push(rule),
            Err(what) => faults.push(Fault::new(line, &what)),
        }
    }
    let relief = file.relief.and_then(|table| {
        let line = line_of(table.span().start);
        relief(table.get_ref()).map_err(|what| faults.push(Fault::new(line, &what))).ok()
    });
    (Asked { rules: Some(rules), relief }, faults)
}

fn rule(table: RuleTable) -> Result<Rule, String> {
    let mut rule = Rule::new(&table.name, when(&table.when)?);
    if rule.name != table.name {
        return Err(format!(
            "the name {:?} must be 1 to 40 of a-z, 0-9 and _, such as {}",
            table.name, rule.name
        ));
    }
    rule.actions = table.actions.into_iter().map(action).collect::<Result<_, _>>()?;
    if let Some(debounce) = &table.debounce {
        rule.debounce = duration("debounce", debounce)?;
    }
    rule.an_hour = table.an_hour.unwrap_or(rule.an_hour);
    Ok(rule)
}

fn when(table: &WhenTable) -> Result<When, String> {
    let mut found = Vec::new();
    if let Some(text) = &table.limit {
        found.push(When::Limit(level("limit", text)?));
    }
    if let Some(text) = &table.rss {
        found.push(When::Rss(level("rss", text)?));
    }
    if let Some(text) = &table.growth {
        let over = table.over.as_deref().ok_or("growth needs a time beside it: over = \"10m\"")?;
        let bytes_per_minute =
            parse_bytes(text).filter(|b| *b > 0).ok_or_else(|| no_size("growth", text, "200MiB"))?;
        found.push(When::Growth { bytes_per_minute, over: duration("over", over)? });
    }
    if let Some(count) = table.tasks {
        found.push(When::Tasks(count.max(1)));
    }
    if let Some(per_minute) = table.task_growth {
        let over = table.over.as_deref().ok_or("task_growth needs a time beside it: over = \"10m\"")?;
        found.push(When::TaskGrowth { per_minute: per_minute.max(1), over: duration("over", over)? });
    }
    if let Some(text) = &table.slow_poll {
        found.push(When::SlowPoll(duration("slow_poll", text)?));
    }
    for (name, who, text) in
        [("stall_some", Stall::Some, &table.stall_some), ("stall_full", Stall::Full, &table.stall_full)]
    {
        if let Some(text) = text {
            found.push(When::Stall(who, percent(name, text)?));
        }
    }
    if let Some(text) = &table.signal {
        found.push(When::Signal(signal(text)?));
    }
    if table.panic == Some(true) {
        found.push(When::Panic);
    }
    if table.alloc_failed == Some(true) {
        found.push(When::AllocFailed);
    }
    if let Some(name) = &table.told {
        found.push(When::Told(name.clone()));
    }
    let [when] = found.as_slice() else {
        return Err(format!("`when` needs one condition and has {}; make a rule of each", found.len()));
    };
    Ok(when.clone())
}

fn action(action: Action) -> Result<Do, String> {
    Ok(match action {
        Action::Plain(PlainAction::Heap) => Do::Heap,
        Action::Plain(PlainAction::Memory) => Do::Memory,
        Action::Plain(PlainAction::Purge) => Do::Purge,
        Action::Plain(PlainAction::Leaks) => Do::Leaks,
        Action::Plain(PlainAction::Tasks) => Do::Tasks,
        Action::Plain(PlainAction::Trace) => Do::Trace,
        Action::Cpu { cpu } => {
            let time = duration("cpu", &cpu)?;
            if time > Duration::from_secs(600) {
                return Err(format!("cpu = {cpu:?} is longer than 10m"));
            }
            Do::Cpu(time)
        }
        Action::Webhook { webhook } => {
            if webhook.starts_with("https:") {
                return Err("a webhook is plain http://; for https put a proxy beside the service".to_owned());
            }
            if !webhook.starts_with("http://") {
                return Err(format!("webhook = {webhook:?} must be http://host:port/path"));
            }
            Do::Webhook(webhook)
        }
    })
}

fn relief(table: &ReliefTable) -> Result<Relief, String> {
    let mut relief = Relief::at(level("at", &table.at)?);
    if let Some(text) = &table.stall_some {
        relief = relief.or_stall(percent("stall_some", text)?);
    }
    Ok(relief)
}

fn level(name: &str, text: &str) -> Result<Level, String> {
    if text.contains('%') {
        return Ok(Level::Share(percent(name, text)? / 100.0));
    }
    parse_bytes(text)
        .filter(|bytes| *bytes > 0)
        .map(Level::Bytes)
        .ok_or_else(|| no_size(name, text, "90%, or 2GiB"))
}

fn percent(name: &str, text: &str) -> Result<f64, String> {
    text.trim()
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<f64>().ok())
        .filter(|p| *p > 0.0 && *p <= 100.0)
        .ok_or_else(|| no_size(name, text, "90%"))
}

fn duration(name: &str, text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|d| !d.is_zero()).ok_or_else(|| no_size(name, text, "30s or 5m"))
}

fn no_size(name: &str, text: &str, example: &str) -> String {
    format!("{name} = {text:?} makes no sense; write for example {example}")
}

/// Those that a process may be sent from outside and that mean nothing of their own.
const SIGNALS: [(&str, i32); 6] = [
    ("SIGHUP", 1),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGURG", libc::SIGURG),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGIO", libc::SIGIO),
];

fn signal(text: &str) -> Result<i32, String> {
    let named = SIGNALS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.ok_or_else(|| {
        let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
        format!("signal = {text:?} is none of {}", names.join(", "))
    })
}
