//! All cells, round by round.

use std::collections::BTreeMap;
use std::time::Instant;

use diag_peers::child::Window;
use diag_peers::cost::{Usage, cpu_ns};
use diag_peers::peer::Taken;
use diag_peers::workloads::Kind;
use nix::sys::resource::UsageWho;

use crate::machine::{Busy, processors};
use crate::process::Process;
use crate::variants::{Outside, VARIANTS, Variant};
use crate::{Plan, load, outside};

/// One process's.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) round: usize,
    pub(crate) window: Window,
    /// Of its own threads, in the window.
    pub(crate) cpu_ns: i64,
    pub(crate) peak_rss_bytes: u64,
    pub(crate) taken: Taken,
    /// From the order to start until it was ready to work.
    pub(crate) ready_s: f64,
    /// CPU time of profilers outside, in all its life.
    pub(crate) outside_cpu_ns: i64,
    pub(crate) life_s: f64,
    /// Processors that other programs had; unknown where a profiler runs outside.
    pub(crate) others: Option<f64>,
}

#[derive(Default)]
pub(crate) struct Matrix {
    pub(crate) cells: BTreeMap<(Kind, &'static str), Vec<Cell>>,
    /// Why there is none.
    pub(crate) missing: BTreeMap<(Kind, &'static str), String>,
}

impl Matrix {
    pub(crate) fn of(&self, kind: Kind, name: &str) -> &[Cell] {
        let found = self.cells.iter().find(|((k, n), _)| *k == kind && *n == name);
        found.map_or(&[], |(_, cells)| cells)
    }
}

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Matrix> {
    let mut matrix = Matrix::default();
    for &kind in &plan.workloads {
        let variants: Vec<&'static Variant> =
            VARIANTS.iter().filter(|v| v.runs(kind) && is_wanted(plan, v)).collect();
        for round in 0..plan.rounds {
            let mut order = variants.clone();
            // By steps that spread neighbours: who goes first, and after whom, differs.
            order.rotate_left(round * 5 % variants.len().max(1));
            if round % 2 == 1 {
                order.reverse();
            }
            for variant in order {
                let place = (kind, variant.name);
                if matrix.missing.contains_key(&place) {
                    continue;
                }
                let began = Instant::now();
                match cell(plan, variant, kind, round) {
                    Ok(cell) => {
                        let (name, rate) =
                            (variant.name, cell.window.operations as f64 / cell.window.seconds);
                        eprintln!(
                            "{} round {round} {name}: {rate:.0}/s, {:.1} s",
                            kind.name(),
                            began.elapsed().as_secs_f64()
                        );
                        matrix.cells.entry(place).or_default().push(cell);
                    }
                    Err(error) => {
                        eprintln!("{} round {round} {}: {error:#}", kind.name(), variant.name);
                        matrix.missing.insert(place, format!("{error:#}"));
                    }
                }
            }
        }
    }
    Ok(matrix)
}

fn is_wanted(plan: &Plan, variant: &Variant) -> bool {
    let Some(wanted) = &plan.only_with else { return true };
    let is = |name: &str| name == wanted;
    is(variant.name) || Variant::named(wanted).is_some_and(|wanted| wanted.against == Some(variant.name))
}

fn cell(plan: &Plan, variant: &Variant, kind: Kind, round: usize) -> anyhow::Result<Cell> {
    let apart = kind == Kind::Service && processors() > 1;
    let (began, children_before) = (Instant::now(), cpu_ns(UsageWho::RUSAGE_CHILDREN));
    let mut process = Process::start(plan, variant, kind, apart.then_some(0))?;
    let ready_s = began.elapsed().as_secs_f64();
    if kind == Kind::Service {
        load::load(process.listening()?, plan.warm_up, std::time::Duration::ZERO, apart.then_some(1))?;
    } else {
        process.run(plan.warm_up)?;
    }
    let (busy, before) = (Busy::now(), process.usage()?);
    let window = if kind == Kind::Service {
        load::load(process.listening()?, std::time::Duration::ZERO, plan.window, apart.then_some(1))?
    } else {
        process.run(plan.window)?
    };
    let after: Usage = process.usage()?;
    let cpu_in_window = after.cpu_ns - before.cpu_ns;
    let others = Busy::now().others_since(busy, cpu_in_window);
    let mut taken = process.take()?;
    let own_cpu_ns = process.usage()?.cpu_ns;
    let dir = process.dir.clone();
    process.quit()?;
    let life_s = began.elapsed().as_secs_f64();
    let outside_cpu_ns = match variant.outside {
        Outside::Nobody => 0,
        _ => cpu_ns(UsageWho::RUSAGE_CHILDREN) - children_before - own_cpu_ns,
    };
    outside::take(variant, &dir, own_cpu_ns, round == 0, &mut taken)?;
    let cell = Cell {
        round,
        window,
        cpu_ns: cpu_in_window,
        peak_rss_bytes: after.peak_rss_bytes,
        taken: read(taken),
        ready_s,
        outside_cpu_ns,
        life_s,
        others: (variant.outside == Outside::Nobody).then_some(others),
    };
    std::fs::remove_dir_all(&dir)?;
    Ok(cell)
}

/// What the files say in all; they are gone afterwards.
fn read(mut taken: Taken) -> Taken {
    let total = |file: &Option<std::path::PathBuf>, kind: &str| {
        let profile = diag::profile::pprof::decode(&std::fs::read(file.as_ref()?).ok()?).ok()?;
        Some(profile.total(profile.sample_type_index(kind)?))
    };
    if let Some(bytes) = total(&taken.heap_file, "inuse_space") {
        taken.inuse_bytes = u64::try_from(bytes).ok();
    }
    if let Some(ns) = total(&taken.cpu_file, "cpu") {
        taken.cpu_ns = Some(ns);
    }
    taken
}
