//! `tasks`: the live async tasks of a service, by the code that spawned them, and which of them never end. Exit code 1 when some
//! do not.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use diag::endpoints;
use diag::profile::units;
use diag::tasks::{SiteReport, TaskVerdict, TasksReport};

use crate::cli::{FormatArgs, GlobalArgs, TextOrJson, parse_duration};
use crate::error::{Error, Result, one_line};
use crate::http::{Client, FetchError};
use crate::output::print;
use crate::remote::{self, Remote};
use crate::table::{Align, Table};
use crate::target::{Endpoint, Target};
use crate::terminal;

/// `tasks TARGET`.
#[derive(Clone, Debug, Args)]
pub struct TasksArgs {
    /// host:port or URL of a live service, or a file of `capture --kind tasks`
    pub target: String,
    /// Each task with its state and age, in place of the sites
    #[arg(long, conflicts_with = "leaked")]
    pub list: bool,
    /// Each task that can never wake again or is probably stuck, with the reason
    #[arg(long)]
    pub leaked: bool,
    /// With --list: only tasks at least so old
    #[arg(long, value_name = "TIME", requires = "list", value_parser = parse_duration)]
    pub min_age: Option<Duration>,
    /// With --list: only tasks in this state
    #[arg(long, value_name = "STATE", requires = "list", value_parser = ["new", "running", "scheduled", "idle", "done"])]
    pub state: Option<String>,
    /// Sites listed
    #[arg(short, long, default_value_t = 30, value_name = "N")]
    pub number: usize,
    /// How it is printed.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Runs the command.
///
/// # Errors
/// The target does not answer, or has no tasks to tell of.
pub fn run(global: &GlobalArgs, args: &TasksArgs) -> Result<ExitCode> {
    let report = match Target::parse(&args.target)? {
        Target::Live(endpoint) => {
            let client = Client::new(&global.http)?;
            if args.list || args.leaked {
                return text(&client, &endpoint, args);
            }
            parse(&get(&client, &endpoint, endpoints::API_TASKS)?, &endpoint.url(endpoints::API_TASKS))?
        }
        Target::File(path) if !args.list && !args.leaked => {
            parse(&crate::load::read_file(&path)?, &path.display().to_string())?
        }
        other => {
            return Err(Error::usage(
                format!("{other} is no live service and no file of tasks"),
                "give host:port, or a tasks-*.json of `diag-cli capture --kind tasks`",
            ));
        }
    };
    match args.format.format {
        TextOrJson::Text => print(&table(&report, args.number, terminal::stdout_columns()))?,
        TextOrJson::Json => {
            let json = serde_json::to_string(&report)
                .map_err(|e| Error::failed(format!("cannot write JSON: {e}"), "this is a bug: report it"))?;
            print(&format!("{json}\n"))?;
        }
    }
    Ok(exit_code(&report))
}

/// 1 when tasks leak.
fn exit_code(report: &TasksReport) -> ExitCode {
    let leaks = |site: &SiteReport| {
        matches!(site.verdict, TaskVerdict::Stuck | TaskVerdict::Retrying | TaskVerdict::Growing)
    };
    if report.sites.iter().any(leaks) { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn text(client: &Client, endpoint: &Endpoint, args: &TasksArgs) -> Result<ExitCode> {
    if args.format.format == TextOrJson::Json {
        return Err(Error::usage(
            "--list and --leaked are text",
            "leave --format out; without them JSON has the sites",
        ));
    }
    let path = if args.leaked {
        format!("{}?debug=1", endpoints::PPROF_TASKLEAK)
    } else {
        let min_age = args.min_age.map(|age| format!("&min_age={}", age.as_secs())).unwrap_or_default();
        let state = args.state.as_ref().map(|state| format!("&state={state}")).unwrap_or_default();
        format!("{}?debug=2{min_age}{state}", endpoints::PPROF_TASKS)
    };
    let body = get(client, endpoint, &path)?;
    // The service's text, on somebody's terminal.
    let shown: String = String::from_utf8_lossy(&body)
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '?' } else { c })
        .collect();
    print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

fn get(client: &Client, endpoint: &Endpoint, path: &str) -> Result<Vec<u8>> {
    match client.get(endpoint, path, Duration::ZERO) {
        Ok(answer) => Ok(answer.body),
        Err(FetchError::Status { status: 404, .. }) => Err(match remote::identify(client, endpoint) {
            Ok(Remote::Ours(_)) => Error::failed(
                format!("{endpoint} has an older diag, without tasks"),
                "build the service with this version of diag",
            ),
            _ => Error::failed(
                format!("{endpoint} tells nothing of tasks: it is not a service with diag in it"),
                format!("`diag-cli doctor {endpoint}` says what it is"),
            ),
        }),
        Err(e) => Err(e.explain(endpoint, path, client.has_credentials(endpoint))),
    }
}

fn parse(bytes: &[u8], name: &str) -> Result<TasksReport> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::failed(
            format!("{name} is no report of tasks: {e}"),
            "give a service with the same version of diag, or a tasks-*.json that `diag-cli capture --kind tasks` wrote",
        )
    })
}

