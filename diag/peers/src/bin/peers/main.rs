//! One profiler after another over the same workloads, and what each costs and gives: a table in Markdown.
//!
//! `run.sh` builds all programs and starts this one:
//!
//! ```text
//! peers [--short] [--rounds N] [--seconds S] [--turns N] [--out FILE] [--console DIR] [--dial9 DIR] [--only WORKLOAD] [--with NAME]
//! ```
//!
//! - Each cell is a process of its own (`variants`), anew each round. The order of the variants turns with the rounds, and a variant is compared
//!   with its baseline round by round, so that a drift of the machine cancels.
//! - The targets are judged apart from that (`judge`), on the service, in many short turns.
//! - The service and what profiles it have the first processor, its client the second. Other workloads have both.
//! - What other programs took of the processors meanwhile is measured and told (`machine`).

mod judge;
mod load;
mod machine;
mod matrix;
mod outside;
mod process;
mod report;
mod stats;
mod variants;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use diag_peers::workloads::Kind;

/// What is to be run, and how long.
pub(crate) struct Plan {
    pub(crate) short: bool,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    /// Of the judged service: rounds of new processes, turns in each, length of a turn.
    pub(crate) judged_rounds: usize,
    pub(crate) turns: usize,
    pub(crate) turn: Duration,
    pub(crate) objects: usize,
    pub(crate) workloads: Vec<Kind>,
    pub(crate) only_with: Option<String>,
    pub(crate) programs: variants::Programs,
    pub(crate) scratch: PathBuf,
    out: PathBuf,
}

impl Plan {
    fn of(arguments: &[String]) -> anyhow::Result<Self> {
        let after = |flag: &str| {
            let at = arguments.iter().position(|a| a == flag)?;
            arguments.get(at + 1).cloned()
        };
        let number = |flag: &str, default: f64| after(flag).and_then(|n| n.parse().ok()).unwrap_or(default);
        let short = arguments.iter().any(|a| a == "--short");
        let pick = |long: f64, brief: f64| if short { brief } else { long };
        let only = after("--only");
        let workloads: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| only.as_ref().is_none_or(|only| kind.name() == only))
            .collect();
        anyhow::ensure!(
            !workloads.is_empty(),
            "no such workload; there are: {:?}",
            Kind::ALL.map(Kind::name)
        );
        let here = std::env::current_exe()?;
        let plain = here.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Self {
            short,
            rounds: number("--rounds", pick(5.0, 1.0)) as usize,
            window: Duration::from_secs_f64(number("--seconds", pick(1.5, 0.4))),
            warm_up: Duration::from_secs_f64(pick(0.3, 0.1)),
            judged_rounds: number("--judged-rounds", pick(8.0, 2.0)) as usize,
            turns: number("--turns", pick(8.0, 3.0)) as usize,
            turn: Duration::from_secs_f64(pick(1.0, 0.5)),
            // Powers of two, so that the table of them is a size class of jemalloc as well.
            objects: if short { 1 << 17 } else { 1 << 20 },
            workloads,
            only_with: after("--with"),
            programs: variants::Programs {
                plain,
                console: after("--console").map(PathBuf::from),
                dial9: after("--dial9").map(PathBuf::from),
            },
            scratch: std::env::temp_dir().join(format!("diag-peers-{}", std::process::id())),
            out: after("--out").map_or_else(|| PathBuf::from("RESULTS.md"), PathBuf::from),
        })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Plan::of(&arguments).and_then(|plan| run(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> anyhow::Result<()> {
    std::fs::create_dir_all(&plan.scratch)?;
    let (began, machine) = (Instant::now(), machine::Machine::look());
    let done = matrix::run(plan).and_then(|matrix| {
        let judged = plan.workloads.contains(&Kind::Service) && plan.only_with.is_none();
        let judged = if judged { Some(judge::run(plan)?) } else { None };
        Ok((matrix, judged))
    });
    // Also when it failed: heaps and traces are large.
    let _ = std::fs::remove_dir_all(&plan.scratch);
    let (matrix, judged) = done?;
    let text = report::write(plan, &machine, &matrix, judged.as_ref(), began.elapsed());
    std::fs::write(&plan.out, &text)?;
    println!("{text}");
    eprintln!("written: {}", plan.out.display());
    Ok(())
}
