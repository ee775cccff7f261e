//! The three axes: points in processes of their own, tables and pictures.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::point::{FIGURES, Point};
use crate::svg::{Panel, Scale, Series, page};

const USUAL: Point = Point { stacks: 10_000, threads: 4, depth: 40, bounded: false };

/// An axis: its name, its unit, and its points.
struct Axis {
    name: &'static str,
    title: &'static str,
    points: Vec<(f64, Point)>,
}

fn axes() -> [Axis; 4] {
    let stacks = [1_000, 10_000, 100_000, 300_000, 1_000_000];
    let threads = [1, 10, 100, 500, 2_000];
    let depths = [10, 40, 100, 200, 500];
    let live =
        |bounded| stacks.map(|stacks| (f64::from(stacks), Point { stacks, bounded, ..USUAL })).to_vec();
    [
        Axis {
            name: "threads",
            title: "threads",
            points: threads
                .map(|threads| (f64::from(threads), Point { threads, stacks: 1_000, ..USUAL }))
                .to_vec(),
        },
        Axis {
            name: "depth",
            title: "frames a stack",
            points: depths.map(|depth| (f64::from(depth), Point { depth, stacks: 1_000, ..USUAL })).to_vec(),
        },
        Axis { name: "live", title: "live stacks, one sampled block each", points: live(false) },
        Axis { name: "live_bounded", title: "live stacks, tables of 64 MiB", points: live(true) },
    ]
}

/// A point and its figures, in the order of [`FIGURES`].
struct Row {
    at: f64,
    figures: Vec<f64>,
}

pub(crate) fn run(out: &Path) -> ExitCode {
    let mut measured = Vec::new();
    for axis in axes() {
        println!("{}", axis.title);
        println!("{:>10} {}", "", FIGURES.map(|f| format!("{f:>14}")).join(" "));
        let mut rows = Vec::new();
        for (at, point) in &axis.points {
            let figures = ask(point);
            println!(
                "{at:>10} {}",
                figures.iter().map(|f| format!("{f:>14.3}")).collect::<Vec<_>>().join(" ")
            );
            rows.push(Row { at: *at, figures });
        }
        measured.push((axis, rows));
        // After each axis: a run that is broken off leaves what it has.
        write(&measured, out);
    }
    println!("written to {}", out.display());
    ExitCode::SUCCESS
}

fn write(measured: &[(Axis, Vec<Row>)], out: &Path) {
    let mut csv = format!("axis,at,{}\n", FIGURES.join(","));
    for (axis, row) in measured.iter().flat_map(|(axis, rows)| rows.iter().map(move |row| (axis, row))) {
        let figures: Vec<String> = row.figures.iter().map(|f| format!("{f}")).collect();
        let _ = writeln!(csv, "{},{},{}", axis.name, row.at, figures.join(","));
    }
    std::fs::write(out.join("growth.csv"), csv).unwrap();
    std::fs::write(out.join("growth.json"), json(measured)).unwrap();
    let rows = |name: &str| measured.iter().find(|m| m.0.name == name).map(|m| &m.1);
    for (axis, own) in measured.iter().filter(|m| m.0.name != "live_bounded") {
        let bounded = if axis.name == "live" { rows("live_bounded") } else { None };
        let picture = picture(axis.title, own, bounded);
        std::fs::write(out.join(format!("{}.svg", axis.name)), picture).unwrap();
    }
}

/// Measures a point in a process of its own.
fn ask(point: &Point) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--bench", "--point", &point.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{point}: {}", String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().map(|f| f.parse().unwrap()).collect()
}

fn json(measured: &[(Axis, Vec<Row>)]) -> String {
    let axes = measured.iter().map(|(axis, rows)| {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                let figures = FIGURES.iter().zip(&row.figures).map(|(k, v)| ((*k).to_owned(), (*v).into()));
                let at = std::iter::once(("at".to_owned(), row.at.into()));
                serde_json::Value::Object(at.chain(figures).collect())
            })
            .collect();
        (axis.name.to_owned(), serde_json::Value::Array(rows))
    });
    serde_json::to_string_pretty(&serde_json::Value::Object(axes.collect())).unwrap()
}

fn picture(title: &str, rows: &[Row], bounded: Option<&Vec<Row>>) -> String {
    let line = |name: &str, figure: &str, rows: &[Row]| {
        let at = FIGURES.iter().position(|f| *f == figure).unwrap();
        Series { name: name.to_owned(), points: rows.iter().map(|r| (r.at, r.figures[at])).collect() }
    };
    let mut memory = vec![line("as large as needed", "own_mib", rows)];
    memory.extend(bounded.map(|rows| line("bounded to 64 MiB, as usual", "own_mib", rows)));
    let panel =
        |y: &str, series| Panel { x: title.to_owned(), y: y.to_owned(), scale: Scale::Logarithmic, series };
    page(&[
        panel("ns", vec![line("a sample, with its free", "sample_ns", rows)]),
        panel(
            "ms",
            vec![
                line("snapshot", "snapshot_ms", rows),
                line("with pprof file", "pprof_ms", rows),
                line("census", "census_ms", rows),
                line("worst allocation meanwhile", "stall_ms", rows),
                line("worst allocation without", "quiet_stall_ms", rows),
            ],
        ),
        panel("MiB that diag holds", memory),
        panel(
            "ms",
            vec![
                line("CPU recording: start", "cpu_start_ms", rows),
                line("stop, to the profile", "cpu_stop_ms", rows),
            ],
        ),
    ])
}
