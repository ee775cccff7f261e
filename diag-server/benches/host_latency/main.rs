//! What the host's clients notice while diag's listener is abused: latency of an axum service, in rounds of four sorts, in turns, in one run.
//!
//! ```text
//! cargo bench -p diag-server --bench host_latency -- [--rounds N] [--seconds N] [--anywhere]
//! ```
//!
//! The criterion: under abuse p50 and p99 move by less than [`LIMIT_PERCENT`]. Passed when the whole 95 % interval of the median over the
//! rounds is below that; the last line says so, and the exit code is 0 only then.
//!
//! - *quiet*, and *again*: nobody abuses anything. How far the two are apart is the noise of this machine.
//! - *sink*: another process opens 500 connections at once each second, sends endless headers, huge ones, bad parameters and a hundred requests in
//!   a packet, at a fixed rate, to a listener of its own that closes each connection. What moves is the cost of such clients on this machine.
//! - *diag*: the same process sends the same to diag's listener. What moves beyond *sink* is diag's, and is what is judged.
//!
//! The abusers run here, so their CPU time must be kept apart: they have the processors but the first for themselves, and the lowest priority.
//! Host, its clients and diag share the first one, so that whatever diag's listener uses it takes from them: the worst case, that of a
//! container with one processor. `--anywhere` leaves all to the scheduler, which is nearer to a larger machine, and noisier.
//!
//! The listener's own CPU is that of its threads by the kernel's count, in percent of one processor; `cpu` is all that the first processor did,
//! interrupts and network included.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark"
)]

mod abuse;
mod compare;
mod cpu;
mod host;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use abuse::{Abusers, Report};
use compare::{Change, Outcome, quantile};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const LIMIT_PERCENT: f64 = 5.0;
const WARM_UP: Duration = Duration::from_millis(700);
/// The flag of the process that has its place already, and the processors for the abusers.
const PLACED: &str = "--placed";
/// Loads that differ by more are not the same.
const SAME_LOAD: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Quiet,
    Again,
    Sink,
    Diag,
}

