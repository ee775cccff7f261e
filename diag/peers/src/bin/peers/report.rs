//! The results as Markdown. Pure, but for what `machine` says.

use std::fmt::Write as _;
use std::time::Duration;

use diag_peers::workloads::Kind;

use crate::Plan;
use crate::judge::{Judged, MOST_OTHERS, Verdict};
use crate::machine::{self, Machine};
use crate::matrix::{Cell, Matrix};
use crate::stats::{LEAST_GROUPS, LEAST_VALUES, Outcome, Spread, median};
use crate::variants::{Outside, VARIANTS, Variant};

const PEERS: [&str; 10] = [
    "axum",
    "console-subscriber",
    "dhat",
    "dial9-tokio-telemetry",
    "jemalloc_pprof",
    "pprof",
    "tikv-jemalloc-sys",
    "tokio",
    "tracing",
    "tracing-subscriber",
];
const MIB: f64 = (1 << 20) as f64;

pub(crate) fn write(
    plan: &Plan,
    machine: &Machine,
    matrix: &Matrix,
    judged: Option<&Judged>,
    took: Duration,
) -> String {
    let mut text = String::new();
    head(&mut text, plan, machine, matrix, took);
    if let Some(judged) = judged {
        targets(&mut text, plan, judged);
    }
    variants(&mut text);
    for &kind in &plan.workloads {
        workload(&mut text, plan, matrix, kind);
    }
    profiles(&mut text, plan, matrix);
    accuracy(&mut text, plan, matrix);
    missing(&mut text, matrix);
    text
}

// Writing to a String does not fail.
macro_rules! line {
    ($text:expr) => { let _ = writeln!($text); };
    ($text:expr, $($what:tt)*) => { let _ = writeln!($text, $($what)*); };
}

fn head(text: &mut String, plan: &Plan, machine: &Machine, matrix: &Matrix, took: Duration) {
    line!(text, "# Peers in one run\n");
    line!(
        text,
        "Written by `diag/peers/run.sh{}`; not edited by hand.",
        if plan.short { " --short" } else { "" }
    );
    if plan.short {
        line!(text, "A short run: it shows that everything works. Its figures are not to be quoted.");
    }
    line!(text, "\n| | |\n|---|---|");
    line!(text, "| date | {}, {:.0} min |", machine.date, took.as_secs_f64() / 60.0);
    line!(text, "| processors | {}, {} |", machine.processors, machine.cpu);
    line!(text, "| kernel | Linux {} |", machine.kernel);
    line!(text, "| compiler | {}, release with `debug = \"limited\"` |", machine.rustc);
    line!(
        text,
        "| rounds | {} of {:.1} s a cell, each a process of its own |",
        plan.rounds,
        plan.window.as_secs_f64()
    );
    let load = (&machine.load_before, machine::load_average());
    line!(text, "| load average | {} before, {} after; nice {} |", load.0, load.1, machine.priority);
    let others: Vec<f64> = matrix.cells.values().flatten().filter_map(|cell| cell.others).collect();
    if let Some(spread) = Spread::of(&others) {
        let most = others.iter().copied().fold(0.0, f64::max);
        line!(
            text,
            "| other programs meanwhile | {:.2} processors in the median cell, {:.2} in the upper quartile, {most:.2} at most |",
            spread.median,
            spread.high
        );
    }
    let versions: Vec<String> =
        machine::versions(&PEERS).into_iter().map(|(name, version)| format!("{name} {version}")).collect();
    line!(text, "| versions | {} |", versions.join(", "));
    let tools = [("heaptrack", "--version"), ("perf", "--version")];
    let tools: Vec<String> = tools
        .into_iter()
        .map(|(tool, flag)| {
            Some(machine::said_by(tool, &[flag])).filter(|v| !v.is_empty()).unwrap_or(format!("no {tool}"))
        })
        .collect();
    line!(text, "| tools | {} |\n", tools.join(", "));
    line!(
        text,
        "Cells are medians over the rounds, with the quartiles. `against` is the change of throughput against the variant's own baseline, \
         round by round; with {} rounds it has no interval, so it is told with quartiles and no verdict. CPU is the process's own by getrusage.\n",
        plan.rounds
    );
}

