//! Cases that a verdict must get right, one by one; rates of error are simulated in `simulation`.

use super::simulation::{Births, Lifetime, PERIOD, Population, Process, S, judge_cohorts};
use super::*;
use crate::profile::cohorts::{Census, Tally};
use crate::profile::testing::Stacks as Named;

const UNTIL: f64 = 3600.0;

fn leak(rate: f64) -> Population {
    Population { births: Births::Steady(rate), lifetime: Lifetime::Leak { share: 1.0, mean: 1.0 } }
}

fn steady(rate: f64, mean: f64) -> Population {
    Population { births: Births::Steady(rate), lifetime: Lifetime::Exponential(mean) }
}

/// Level sites, so that one that grows stands out.
fn rest() -> Vec<Population> {
    (0..10).map(|i| steady(0.1, 100.0 + 20.0 * f64::from(i))).collect()
}

fn with(populations: &[Population]) -> Vec<Population> {
    let mut all = rest();
    all.extend_from_slice(populations);
    all
}

fn leaks(report: &Report) -> Vec<&str> {
    let leaks = report.suspects.iter().filter(|s| s.verdict == SuspectVerdict::Leak);
    leaks.map(|s| s.site.as_str()).collect()
}

fn options() -> Options {
    Options { period_bytes: PERIOD as u64, process_start_ns: Some(0), ..Options::default() }
}

#[test]
fn two_leaks_at_once_are_both_named_the_faster_first() {
    let report = Process::new(&with(&[leak(0.03), leak(0.1)]), UNTIL, 1).judge(0.0, 64.0);
    assert_eq!(leaks(&report), ["stack11", "stack10"]);
    let first = &report.suspects[0];
    let truth = 0.1 * 3600.0 * PERIOD;
    assert!(first.bytes_per_hour_low < truth && truth < first.bytes_per_hour * 1.3, "{first:?}");
    assert!((first.growth_exponent - 1.0).abs() < 0.4 && first.generations == 16, "{first:?}");
    assert!((first.age_p50_s - UNTIL / 2.0).abs() < 300.0, "{first:?}");
    assert_eq!(report.verdict, Verdict::Leak);
}

/// Eight sites of one function leak 5 samples each in the window: none is significant alone.
#[test]
fn a_leak_spread_over_the_sites_of_one_function_is_charged_to_it() {
    let graph: Vec<Population> = (0..8).map(|_| leak(5.0 / (UNTIL / 2.0))).collect();
    let mut found = 0;
    for seed in 0..20 {
        let process = Process::new(&with(&graph), UNTIL, seed);
        let mut named = Named::new(&["inuse_objects/count", "inuse_space/bytes"]);
        for (number, lives) in process.stacks.iter().enumerate() {
            let alive = lives.iter().filter(|(_, died)| *died > UNTIL).count() as i64;
            let caller = if number < 10 { format!("handler{number}") } else { "Order::build".to_owned() };
            named = named.add(&format!("main;{caller};stack{number}"), &[alive, alive * PERIOD as i64]);
        }
        let report = judge_cohorts(&process.cohorts(0.0, UNTIL / 64.0), &named.build(), &options());
        let leaks = leaks(&report);
        assert!(
            leaks.iter().all(|site| *site == "Order::build" || site.len() == "stack10".len()),
            "{report}"
        );
        found += usize::from(leaks.contains(&"Order::build"));
    }
    assert!(found >= 18, "{found} of 20");
}

/// A few bursts of 30 samples that stay: too few to accuse, too much to say that there is nothing.
#[test]
fn growth_in_bursts_is_told() {
    let bursts = Population { births: Births::Batched { rate: 0.003, size: 30 }, ..leak(0.0) };
    let mut told = 0;
    for seed in 0..20 {
        let report = Process::new(&with(&[bursts]), UNTIL, seed).judge(0.0, 64.0);
        let of_bursts = report.reasons.iter().any(|r| r.contains("stack10 keeps") && r.contains("unevenly"));
        assert!(report.verdict != Verdict::NotEnoughEvidence || !report.reasons.is_empty(), "{report}");
        told += usize::from(report.verdict == Verdict::Leak || of_bursts);
    }
    assert!(told >= 17, "{told} of 20");
    // Batches that end are as many before as after, most of the time.
    let batches = Population { births: Births::Batched { rate: 0.05, size: 30 }, ..steady(0.0, 120.0) };
    let calm = (0..20).filter(|seed| {
        Process::new(&with(&[batches]), UNTIL, *seed).judge(0.0, 64.0).verdict == Verdict::NoLeak
    });
    let calm = calm.count();
    assert!(calm >= 15, "{calm} of 20");
}

