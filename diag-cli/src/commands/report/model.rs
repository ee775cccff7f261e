//! What a report says, as data: everything is computed here, and only written down in `html`.

use std::collections::BTreeMap;

use diag::leak::{self, Report, Suspect};
use diag::profile::cohorts::{STARTED_COMMENT, TAKEN_COMMENT};
use diag::profile::diff::{Diff, DiffOptions, RowBy, diff};
use diag::profile::{Profile, units};
use diag::tasks::TasksReport;

use super::chart::Series;
use super::flames::{Flame, flames};
use super::load::Inputs;
use super::series::{Course, Holding, comment, courses, holdings, text_comment};
use super::waterline::{Reading, Waterline};
use crate::clock;
use crate::error::{Error, Result};
use crate::load::Loaded;
use crate::view::profile_error;

/// Rows of each table.
const MOST_ROWS: usize = 25;
/// Suspects with a card.
const MOST_SUSPECTS: usize = 20;
/// What the commands call the service: the reader knows its address, the captures do not.
const TARGET: &str = "HOST:PORT";

/// How a report is made, besides its inputs.
#[derive(Clone, Debug)]
pub(super) struct Making {
    /// The command line, for the last section.
    pub(super) command: String,
    /// When.
    pub(super) now_unix_ns: i64,
    /// Frames of each flame graph.
    pub(super) frames: usize,
    /// For the content security policy; not to be guessed by whoever names functions.
    pub(super) nonce: String,
}

/// A suspect with its course.
#[derive(Clone, Debug)]
pub(super) struct Card {
    /// From the verdict.
    pub(super) suspect: Suspect,
    /// Of all stacks of its site.
    pub(super) course: Course,
}