fn targets(text: &mut String, plan: &Plan, judged: &Judged) {
    line!(text, "## Targets\n");
    let (turns, disturbed) = judged.turns();
    line!(
        text,
        "The service again, apart from the tables: {} rounds of {} turns of {:.1} s each, in which six processes take turns in chance order. \
         Loss is the median over the turns, with its 95 % interval (bootstrap over rounds, then turns). PASS when the whole interval is within \
         the target, FAIL when all of it is beyond, else UNDECIDED, as with fewer than {LEAST_GROUPS} rounds or {LEAST_VALUES} turns. {disturbed} \
         of {turns} turns did not count, because other programs had more than {MOST_OTHERS} processors in them.\n",
        plan.judged_rounds,
        plan.turns,
        plan.turn.as_secs_f64(),
    );
    line!(text, "| target | at most | loss (95 % interval) | |\n|---|---:|---:|---|");
    let verdicts = judged.verdicts();
    for (verdict, (limit, outcome)) in verdicts.iter().filter_map(|verdict| Some((verdict, verdict.limit?))) {
        let outcome = match outcome {
            Outcome::Pass => "**PASS**",
            Outcome::Fail => "**FAIL**",
            Outcome::Undecided => "UNDECIDED",
        };
        line!(text, "| {} | {limit} % | {} | {outcome} |", verdict.what, loss_of(verdict));
    }
    line!(
        text,
        "\nBeside them. The recorder is a tracing layer, and `nothing` has no subscriber at all; so what spans cost by existing is in the losses \
         above. Here is how much that is, and what is left for a service that has a subscriber anyway. CPU time does not pass while others run, \
         so all turns count for it.\n"
    );
    line!(text, "| | more, or less throughput (95 % interval) |\n|---|---:|");
    for verdict in verdicts.iter().filter(|verdict| verdict.limit.is_none()) {
        line!(text, "| {} | {} |", verdict.what, loss_of(verdict));
    }
    line!(text);
}

fn loss_of(verdict: &Verdict) -> String {
    match &verdict.loss {
        Some(loss) => format!("{:+.2} % ({:+.2} to {:+.2})", loss.median, loss.low, loss.high),
        None => "no turn counted".to_owned(),
    }
}

fn variants(text: &mut String) {
    line!(text, "## Who\n\n| | what runs | against |\n|---|---|---|");
    for variant in &VARIANTS {
        line!(text, "| {} | {} | {} |", variant.name, variant.says, variant.against.unwrap_or(""));
    }
    line!(text);
}

fn workload(text: &mut String, plan: &Plan, matrix: &Matrix, kind: Kind) {
    line!(text, "## {}\n\n{}", capital(kind.name()), kind.says());
    if kind == Kind::LiveHeap {
        line!(text, "Here {} objects.", plan.objects);
    }
    line!(
        text,
        "\n| | operations/s | against | p50 us | p99 us | p99.9 us | CPU us/operation | peak RSS MiB | ready after s |"
    );
    line!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for variant in VARIANTS.iter().filter(|variant| variant.runs(kind)) {
        let cells = matrix.of(kind, variant.name);
        if cells.is_empty() {
            continue;
        }
        let spread = |value: fn(&Cell) -> f64| {
            Spread::of(&cells.iter().map(value).collect::<Vec<_>>()).map_or(String::new(), in_figures)
        };
        line!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            variant.name,
            spread(rate),
            against(matrix, kind, variant),
            spread(|c| c.window.p50_us),
            spread(|c| c.window.p99_us),
            spread(|c| c.window.p999_us),
            spread(|c| c.cpu_ns as f64 / 1e3 / c.window.operations.max(1) as f64),
            spread(|c| c.peak_rss_bytes as f64 / MIB),
            spread(|c| c.ready_s),
        );
    }
    let outside = VARIANTS.iter().filter(|variant| variant.outside != Outside::Nobody);
    for variant in outside {
        let cells = matrix.of(kind, variant.name);
        let share = |cell: &Cell| cell.outside_cpu_ns as f64 / 1e9 / cell.life_s * 100.0;
        if let Some(share) = median(&cells.iter().map(share).collect::<Vec<_>>()) {
            line!(text, "\n{}'s own processes: {share:.1} % of a processor, not in the table.", variant.name);
        }
    }
    line!(text);
}

fn rate(cell: &Cell) -> f64 {
    cell.window.operations as f64 / cell.window.seconds
}