#[test]
fn a_leak_beside_churn_in_the_same_stack_is_found() {
    let population =
        Population { births: Births::Steady(0.3), lifetime: Lifetime::Leak { share: 0.1, mean: 60.0 } };
    let report = Process::new(&with(&[population]), UNTIL, 2).judge(0.0, 64.0);
    assert_eq!(leaks(&report), ["stack10"]);
}

#[test]
fn a_leak_that_begins_late_is_named_once_there_is_time_before_it() {
    let late = Population { births: Births::From { rate: 0.1, at: 1500.0 }, ..leak(0.1) };
    let report = Process::new(&with(&[late]), 4.0 * UNTIL, 3).judge(0.0, 64.0);
    assert_eq!(leaks(&report), ["stack10"]);
}

#[test]
fn an_honest_population_that_begins_late_is_not_accused() {
    for seed in 0..20 {
        let late = Population { births: Births::From { rate: 0.3, at: 2000.0 }, ..steady(0.3, 300.0) };
        let report = Process::new(&with(&[late]), UNTIL, seed).judge(0.0, 64.0);
        assert_eq!(leaks(&report), [""; 0], "seed {seed}: {report:?}");
    }
}

#[test]
fn a_leak_is_found_while_load_doubles() {
    let doubling = Population { births: Births::Doubling { rate: 0.05, at: 1800.0 }, ..leak(0.05) };
    let report = Process::new(&with(&[doubling]), 2.0 * UNTIL, 4).judge(0.0, 64.0);
    assert_eq!(leaks(&report), ["stack10"]);
}

#[test]
fn a_cache_that_fills_over_half_the_watch_is_told_from_a_leak() {
    let runs = 200;
    let told = (0..runs).filter(|seed| {
        // 128 MiB: 256 samples, full after half of the time.
        let cache =
            Population { births: Births::Steady(256.0 / (UNTIL / 2.0)), lifetime: Lifetime::Bounded(256) };
        leaks(&Process::new(&with(&[cache]), UNTIL, *seed).judge(0.0, 64.0)).is_empty()
    });
    let told = told.count();
    assert!(told * 100 >= 99 * runs as usize, "{told} of {runs}");
}

#[test]
fn a_watch_of_an_old_process_uses_all_of_its_time() {
    let process = Process::new(&with(&[leak(0.1)]), 7200.0, 5);
    // The last ten minutes.
    let report = process.judge(6600.0, 64.0);
    assert_eq!(leaks(&report), ["stack10"]);
    assert!((report.window_s - 600.0).abs() < 20.0, "{report:?}");
    for seed in 0..20 {
        let innocent = Process::new(&with(&[steady(0.2, 1000.0)]), 7200.0, seed).judge(6600.0, 64.0);
        assert_eq!(leaks(&innocent), [""; 0], "seed {seed}: {innocent:?}");
    }
}

#[test]
fn a_watch_in_which_load_is_higher_than_before_accuses_nobody() {
    for seed in 0..20 {
        let rising = |rate, mean| Population {
            births: Births::Doubling { rate, at: 6600.0 },
            lifetime: Lifetime::Exponential(mean),
        };
        let all: Vec<Population> = (0..10).map(|i| rising(0.3, 60.0 + 30.0 * f64::from(i))).collect();
        let report = Process::new(&all, 7200.0, seed).judge(6600.0, 64.0);
        assert_eq!(leaks(&report), [""; 0], "seed {seed}: {:?}", report.suspects.first());
    }
}

/// Eight times as many samples from some moment on, each for an eighth of the bytes.
#[test]
fn a_change_of_the_sampling_rate_accuses_nobody() {
    for seed in 0..20 {
        let faster = |rate, mean| Population {
            births: Births::Shifted { rate, factor: 8.0, at: 1800.0 },
            lifetime: Lifetime::Exponential(mean),
        };
        let all: Vec<Population> = (0..10).map(|i| faster(0.05, 100.0 + 50.0 * f64::from(i))).collect();
        let report = Process::new(&all, UNTIL, seed).judge(0.0, 64.0);
        assert_eq!(leaks(&report), [""; 0], "seed {seed}: {:?}", report.suspects.first());
    }
}

