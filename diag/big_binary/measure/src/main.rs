//! What naming the addresses of a large program costs, in the process and from outside, for each way of keeping debug
//! information; beside it what else people would use. Prints a table and whether the limits hold.
//!
//! `measure CLI DIR PLAIN [SPLIT DWO PACKED]`: `diag-cli`; a folder to work in; the program with its debug information in it, with that
//! in `.dwo` files and the folder of those, with that in a `.dwp` package. `run.sh` builds them.
//!
//! Cold: the files are not in the page cache and nothing was named before. Warm: they are, in a new process. Memory is the peak
//! of resident memory (`VmHWM`) above what was resident before the question; for commands all of it, with helpers.

mod layouts;
mod names;
mod peers;
mod process;
mod target;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use layouts::{Layout, Names, Split};
use names::Named;
use process::Cost;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the target may take for a question, and what of it may stay: the bound of the answers that are kept.
const MAX_PEAK_MIB: f64 = 64.0;
const MAX_KEPT_MIB: f64 = 16.0;

fn main() -> ExitCode {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (cli, dir, plain, split) = match args.as_slice() {
        [cli, dir, plain] => (cli, dir, plain, None),
        [cli, dir, plain, program, dwo, packed] => (cli, dir, plain, Some(Split { program, dwo, packed })),
        _ => {
            eprintln!("usage: measure CLI DIR PLAIN [SPLIT DWO PACKED]");
            return ExitCode::from(2);
        }
    };
    match run(cli, dir, plain, split) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

fn run(cli: &Path, dir: &Path, plain: &Path, split: Option<Split<'_>>) -> Result<bool> {
    std::fs::create_dir_all(dir)?;
    println!("{}", layouts::describe(plain)?);
    println!();
    println!(
        "| debug information | who | cold s | warm s | again s | peak MiB | kept MiB | named % | with lines % |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut verdicts = Vec::new();
    if split.is_none() {
        println!("| split | not built | | | | | | | |");
    }
    for layout in layouts::all(plain, split, dir)? {
        measure(&layout, cli, dir, &mut verdicts)?;
    }
    println!();
    for (what, holds) in &verdicts {
        println!("{} {what}", if *holds { "PASS" } else { "FAIL" });
    }
    Ok(verdicts.iter().all(|v| v.1))
}

/// All that is measured of one layout; prints rows, adds what has to hold.
fn measure(layout: &Layout, cli: &Path, dir: &Path, verdicts: &mut Vec<(String, bool)>) -> Result<()> {
    let _hidden = layout.hide()?;
    let raw = dir.join("raw.pb.gz");
    let inside = target::measure(layout, &raw)?;
    row(layout, "in the target: flame graph", &inside.cost, &inside.named);
    let (peak, kept) = (inside.cost.peak_mib, inside.cost.kept_mib.unwrap_or(0.0));
    verdicts.push((
        format!(
            "{}: in the target at most {MAX_PEAK_MIB} MiB ({peak:.0}), of which at most {MAX_KEPT_MIB} stay ({kept:.0})",
            layout.name
        ),
        peak <= MAX_PEAK_MIB && kept <= MAX_KEPT_MIB,
    ));
    let in_target = inside.named.percent();
    let enough = match layout.in_target {
        Names::Lines => in_target.0 > 95.0 && in_target.1 > 90.0,
        Names::Functions => in_target.0 > 95.0,
        Names::Nothing => true,
    };
    let wanted = layout.in_target.word();
    verdicts.push((
        format!(
            "{}: in the target {wanted} ({:.0} % named, {:.0} % with lines)",
            layout.name, in_target.0, in_target.1
        ),
        enough,
    ));

    let ours = peers::diag_cli(layout, cli, &raw, dir)?;
    row(layout, "`diag-cli flamegraph`", &ours.cost, &ours.named);
    let outside = ours.named.percent();
    verdicts.push((
        format!("{}: diag-cli names all ({:.0} %), with lines ({:.0} %)", layout.name, outside.0, outside.1),
        outside.0 > 95.0 && outside.1 > 90.0,
    ));
    let mut rivals = vec![
        ("`go tool pprof`", peers::go(layout, &raw, dir)?),
        ("`addr2line -Cfi`", peers::addr2line(layout, &raw)?),
        ("`jemalloc_pprof`, in the process", target::jemalloc_pprof(layout, dir)?),
    ];
    for (who, rival) in &mut rivals {
        match rival {
            Ok(rival) => row(layout, who, &rival.cost, &rival.named),
            Err(why) => println!("| {} | {who} | {why} | | | | | | |", layout.name),
        }
    }
    for (who, rival) in rivals {
        let Some(rival) = rival.ok().filter(|r| r.named.percent().0 > 50.0) else { continue };
        let faster = ours.cost.cold_s < rival.cost.cold_s && ours.cost.warm_s < rival.cost.warm_s;
        verdicts.push((
            format!(
                "{}: diag-cli ({:.2} s, {:.2} s) is faster than {who} ({:.2} s, {:.2} s)",
                layout.name, ours.cost.cold_s, ours.cost.warm_s, rival.cost.cold_s, rival.cost.warm_s
            ),
            faster,
        ));
    }
    Ok(())
}

/// What somebody else took, or why there is nothing to tell.
pub type Rival = std::result::Result<Measured, String>;

/// What was measured of one way to names.
pub struct Measured {
    pub cost: Cost,
    pub named: Named,
}

fn row(layout: &Layout, who: &str, cost: &Cost, named: &Named) {
    let optional =
        |value: Option<f64>, digits: usize| value.map_or(String::new(), |v| format!("{v:.digits$}"));
    let (functions, lines) = named.percent();
    println!(
        "| {} | {who} | {:.2} | {:.2} | {} | {:.0} | {} | {functions:.0} | {lines:.0} |",
        layout.name,
        cost.cold_s,
        cost.warm_s,
        optional(cost.again_s, 2),
        cost.peak_mib,
        optional(cost.kept_mib, 1),
    );
}