fn against(matrix: &Matrix, kind: Kind, variant: &Variant) -> String {
    let Some(base) = variant.against else { return String::new() };
    let base = matrix.of(kind, base);
    let change = |cell: &Cell| {
        let base = base.iter().find(|base| base.round == cell.round)?;
        Some((rate(cell) / rate(base) - 1.0) * 100.0)
    };
    let changes: Vec<f64> = matrix.of(kind, variant.name).iter().filter_map(change).collect();
    Spread::of(&changes).map_or(String::new(), |c| {
        if changes.len() == 1 {
            format!("{:+.1} %", c.median)
        } else {
            format!("{:+.1} % ({:+.1} to {:+.1})", c.median, c.low, c.high)
        }
    })
}

fn profiles(text: &mut String, plan: &Plan, matrix: &Matrix) {
    line!(text, "## To get a profile\n");
    line!(
        text,
        "At the end, in the process, to the encoded bytes; `rise` is how far RSS rose meanwhile. Addresses only, unless `named`. Tools outside work \
         after the process has ended, once a workload. dhat and dial9 write theirs by ending.\n"
    );
    line!(text, "| workload | | profile | ms | rise MiB | file KiB |\n|---|---|---|---:|---:|---:|");
    for &kind in &plan.workloads {
        for variant in VARIANTS.iter().filter(|variant| variant.runs(kind)) {
            let cells = matrix.of(kind, variant.name);
            let mut names: Vec<&str> = Vec::new();
            for taking in cells.iter().flat_map(|cell| &cell.taken.takings) {
                if !names.contains(&taking.what.as_str()) {
                    names.push(&taking.what);
                }
            }
            for name in names {
                let of = |value: fn(&diag_peers::peer::Taking) -> f64| {
                    let takings = cells.iter().flat_map(|cell| &cell.taken.takings);
                    let values: Vec<f64> = takings.filter(|taking| taking.what == name).map(value).collect();
                    Spread::of(&values).map_or(String::new(), in_figures)
                };
                let rise = if variant.outside == Outside::Nobody {
                    of(|t| t.rise_bytes as f64 / MIB)
                } else {
                    "outside".to_owned()
                };
                line!(
                    text,
                    "| {} | {} | {name} | {} | {rise} | {} |",
                    kind.name(),
                    variant.name,
                    of(|t| t.ms),
                    of(|t| t.file_bytes as f64 / 1024.0)
                );
            }
        }
    }
    line!(text);
}

fn accuracy(text: &mut String, plan: &Plan, matrix: &Matrix) {
    line!(text, "## Accuracy\n");
    line!(
        text,
        "What a profile adds up to, over what it should. Heap: bytes in use of the live heap, whose objects are counted by the workload (with samples \
         each 512 KiB of some 500 MB a single profile is off by 3 % by chance; the median is what matters). CPU: nanoseconds of the profile over those \
         that getrusage charged to the process while it was sampled.\n"
    );
    line!(text, "| workload | | heap | CPU |\n|---|---|---:|---:|");
    for &kind in &plan.workloads {
        for variant in VARIANTS.iter().filter(|variant| variant.runs(kind)) {
            let ratios = |ratio: fn(&Cell) -> Option<f64>| {
                let values: Vec<f64> = matrix.of(kind, variant.name).iter().filter_map(ratio).collect();
                let told = |s: Spread| match values.len() {
                    1 => format!("{:.3}", s.median),
                    _ => format!("{:.3} ({:.3} to {:.3})", s.median, s.low, s.high),
                };
                Spread::of(&values).map_or(String::new(), told)
            };
            let heap = ratios(|cell| Some(cell.taken.inuse_bytes? as f64 / cell.taken.true_bytes? as f64));
            let cpu = ratios(|cell| Some(cell.taken.cpu_ns? as f64 / cell.taken.true_cpu_ns? as f64));
            if !heap.is_empty() || !cpu.is_empty() {
                line!(text, "| {} | {} | {heap} | {cpu} |", kind.name(), variant.name);
            }
        }
    }
    line!(
        text,
        "\ndial9's trace has its samples among its events and no total; console-subscriber has no profile. Both are without a figure here.\n"
    );
}

fn missing(text: &mut String, matrix: &Matrix) {
    if matrix.missing.is_empty() {
        return;
    }
    line!(text, "## Not run here\n");
    for ((kind, name), why) in &matrix.missing {
        line!(text, "- {name}, {}: {why}", kind.name());
    }
}

/// With about three figures.
fn in_figures(spread: Spread) -> String {
    let Spread { low, median, high } = spread;
    let decimals = match median.abs() {
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        _ => 2,
    };
    if low == high {
        return format!("{median:.decimals$}");
    }
    format!("{median:.decimals$} ({low:.decimals$} to {high:.decimals$})")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