#[test]
fn a_young_process_is_told_so_and_nobody_is_accused() {
    // All caches fill, in half a minute.
    let filling = [steady(5.0, 1e9), steady(3.0, 1e9)];
    let report = Process::new(&filling, 30.0, 6).judge(0.0, 60.0);
    assert_eq!(report.verdict, Verdict::NotEnoughEvidence, "{report:?}");
    assert_eq!(leaks(&report), [""; 0]);
    assert!(report.reasons.iter().any(|r| r.contains("30 s old")), "{:?}", report.reasons);
    // And in some minutes, when more grows than is level.
    let report = Process::new(&filling, 240.0, 6).judge(0.0, 64.0);
    assert_eq!(report.verdict, Verdict::NotEnoughEvidence, "{report:?}");
    assert!(report.reasons.iter().any(|r| r.contains("young")), "{:?}", report.reasons);
}

/// Four kinds of parts, all built by one function that builds nothing else: one thing grows, not four.
#[test]
fn the_parts_of_an_object_graph_do_not_make_a_young_process_look_like_one_that_warms_up() {
    let mut populations = vec![steady(1.0, 20.0), steady(1.0, 30.0)];
    populations.extend([leak(1.0); 4]);
    let process = Process::new(&populations, 120.0, 14);
    let mut named = Named::new(&["inuse_objects/count", "inuse_space/bytes"]);
    for (number, lives) in process.stacks.iter().enumerate() {
        let alive = lives.iter().filter(|(_, died)| *died > 120.0).count() as i64;
        let caller = if number < 2 { "handle" } else { "Order::build" };
        let values = [alive, alive * PERIOD as i64];
        named = named.add(&format!("main;{caller};stack{number}"), &values);
    }
    // More of the program elsewhere, or the function would hold most of it.
    for number in 6..12 {
        named = named.add(&format!("main;other{number};stack{number}"), &[1, 1]);
    }
    let mut process = process;
    process.stacks.extend((6..12).map(|_| vec![(1.0, 1e9)]));
    let report = judge_cohorts(&process.cohorts(0.0, 120.0 / 64.0), &named.build(), &options());
    assert_eq!(leaks(&report).len(), 4, "{report}");
}

/// A queue that falls behind: everything in it is young, and there is more and more of it.
#[test]
fn growth_that_no_site_explains_is_not_called_innocence() {
    let until = 600.0;
    let mut process = Process::new(&rest(), until, 15);
    let queue = (0..6000).map(|i| {
        let born = f64::from(i) * 0.1;
        (born, born + born * 0.12)
    });
    process.stacks.push(queue.collect());
    let report = process.judge(0.0, 64.0);
    assert_ne!(report.verdict, Verdict::NoLeak, "{report}");
    assert!(
        report.verdict == Verdict::Leak || report.reasons.iter().any(|r| r.contains("queue")),
        "{report}"
    );
}

/// One route's load rises while that of the process stays as it is.
#[test]
fn a_route_whose_load_rises_is_not_accused() {
    for seed in 0..10 {
        let rising = Population {
            births: Births::Shifted { rate: 0.5, factor: 4.0, at: 1800.0 },
            lifetime: Lifetime::Exponential(300.0),
        };
        let mut all = rest();
        all.extend([steady(5.0, 20.0), rising]);
        let report = Process::new(&all, UNTIL, seed).judge(0.0, 64.0);
        assert_eq!(leaks(&report), [""; 0], "seed {seed}: {report}");
    }
}

/// Sessions of a minute in a process of a minute and a half.
#[test]
fn the_first_fill_of_a_population_that_turns_over_is_not_accused() {
    for seed in 0..10 {
        let mut all: Vec<Population> = (0..4).map(|_| steady(2.0, 8.0)).collect();
        all.push(steady(10.0, 60.0));
        let report = Process::new(&all, 90.0, seed).judge(0.0, 90.0);
        assert_eq!(leaks(&report), [""; 0], "seed {seed}: {report}");
    }
}

#[test]
fn suspects_of_another_report_are_added_once_and_ranked() {
    let mut fast = Process::new(&with(&[leak(0.03)]), UNTIL, 1).judge(0.0, 64.0);
    let both = Process::new(&with(&[leak(0.03), leak(0.1)]), UNTIL, 1).judge(0.0, 64.0);
    fast.add_suspects(both.suspects.clone());
    let ranked: Vec<_> = fast.suspects.iter().map(|s| (s.rank, s.site.as_str())).collect();
    assert_eq!(ranked, [(1, "stack11"), (2, "stack10")]);
    let mut innocent = Process::new(&rest(), UNTIL, 1).judge(0.0, 64.0);
    innocent.add_suspects(both.suspects);
    assert_eq!(innocent.verdict, Verdict::Leak);
}