fn table(report: &TasksReport, most: usize, columns: Option<usize>) -> String {
    let totals = report.totals;
    let mut out = format!(
        "{} live tasks of {} spawned, {} over\n",
        units::count(totals.live as i64),
        units::count(totals.spawned as i64),
        units::count(totals.ended as i64)
    );
    out.push_str(&match &report.coverage {
        Some(c) => {
            format!("{} of tokio's {} live tasks are tracked ({:.0} %)\n", c.seen, c.alive, c.share * 100.0)
        }
        None if report.sites.is_empty() => {
            "no task is tracked: spawn with diag::spawn in place of tokio::spawn (feature tokio of diag); \
                                            until then `--list` estimates from the samples of the heap\n"
                .to_owned()
        }
        None => "what share of all tasks is tracked is not known\n".to_owned(),
    });
    if report.sites.is_empty() {
        return out;
    }
    let heads = [
        ("live", Align::Right),
        ("more/h", Align::Right),
        ("age p50", Align::Right),
        ("idle p50", Align::Right),
        ("polls", Align::Right),
        ("in polls", Align::Right),
        ("longest", Align::Right),
        ("verdict", Align::Left),
        ("task", Align::Left),
    ];
    let mut rows = Table::new(&heads);
    for site in report.sites.iter().take(most) {
        rows.row(vec![
            site.live.to_string(),
            site.growth_per_hour.map_or_else(String::new, |growth| format!("+{growth:.0}")),
            seconds(site.age_s.p50),
            seconds(site.idle_s.p50),
            units::count(site.polls as i64),
            seconds(site.busy_s),
            seconds(site.longest_poll_s),
            word(site.verdict),
            named(site),
        ]);
    }
    out.push('\n');
    out.push_str(&rows.render(columns));
    let more = report.more.saturating_add(report.sites.len().saturating_sub(most));
    if more > 0 {
        out.push_str(&format!("and {more} more sites; -n lists more\n"));
    }
    for site in report.sites.iter().filter(|site| site.verdict != TaskVerdict::Ok) {
        out.push_str(&format!(
            "\n{}: {}\n  {}\n",
            word(site.verdict),
            one_line(&named(site)),
            one_line(&site.reason)
        ));
    }
    for (what, lost) in &report.losses {
        out.push_str(&format!("lost: {} {lost}\n", one_line(what)));
    }
    out
}

fn named(site: &SiteReport) -> String {
    let name = site.name.as_deref().map(|name| format!("\"{name}\" ")).unwrap_or_default();
    format!("{name}{} at {}", site.future, site.site)
}

fn word(verdict: TaskVerdict) -> String {
    verdict.word().replace('_', " ")
}

fn seconds(s: f64) -> String {
    units::nanoseconds((s * 1e9) as i64)
}