/// One round.
struct Round {
    sort: Sort,
    p50: f64,
    p99: f64,
    requests: f64,
    /// Percent of one processor: of diag's listener, of the processor it shares with the host, of the abusers.
    listener: f64,
    processor: f64,
    abusers: f64,
    report: Report,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| {
        let at = arguments.iter().position(|a| a == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(target) = after(abuse::FLAG) {
        abuse::run(target);
        return ExitCode::SUCCESS;
    }
    let processors = cpu::allowed();
    let apart = !arguments.iter().any(|a| a == "--anywhere");
    if apart && after(PLACED).is_none() {
        return place(&processors, &arguments);
    }
    let number = |flag: &str, default: u64| after(flag).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (rounds, seconds) = (number("--rounds", 15), number("--seconds", 5));
    let bench = Bench::start(after(PLACED).map(str::to_owned), processors);
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut order = [Sort::Quiet, Sort::Sink, Sort::Diag, Sort::Again];
        order.rotate_left(round as usize % 4);
        all.extend(order.map(|sort| bench.round(sort, Duration::from_secs(seconds), round)));
    }
    println!("{rounds} rounds of {seconds} s of each sort, {} clients of the host", host::CLIENTS);
    println!("{}\n", if apart { "the abusers on processors of their own" } else { "all on any processor" });
    let passed = tell(&all);
    bench.tell_counters();
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts again on the first processor; the others are for the abusers.
fn place(processors: &[String], arguments: &[String]) -> ExitCode {
    let Some((first, others)) = processors.split_first().filter(|(_, others)| !others.is_empty()) else {
        println!("this takes two processors, one for the abusers alone; or --anywhere, which tells less");
        return ExitCode::from(2);
    };
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", first]).arg(exe).args(arguments).args([PLACED, &others.join(",")]);
    let status = command.status().expect("taskset is there (util-linux)");
    ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

struct Bench {
    _diag: diag::Diag,
    listener: SocketAddr,
    host: SocketAddr,
    /// For the abusers.
    others: Option<String>,
    first: String,
}

impl Bench {
    fn start(others: Option<String>, processors: Vec<String>) -> Self {
        let diag = diag::Diag::builder().service_name("bench").listen(LOCAL).start().expect("diag");
        let listener = diag_server::serve(&diag).expect("the listener").local_addr();
        let host = host::start(LOCAL);
        Self { _diag: diag, listener, host, others, first: processors[0].clone() }
    }

    fn round(&self, sort: Sort, length: Duration, seed: u64) -> Round {
        let abusers = match sort {
            Sort::Quiet | Sort::Again => None,
            Sort::Sink => Some(Abusers::start(None, self.others.as_deref())),
            Sort::Diag => Some(Abusers::start(Some(self.listener), self.others.as_deref())),
        };
        host::load(self.host, WARM_UP, seed + 1_000_000);
        let theirs = || abusers.as_ref().map_or(0, |a| cpu::of_process(a.pid()));
        let (threads, processor, of_abusers) =
            (cpu::threads("diag-"), cpu::Processor::now(&self.first), theirs());
        let began = Instant::now();
        let times = host::load(self.host, length, seed);
        let took_ns = began.elapsed().as_nanos() as f64;
        let percent = |ns: u64| ns as f64 / took_ns * 100.0;
        Round {
            sort,
            p50: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
            requests: times.len() as f64 / took_ns * 1e9,
            listener: percent(cpu::since(&threads, &cpu::threads("diag-"))),
            processor: cpu::Processor::now(&self.first).busy_percent_since(processor),
            abusers: percent(theirs() - of_abusers),
            report: abusers.map(Abusers::end).unwrap_or_default(),
        }
    }

    fn tell_counters(&self) {
        let mut metrics = TcpStream::connect(self.listener).expect("the listener goes on");
        write!(metrics, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        metrics.read_to_string(&mut text).unwrap();
        println!();
        text.lines().filter(|l| l.starts_with("diag_server_")).for_each(|line| println!("{line}"));
    }
}

/// Prints all; whether the criterion is met.
fn tell(all: &[Round]) -> bool {
    let of = |sort: Sort, value: fn(&Round) -> f64| -> Vec<f64> {
        all.iter().filter(|r| r.sort == sort).map(value).collect()
    };
    println!("medians over the rounds (least, most)");
    println!(
        "{:<8}{:>11}{:>22}{:>24}{:>10}{:>8}{:>10}{:>9}{:>11}{:>10}{:>10}",
        "",
        "requests/s",
        "p50 us",
        "p99 us",
        "listener",
        "cpu",
        "abusers",
        "begun/s",
        "connected",
        "answered",
        "left out"
    );
    for (sort, name) in
        [(Sort::Quiet, "quiet"), (Sort::Again, "again"), (Sort::Sink, "sink"), (Sort::Diag, "diag")]
    {
        let spread = |value: fn(&Round) -> f64| {
            let values = of(sort, value);
            let at = |share| quantile(&values, share);
            format!("{:.0} ({:.0}, {:.0})", at(0.5), at(0.0), at(1.0))
        };
        let middle = |value: fn(&Round) -> f64| quantile(&of(sort, value), 0.5);
        println!(
            "{name:<8}{:>11.0}{:>22}{:>24}{:>8.2} %{:>6.1} %{:>8.1} %{:>9.0}{:>11.0}{:>10.0}{:>10.0}",
            middle(|r| r.requests),
            spread(|r| r.p50),
            spread(|r| r.p99),
            middle(|r| r.listener),
            middle(|r| r.processor),
            middle(|r| r.abusers),
            middle(|r| r.report.begun),
            middle(|r| r.report.connected),
            middle(|r| r.report.answered),
            middle(|r| r.report.left_out),
        );
    }
    println!("\nround by round: median of the differences (its 95 % interval)");
    let compare = |new: Sort, base: Sort, what: &str| {
        let change = |value| Change::of(&of(new, value), &of(base, value));
        let both = [change(|r| r.p50), change(|r| r.p99)];
        let [p50, p99] = both.map(|c| format!("{:+.1} % ({:+.1}, {:+.1})", c.median, c.low, c.high));
        println!("{what:<44}p50 {p50:>24}    p99 {p99:>24}");
        both
    };
    let noise = compare(Sort::Again, Sort::Quiet, "again against quiet: noise");
    compare(Sort::Sink, Sort::Quiet, "sink against quiet: the clients");
    let ours = compare(Sort::Diag, Sort::Sink, "diag against sink: diag");
    let more = |value: fn(&Round) -> f64| {
        quantile(&of(Sort::Diag, value), 0.5) - quantile(&of(Sort::Sink, value), 0.5)
    };
    println!(
        "\ndiag's listener takes {:+.2} % of a processor, and with the kernel's work for it {:+.1} %",
        more(|r| r.listener),
        more(|r| r.processor)
    );
    verdict(ours, noise, more(|r| r.report.begun) / quantile(&of(Sort::Sink, |r| r.report.begun), 0.5))
}

fn verdict(ours: [Change; 2], noise: [Change; 2], load_differs: f64) -> bool {
    println!(
        "criterion: p50 and p99 move by less than {LIMIT_PERCENT} %, diag against sink, with the whole interval"
    );
    if load_differs.is_nan() || load_differs.abs() > SAME_LOAD {
        println!("UNDECIDED: the load was not the same ({:+.1} %)", load_differs * 100.0);
        return false;
    }
    let mut passed = true;
    for (name, ours, noise) in [("p50", ours[0], noise[0]), ("p99", ours[1], noise[1])] {
        let outcome = ours.below(LIMIT_PERCENT);
        let why = match outcome {
            Outcome::Pass => format!("at most {:+.1} %", ours.high),
            Outcome::Fail => format!("at least {:+.1} %", ours.low),
            Outcome::Undecided if noise.below(LIMIT_PERCENT) != Outcome::Pass => {
                "this machine alone moves as much: run it on a quieter one".to_owned()
            }
            Outcome::Undecided => format!("up to {:+.1} %: run more rounds", ours.high),
        };
        println!("{name}: {} ({why})", format!("{outcome:?}").to_uppercase());
        passed &= outcome == Outcome::Pass;
    }
    println!("{}", if passed { "PASS" } else { "NOT PASSED" });
    passed
}