#[test]
fn a_declared_cap_is_believed_until_it_is_exceeded() {
    let process = Process::new(&with(&[leak(0.1)]), UNTIL, 7);
    let cohorts = process.cohorts(0.0, UNTIL / 64.0);
    let capped = |cap_bytes| {
        let declared =
            vec![Declared { name: "Stack10".into(), cap_bytes: Some(cap_bytes), ..Declared::default() }];
        judge_cohorts(&cohorts, &process.profile(), &Options { declared, ..options() })
    };
    let below = capped(1 << 40);
    assert_eq!(below.suspects[0].verdict, SuspectVerdict::Saturating);
    assert_eq!(below.verdict, Verdict::NoLeak);
    assert!(below.suspects[0].evidence.contains("declared"), "{}", below.suspects[0].evidence);
    assert_eq!(capped(1 << 20).verdict, Verdict::Leak);
}

#[test]
fn a_gauge_is_told_with_the_suspect() {
    let process = Process::new(&with(&[leak(0.1)]), UNTIL, 7);
    let gauge =
        Declared { name: "stack10".into(), len: Some(4711), capacity: Some(8192), ..Declared::default() };
    let options = Options { declared: vec![gauge], ..options() };
    let report = judge_cohorts(&process.cohorts(0.0, UNTIL / 64.0), &process.profile(), &options);
    let evidence = &report.suspects[0].evidence;
    assert!(evidence.ends_with("its gauge stack10 says 4711, room for 8192"), "{evidence}");
}

#[test]
fn lost_samples_are_no_proof_of_innocence() {
    let process = Process::new(&rest(), UNTIL, 13);
    let judged = |lost: u64| {
        let losses = BTreeMap::from([("live_table_full".to_owned(), lost)]);
        let options = Options { losses, ..options() };
        judge_cohorts(&process.cohorts(0.0, UNTIL / 64.0), &process.profile(), &options)
    };
    assert_eq!(judged(2).verdict, Verdict::NoLeak);
    let blind = judged(1000);
    assert_eq!(blind.verdict, Verdict::NotEnoughEvidence);
    assert!(blind.reasons.iter().any(|r| r.contains("1000 samples were lost")), "{:?}", blind.reasons);
    assert!(blind.to_string().contains("live_table_full 1000"), "{blind}");
}

#[test]
fn time_to_the_limit_is_told() {
    let process = Process::new(&with(&[leak(0.1)]), UNTIL, 8);
    let limit = Some((1u64 << 30, 1u64 << 29));
    let options = Options { limit, ..options() };
    let report = judge_cohorts(&process.cohorts(0.0, UNTIL / 64.0), &process.profile(), &options);
    let expected = (1u64 << 29) as f64 / (0.1 * PERIOD);
    let told = report.suspects[0].seconds_to_limit.unwrap();
    assert!((told / expected - 1.0).abs() < 0.3, "{told} s, expected {expected}");
}

#[test]
fn one_container_that_doubles_is_one_sample_and_is_found() {
    // 1 MiB at 64 s, 2 MiB at 128 s and so on, against one that was built at the start and one that stopped.
    let until = 3600;
    let mut cohorts = Cohorts::new(0, 30 * S, 1 << 30);
    for at in (0..=until).step_by(30) {
        let mut taking = cohorts.census(Census { at_ns: at * S, ..Census::default() }).unwrap();
        let mut block = |row, born: i64, size: u64| {
            if size > 0 {
                taking.object(row, born * S, size, Tally::of(1.0, size as f64));
            }
        };
        let doubled = |at: i64| if at < 64 { 0 } else { 1u64 << (20 + (at / 64).ilog2()) };
        block(0, 60, doubled(at));
        block(1, 1, 1 << 26);
        block(2, 60, doubled(at.min(600)));
        taking.finish();
    }
    let process = Process { stacks: vec![Vec::new(); 3], until: until as f64 };
    let report = judge_cohorts(&cohorts, &process.profile(), &options());
    assert_eq!(leaks(&report), ["stack0"], "{report:#?}");
    let suspect = &report.suspects[0];
    // What it holds is 8 MiB at 1024 s and 16 MiB at 2048 s; nobody knows of more at 3600 s.
    let truth = f64::from(1 << 20) / 128.0 * 3600.0;
    assert!((suspect.bytes_per_hour / truth - 1.0).abs() < 0.05, "{} of {truth}", suspect.bytes_per_hour);
    assert!(suspect.bytes_per_hour_low > truth / 4.0 && suspect.bytes_per_hour_low < truth, "{suspect:?}");
    let evidence = "its largest block doubled 5 times, once in each octave of the process's age, from 4.0 MiB to 32.0 MiB within the last 51.";
    assert!(suspect.evidence.starts_with(evidence), "{}", suspect.evidence);
    assert!(report.to_string().contains("   grows about +28."), "{report}");
    let limited = Options { limit: Some((1 << 30, 1 << 29)), ..options() };
    let left = judge_cohorts(&cohorts, &process.profile(), &limited).suspects[0].seconds_to_limit.unwrap();
    assert!((left / f64::from(1 << 29) * truth / 3600.0 - 1.0).abs() < 0.05, "{left}");
}