/// A report.
#[derive(Debug)]
pub(super) struct Document {
    /// The service, as far as it is known.
    pub(super) service: String,
    /// Name and value, for the header.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The same of the host, from the last waterline.
    pub(super) host: Vec<(&'static str, String)>,
    /// What was left out and why.
    pub(super) left_out: Vec<String>,
    /// The verdict.
    pub(super) report: Report,
    /// The suspects that are shown.
    pub(super) cards: Vec<Card>,
    /// Memory over time.
    pub(super) waterline: Waterline,
    /// How many files it is made of.
    pub(super) readings: usize,
    /// The tasks as they were last.
    pub(super) tasks: Option<TasksReport>,
    /// Live bytes by the sampler.
    pub(super) live: Series,
    /// The pictures.
    pub(super) flames: Vec<Flame>,
    /// Sites of the last capture, and how many there are in all.
    pub(super) holdings: (Vec<Holding>, usize),
    /// All that is in use at the last capture, and its unit.
    pub(super) total: (i64, String),
    /// From the first capture to the last.
    pub(super) diff: Diff,
    /// Name and value, for the last section.
    pub(super) environment: Vec<(&'static str, String)>,
    /// See [`Making`].
    pub(super) nonce: String,
}

impl Document {
    /// Judges, compares and draws.
    ///
    /// # Errors
    /// The captures do not go together, or hold nothing in use.
    pub(super) fn new(mut inputs: Inputs, making: Making) -> Result<Self> {
        let name = inputs.name.clone();
        let fail = |e| profile_error(&name, &e);
        let profiles: Vec<&Profile> = inputs.captures.iter().map(|l| &l.profile).collect();
        let (Some(&first), Some(&last)) = (profiles.first(), profiles.last()) else {
            return Err(Error::failed(
                format!("{name}: nothing to report on"),
                "give a directory of captures",
            ));
        };
        let kind = last.sample_type_index("inuse_space").map(|_| "inuse_space".to_owned());
        let column = last.sample_type_index("inuse_space").unwrap_or_else(|| last.default_sample_type());

        let mut options = leak::Options::default();
        options.target = TARGET.to_owned();
        options.limit = inputs.readings.last().and_then(Reading::limit);
        let mut report = leak::judge_captures(&profiles, &options).map_err(fail)?;
        // The page holds what is known of the captures; what comes next is to ask the service itself.
        report.next =
            vec![format!("diag-cli leaks {TARGET} --watch 5m"), format!("diag-cli triage {TARGET}")];
        let suspects: Vec<Suspect> = report.suspects.iter().take(MOST_SUSPECTS).cloned().collect();
        let sites: Vec<&str> = suspects.iter().map(|s| s.site.as_str()).collect();
        let courses = courses(&profiles, &sites);
        let cards = suspects.iter().cloned().zip(courses);
        let cards = cards.map(|(suspect, course)| Card { suspect, course }).collect();

        let unit = last.sample_types().get(column).map(|t| t.unit.clone()).unwrap_or_default();
        let (holdings, in_use) = (holdings(last, MOST_ROWS), (last.total(column), unit));
        let compared = DiffOptions { kind, rows: RowBy::Site, limit: Some(MOST_ROWS) };
        let diff = diff(first, last, &compared).map_err(fail)?;
        let total = |p: &&Profile| {
            let at = p.meta().time_unix_ns?;
            Some((at, p.sample_type_index("inuse_space").map(|column| p.total(column))))
        };
        let live =
            Series { name: "live heap", class: "s0", points: profiles.iter().filter_map(total).collect() };
        let service = text_comment(last, "service=").unwrap_or_default().to_owned();
        let facts = facts(&inputs, first, last);
        let environment = environment(&inputs, &report, &making);
        let flames = flames(&mut inputs.captures, &service, &making)?;
        Ok(Self {
            service,
            facts,
            host: inputs.readings.last().map(Reading::facts).unwrap_or_default(),
            left_out: inputs.left_out,
            report,
            cards,
            waterline: Waterline::new(&inputs.readings),
            readings: inputs.readings.len(),
            tasks: inputs.tasks,
            live,
            flames,
            holdings,
            total: in_use,
            diff,
            environment,
            nonce: making.nonce,
        })
    }
}

/// The header: what, when, how much.
fn facts(inputs: &Inputs, first: &Profile, last: &Profile) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let program = last.mappings().first().map(|m| last.str(m.file).to_owned()).filter(|f| !f.is_empty());
    facts.extend(program.map(|file| ("Program", file)));
    if let Some(pid) = process(last) {
        let since =
            comment(last, STARTED_COMMENT).map(|at| format!(", watched since {}", clock::readable(at)));
        facts.push(("Process", format!("{pid}{}", since.unwrap_or_default())));
    }
    match (first.meta().time_unix_ns, last.meta().time_unix_ns) {
        (Some(from), Some(to)) => facts.push((
            "Time",
            format!(
                "{} to {} ({})",
                clock::readable(from),
                clock::readable(to),
                units::nanoseconds(to.saturating_sub(from))
            ),
        )),
        _ => facts.push(("Time", "not all captures say when they were taken".to_owned())),
    }
    let waterlines = match inputs.readings.len() {
        0 => "no memory waterlines".to_owned(),
        n => format!("{n} memory waterlines"),
    };
    let ages = match last.find_str("born_at") {
        Some(_) => "with ages",
        None => "without ages, so that growth can be shown but not judged",
    };
    facts.push(("Captures", format!("{} heap profiles {ages}; {waterlines}", inputs.captures.len())));
    if let Some(period) = &last.meta().period {
        let text = units::value(period.value, &period.value_type.unit);
        facts.push(("Sampling", format!("one allocation for every {text} on average; values are estimates")));
    }
    facts
}

/// `4711`, from what the service itself or `diag-cli capture` noted.
fn process(profile: &Profile) -> Option<String> {
    let noted = || {
        let words = text_comment(profile, "# diag.process ")?;
        words.split(' ').find_map(|w| w.strip_prefix("pid="))
    };
    text_comment(profile, "pid=").or_else(noted).map(str::to_owned)
}

/// The last section: how it was made, what was lost, what has no names.
fn environment(inputs: &Inputs, report: &Report, making: &Making) -> Vec<(&'static str, String)> {
    let last = inputs.captures.last().map(|l| &l.profile);
    let mut list = vec![
        (
            "Made",
            format!("{} by diag-cli {}", clock::readable(making.now_unix_ns), env!("CARGO_PKG_VERSION")),
        ),
        ("Command", making.command.clone()),
    ];
    let library = last.and_then(|p| text_comment(p, "diag="));
    list.extend(library.map(|version| ("diag in the service", version.to_owned())));
    let build_id = last.and_then(|p| p.mappings().first().map(|m| p.str(m.build_id).to_owned()));
    list.extend(build_id.filter(|id| !id.is_empty()).map(|id| ("Build id of the program", id)));
    let clock_set =
        last.and_then(|p| Some(p.meta().time_unix_ns?.saturating_sub(comment(p, TAKEN_COMMENT)?)));
    list.extend(clock_set.filter(|ns| ns.unsigned_abs() > 1_000_000_000).map(|ns| {
        let by = units::nanoseconds(ns);
        ("Clock", format!("the wall clock was set by {by} while the process ran; ages do not follow it"))
    }));
    list.push(("Lost", losses(&inputs.captures, report)));
    list.push(("Without names", unnamed(&inputs.captures)));
    let formats: BTreeMap<String, usize> = inputs.captures.iter().fold(BTreeMap::new(), |mut all, l| {
        *all.entry(l.format.to_string()).or_default() += 1;
        all
    });
    let formats: Vec<String> = formats.iter().map(|(format, n)| format!("{n} {format}")).collect();
    list.push(("Files", formats.join(", ")));
    list
}

fn losses(captures: &[Loaded], report: &Report) -> String {
    let mut most: BTreeMap<String, u64> = report.losses.clone();
    for loss in captures.iter().flat_map(|l| &l.profile.meta().losses) {
        let count = most.entry(loss.what.clone()).or_default();
        *count = (*count).max(loss.count);
    }
    let count = |n: &u64| units::count(i64::try_from(*n).unwrap_or(i64::MAX));
    let list: Vec<String> = most
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(what, n)| format!("{} {}", count(n), what.replace('_', " ")))
        .collect();
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}

fn unnamed(captures: &[Loaded]) -> String {
    let mut modules: Vec<&str> = captures.iter().flat_map(|l| &l.unresolved).map(String::as_str).collect();
    modules.sort_unstable();
    modules.dedup();
    match modules.as_slice() {
        [] => "nothing".to_owned(),
        modules => format!("{}; `diag-cli doctor CAPTURE` says which file would help", modules.join(", ")),
    }
}