/// Whatever the moment at which somebody asks, and however far apart the censuses are.
#[test]
fn the_growth_of_a_container_is_that_of_what_it_holds() {
    for (until, spacing) in [(2_049, 16), (2_500, 20), (3_000, 20), (3_600, 30), (4_095, 32)] {
        let mut cohorts = Cohorts::new(0, spacing * S, 1 << 30);
        for at in (0..=until).step_by(spacing as usize) {
            let mut taking = cohorts.census(Census { at_ns: at * S, ..Census::default() }).unwrap();
            // 1 MiB in each 100 s, in a block of a power of two.
            let block = (((at as u64) << 20) / 100).next_power_of_two();
            taking.object(0, 0, block, Tally::of(1.0, block as f64));
            taking.finish();
        }
        let process = Process { stacks: vec![Vec::new()], until: until as f64 };
        let report = judge_cohorts(&cohorts, &process.profile(), &options());
        let truth = f64::from(1 << 20) * 36.0;
        let suspect = report.suspects.first().unwrap_or_else(|| panic!("{until}: {report}"));
        let (rate, low) = (suspect.bytes_per_hour / truth, suspect.bytes_per_hour_low / truth);
        assert!((0.9..1.1).contains(&rate), "{until}: {rate}");
        assert!((0.2..1.0).contains(&low), "{until}: at least {low}");
    }
}

#[test]
fn nothing_watched_and_nothing_alive_are_not_evidence() {
    let empty = Cohorts::new(0, S, 1 << 20);
    let process = Process { stacks: Vec::new(), until: 0.0 };
    let report = judge_cohorts(&empty, &process.profile(), &options());
    assert_eq!(report.verdict, Verdict::NotEnoughEvidence);
    assert!(!report.reasons.is_empty());

    let idle = Process { stacks: vec![Vec::new()], until: 600.0 };
    let report = idle.judge(0.0, 64.0);
    assert_eq!(report.verdict, Verdict::NotEnoughEvidence, "{report:?}");
    assert!(report.reasons.iter().any(|r| r.contains("no sampled object")), "{:?}", report.reasons);

    let short = Process::new(&rest(), 5.0, 9).judge(0.0, 10.0);
    assert_eq!(short.verdict, Verdict::NotEnoughEvidence);
    assert!(short.reasons.iter().any(|r| r.contains("too short")), "{:?}", short.reasons);
}

#[test]
fn what_could_have_been_found_is_told() {
    let report = Process::new(&rest(), UNTIL, 10).judge(0.0, 64.0);
    assert_eq!(report.verdict, Verdict::NoLeak, "{report:?}");
    // 24 periods in the half hour that is judged.
    let expected = 48.0 * PERIOD;
    assert!((report.minimum_detectable_bytes_per_hour / expected - 1.0).abs() < 0.1, "{report:?}");
    let text = report.to_string();
    assert!(text.starts_with("no leak found") && text.contains("24.0 MiB/h"), "{text}");
}

#[test]
fn the_report_survives_json() {
    let report = Process::new(&with(&[leak(0.1)]), UNTIL, 11).judge(0.0, 64.0);
    let json = serde_json::to_string(&report).unwrap();
    let mut read: Report = serde_json::from_str(&json).unwrap();
    // The last digit of a float may differ.
    assert!((read.suspects[0].growth_exponent - report.suspects[0].growth_exponent).abs() < 1e-9);
    read.suspects[0].growth_exponent = report.suspects[0].growth_exponent;
    assert_eq!(read.suspects[0].site, report.suspects[0].site);
    assert_eq!(read.to_string(), report.to_string());
    assert!(json.starts_with(r#"{"schema":"diag.leaks/1","verdict":"leak""#), "{json}");
}

#[test]
fn work_is_counted_into_the_growth() {
    let process = Process::new(&with(&[leak(0.1)]), UNTIL, 12);
    let mut cohorts = Cohorts::new(0, 60 * S, 1 << 30);
    for minute in 0..=60 {
        let at = f64::from(minute) * 60.0;
        let census =
            Census { at_ns: (at * 1e9) as i64, work_units: minute as u64 * 600, ..Census::default() };
        let mut taking = cohorts.census(census).unwrap();
        for (row, lives) in process.stacks.iter().enumerate() {
            for (born, _) in lives.iter().filter(|(born, died)| *born <= at && at < *died) {
                taking.object(row as u32, (born * 1e9) as i64, 64, Tally::of(1.0, PERIOD));
            }
        }
        taking.finish();
    }
    let report = judge_cohorts(&cohorts, &process.profile(), &options());
    let each = report.suspects[0].bytes_per_work_unit.unwrap();
    // Ten units a second.
    assert!((each / (PERIOD * 0.01) - 1.0).abs() < 0.3, "{each}");
}

#[test]
fn tasks_that_grow_keep_a_process_from_being_called_fine() {
    let task = |more: Option<f64>, leak| TaskSuspect {
        verdict: "growing".to_owned(),
        task: "app::push".to_owned(),
        site: "src/app.rs:1:1".to_owned(),
        live: 50,
        more_per_hour: more,
        leak,
        reason: "they wait".to_owned(),
    };
    let after =
        |tasks: Vec<TaskSuspect>| Report { verdict: Verdict::NoLeak, ..Report::default() }.with_tasks(tasks);
    assert_eq!(after(Vec::new()).verdict, Verdict::NoLeak);
    assert_eq!(after(vec![task(None, false)]).verdict, Verdict::NoLeak, "some that stand still are no leak");
    let growing = after(vec![task(Some(60.0), false)]);
    assert_eq!(growing.verdict, Verdict::NotEnoughEvidence);
    assert!(growing.to_string().contains("tasks of 1 sites grow in number"), "{growing}");
    let leak = after(vec![task(Some(60.0), true)]);
    assert_eq!(leak.verdict, Verdict::Leak);
    assert_eq!(leak.headline(), "LEAK: tasks of one site never end");
    assert!(leak.to_string().contains("tasks, leak of tasks: app::push at src/app.rs:1:1"), "{leak}");
}

/// What a service says of itself is printed on somebody's terminal.
#[test]
fn names_neither_control_the_terminal_nor_make_lines_of_their_own() {
    let evil = "x\u{1b}[2J\nno leak found\n";
    let frame =
        serde_json::json!({"function": evil, "file": evil, "line": 7, "inlined": false, "class": "user"});
    let mut json = serde_json::to_value(Report::default()).unwrap();
    json["suspects"] = serde_json::json!([{
        "rank": 1, "verdict": "leak", "site": evil, "frames": [frame], "stacks": 1, "live_bytes": 1, "live_objects": 1,
        "bytes_per_hour": 1.0, "bytes_per_hour_low": 0.0, "bytes_per_work_unit": null, "q_value": 0.0,
        "growth_exponent": 1.0, "generations": 16, "age_p50_s": 1.0, "labels": {evil: evil}, "seconds_to_limit": null,
        "gained_samples": 9, "lost_samples": 0, "evidence": evil, "next": ""
    }]);
    json["tasks"] = serde_json::json!([{
        "verdict": evil, "task": evil, "site": evil, "live": 1, "more_per_hour": null, "leak": false, "reason": evil
    }]);
    json["reasons"] = serde_json::json!([evil]);
    json["next"] = serde_json::json!([evil]);
    json["losses"] = serde_json::json!({evil: 1});
    let report: Report = serde_json::from_value(json).unwrap();
    let text = report.to_string();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.lines().any(|line| line.trim() == "no leak found"), "{text}");
    assert!(text.matches("no leak found").count() >= 10, "it is shown all the same: {text}");
}
