use std::time::Duration;

use super::engine::{Engine, Event, Observed};
use super::{Asked, Do, Level, Order, Relief, ReliefState, Rule, Stall, When, parse};

const MIB: u64 = 1 << 20;
const S: u64 = 1_000_000_000;
const LIMIT: u64 = 200 * MIB;

/// At a time (ms), with so much in use of a limit of 200 MiB.
fn used(at_ms: u64, mib: f64) -> Observed {
    Observed {
        at_ns: at_ms * 1_000_000,
        limit_bytes: Some(LIMIT),
        working_set_bytes: Some((mib * MIB as f64) as u64),
        rss_bytes: Some((mib * MIB as f64) as u64),
        ..Observed::default()
    }
}

/// Times (ms) at which the first rule is due, for a course of MiB by ms, looked at as often as the engine asks.
fn course(engine: &mut Engine, until_ms: u64, mib: impl Fn(u64) -> f64) -> Vec<u64> {
    let (mut at_ns, mut fired) = (0, Vec::new());
    while at_ns < until_ms * 1_000_000 {
        let at_ms = at_ns / 1_000_000;
        fired.extend(engine.step(&used(at_ms, mib(at_ms))).iter().map(|_| at_ms));
        at_ns += engine.next_look_ns();
    }
    fired
}

#[test]
fn a_fast_leak_is_seen_close_behind_the_level() {
    // 100 MiB/s from 40 MiB: 180 MiB at 1.4 s, dead at 1.6 s.
    let mut engine = Engine::new(vec![Rule::near_limit()]);
    let fired = course(&mut engine, 1_600, |ms| 40.0 + ms as f64 / 10.0);
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert!((1_400..1_420).contains(&fired[0]), "{fired:?}");
    let stats = &engine.stats()[0];
    assert_eq!(stats.firings.fired_total, 1);
    assert_eq!(stats.fires_at, Some(180.0 * MIB as f64));
    // Above 94.5 % it wanted to again.
    assert!(stats.firings.refused_debounce_total >= 1);
}

#[test]
fn a_level_fires_when_crossed_not_while_it_lasts() {
    let mut engine = Engine::new(vec![Rule::near_limit().debounce(Duration::from_secs(1))]);
    assert_eq!(course(&mut engine, 600_000, |_| 182.0).len(), 1);
    // Back below 95 % of the level and up again, every 20 s.
    let rule = Rule::near_limit().debounce(Duration::from_secs(1)).an_hour(1_000);
    let mut engine = Engine::new(vec![rule]);
    let saw = |ms: u64| if (ms / 10_000).is_multiple_of(2) { 100.0 } else { 182.0 };
    assert_eq!(course(&mut engine, 200_000, saw).len(), 10);
    // Around the level without leaving it.
    let mut engine = Engine::new(vec![Rule::near_limit().debounce(Duration::from_millis(1))]);
    assert_eq!(course(&mut engine, 200_000, |ms| 179.0 + (ms / 100 % 3) as f64).len(), 1);
}

#[test]
fn debounce_and_budget_refuse_and_count() {
    let rule = Rule::near_limit().debounce(Duration::from_secs(60)).an_hour(5);
    let mut engine = Engine::new(vec![rule]);
    let saw = |ms: u64| if (ms / 10_000).is_multiple_of(2) { 100.0 } else { 182.0 };
    let fired = course(&mut engine, 3_590_000, saw);
    assert_eq!(fired.len(), 5, "{fired:?}");
    assert!(fired.windows(2).all(|w| w[1] - w[0] >= 60_000), "{fired:?}");
    let firings = engine.stats()[0].firings;
    assert_eq!(firings.fired_total, 5);
    assert!(firings.refused_debounce_total > 5 && firings.refused_budget_total > 5, "{firings:?}");
    // An hour after the first there is budget again.
    assert_eq!(engine.step(&used(3_600_000, 100.0)), []);
    assert_eq!(engine.step(&used(3_700_000, 182.0)).len(), 1);
}

#[test]
fn page_cache_is_no_reason_and_a_missing_limit_none_either() {
    let mut engine = Engine::new(vec![Rule::near_limit()]);
    // The working set has to be known exactly only from where the rule could be armed or fire.
    assert_eq!(engine.needs(Some(LIMIT)).working_set_from_bytes, Some((180.0 * 0.95 * MIB as f64) as u64));
    assert_eq!(engine.step(&used(0, 60.0)), []);
    let unlimited = Observed { limit_bytes: None, ..used(100, 900.0) };
    assert_eq!(engine.step(&unlimited), []);
    let stats = &engine.stats()[0];
    assert!(stats.waits_for.as_ref().is_some_and(|w| w.contains("limit")), "{stats:?}");
    assert!(engine.next_look_ns() >= S);
}

#[test]
fn growth_is_told_from_a_spike() {
    let grows = |mib| When::Growth { bytes_per_minute: mib * MIB, over: Duration::from_secs(300) };
    let mut engine = Engine::new(vec![Rule::new("grows", grows(10))]);
    let fired = course(&mut engine, 900_000, |ms| 50.0 + 12.0 * ms as f64 / 60_000.0);
    assert_eq!(fired.len(), 1);
    assert!((300_000..310_000).contains(&fired[0]), "{fired:?}");
    let mut engine = Engine::new(vec![Rule::new("grows", grows(10))]);
    assert_eq!(course(&mut engine, 900_000, |ms| 50.0 + 8.0 * ms as f64 / 60_000.0), [0u64; 0]);
    // A spike of 400 MiB for 20 s, and a saw of 100 MiB.
    let mut engine = Engine::new(vec![Rule::new("grows", grows(10))]);
    let spiky = |ms: u64| 50.0 + if (420_000..440_000).contains(&ms) { 400.0 } else { 0.0 };
    assert_eq!(course(&mut engine, 1_200_000, spiky), [0u64; 0]);
    let mut engine = Engine::new(vec![Rule::new("grows", grows(20))]);
    assert_eq!(course(&mut engine, 1_200_000, |ms| 50.0 + (ms % 30_000) as f64 / 300.0), [0u64; 0]);
}

#[test]
fn tasks_fire_by_number_and_by_growth() {
    let alive =
        |at_s: u64, tasks: u64| Observed { at_ns: at_s * S, tasks: Some(tasks), ..Observed::default() };
    let mut engine = Engine::new(vec![Rule::new("many", When::Tasks(1_000))]);
    assert!(engine.needs(None).tasks);
    assert_eq!(engine.step(&alive(1, 999)), []);
    assert_eq!(engine.step(&alive(2, 1_000))[0].why, "1000 tasks are alive, at least 1000");
    assert_eq!(engine.step(&alive(3, 1_001)), [], "not for as long as it lasts");
    let grows = When::TaskGrowth { per_minute: 60, over: Duration::from_secs(300) };
    for (a_minute, fires) in [(90, 1), (30, 0)] {
        let mut engine = Engine::new(vec![Rule::new("grows", grows.clone())]);
        let due: usize = (0..900).map(|s| engine.step(&alive(s, 500 + s * a_minute / 60)).len()).sum();
        assert_eq!(due, fires, "{a_minute} a minute");
    }
    let mut engine = Engine::new(vec![Rule::new("slow", When::SlowPoll(Duration::from_millis(100)))]);
    let slow = |ns| Observed {
        events: vec![Event::SlowPoll { ns, what: "app::draw".into() }],
        ..Observed::default()
    };
    assert_eq!(engine.step(&slow(99_000_000)), []);
    assert_eq!(engine.step(&slow(150_000_000))[0].why, "one poll of app::draw took 150 ms");
    // Where tasks are not tracked at all the rule says so.
    let mut engine = Engine::new(vec![Rule::new("many", When::Tasks(1_000))]);
    engine.step(&Observed::default());
    assert!(engine.stats()[0].waits_for.as_deref().unwrap().contains("not"));
}

#[test]
fn shares_of_rss_are_of_the_limit_or_the_machine() {
    let mut engine = Engine::new(vec![Rule::new("rss", When::Rss(Level::Share(0.5)))]);
    let machine = |mib| Observed { limit_bytes: None, total_bytes: Some(400 * MIB), ..used(0, mib) };
    assert_eq!(engine.step(&machine(199.0)), []);
    assert_eq!(engine.step(&machine(201.0)).len(), 1);
    let mut engine = Engine::new(vec![Rule::new("rss", When::Rss(Level::Bytes(100 * MIB)))]);
    assert!(engine.step(&used(0, 101.0))[0].why.contains("101.0 MiB"));
}

#[test]
fn stalls_and_events() {
    let stall = |some, full| Observed {
        stall_some_percent: Some(some),
        stall_full_percent: Some(full),
        ..Observed::default()
    };
    let rules = vec![
        Rule::new("some", When::Stall(Stall::Some, 20.0)),
        Rule::new("full", When::Stall(Stall::Full, 5.0)),
        Rule::new("usr2", When::Signal(12)),
        Rule::new("slow", When::Told("slow_checkout".into())).debounce(Duration::from_secs(10)),
        Rule::new("panics", When::Panic),
        Rule::new("failed", When::AllocFailed),
    ];
    let mut engine = Engine::new(rules);
    assert!(engine.needs(None).stall);
    let names = |engine: &mut Engine, o: &Observed| -> Vec<String> {
        engine.step(o).iter().map(|d| engine.rule(d.rule).unwrap().name.clone()).collect()
    };
    assert_eq!(names(&mut engine, &stall(19.0, 1.0)), [""; 0]);
    assert_eq!(names(&mut engine, &stall(25.0, 6.0)), ["some", "full"]);
    let told = Event::Told("slow_checkout".into());
    let events = vec![
        told.clone(),
        told.clone(),
        Event::Told("else".into()),
        Event::Signal(12),
        Event::Signal(10),
        Event::Panic("thread main panicked".into()),
        Event::AllocFailed { bytes: 5 },
    ];
    let at = |at_ns, events| Observed { at_ns, events, ..Observed::default() };
    assert_eq!(names(&mut engine, &at(S, events)), ["usr2", "slow", "panics", "failed"]);
    assert_eq!(engine.stats()[3].firings.refused_debounce_total, 1);
    assert_eq!(names(&mut engine, &at(12 * S, vec![told])), ["slow"]);
}

#[test]
fn relief_lowers_purges_and_restores_after_calm() {
    let policy = Relief::at(Level::Share(0.85)).or_stall(10.0);
    let mut state = ReliefState::default();
    let mut orders = Vec::new();
    // 10 s below, 3 s above, then below for good; a look each 100 ms.
    for tick in 0..400u64 {
        let share = if (100..130).contains(&tick) { 0.9 } else { 0.5 };
        let order = state.step(&policy, tick * S / 10, Some((share, 0.85)), Some(0.0));
        orders.extend(order.map(|o| (tick, o)));
    }
    let expected = [(100, Order::Lower), (110, Order::Purge), (120, Order::Purge), (230, Order::Restore)];
    assert_eq!(orders, expected);
    assert!(!state.is_lowered());
    // A stall alone will do; what hovers near the level is no calm.
    assert_eq!(state.step(&policy, 50 * S, None, Some(11.0)), Some(Order::Lower));
    for s in 51..100 {
        assert_ne!(state.step(&policy, s * S, None, Some(9.5)), Some(Order::Restore));
    }
}

#[test]
fn a_rules_file_is_read() {
    let text = r#"
[[rule]]
name = "near_limit"
when = { limit = "92.5%" }
do = ["heap", "memory", "leaks", "trace", "purge", { cpu = "10s" }, { webhook = "http://127.0.0.1:9000/diag" }]
debounce = "1m"
an_hour = 20

[[rule]]
name = "grows"
when = { growth = "200MiB", over = "10m" }
do = ["heap"]

[[rule]]
name = "usr2"
when = { signal = "SIGUSR2" }
do = [{ cpu = "5s" }]

[[rule]]
name = "tasks"
when = { task_growth = 600, over = "10m" }
do = ["tasks", "heap"]

[relief]
at = "85%"
stall_some = "10%"
"#;
    let (asked, faults) = parse(text);
    assert_eq!(faults, []);
    let rules = asked.rules.unwrap();
    assert_eq!(
        rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["near_limit", "grows", "usr2", "tasks"]
    );
    assert_eq!(rules[0].when, When::Limit(Level::Share(0.925)));
    assert_eq!(
        (rules[0].debounce, rules[0].an_hour, rules[0].actions.len()),
        (Duration::from_secs(60), 20, 7)
    );
    assert!(matches!(&rules[2].actions[..], [Do::Cpu(d)] if d.as_secs() == 5));
    assert_eq!(rules[3].when, When::TaskGrowth { per_minute: 600, over: Duration::from_secs(600) });
    assert!(matches!(&rules[3].actions[..], [Do::Tasks, Do::Heap]));
    assert_eq!(asked.relief, Some(Relief::at(Level::Share(0.85)).or_stall(10.0)));
    // An empty file asks for no rule, not for the default one.
    assert!(matches!(parse("").0, Asked { rules: Some(rules), relief: None } if rules.is_empty()));
}

#[test]
fn faults_have_their_line_and_spare_the_other_rules() {
    let rule = |when: &str, actions: &str| format!("[[rule]]\nname = \"x\"\nwhen = {when}\ndo = {actions}\n");
    for (text, line, says) in [
        ("[[rule]\nname = 1".to_owned(), 1, ""),
        ("\n\n[[rules]]\nname = \"x\"\n".to_owned(), 3, "unknown field"),
        (rule("{ limit = 90 }", "[]"), 3, "string"),
        (rule("{ limit = \"120%\" }", "[]"), 1, "120%"),
        (rule("{ limit = \"90%\", panic = true }", "[]"), 1, "one condition"),
        (rule("{ growth = \"1MiB\" }", "[]"), 1, "over"),
        (rule("{ task_growth = 5 }", "[]"), 1, "over"),
        (rule("{ signal = \"SIGKILL\" }", "[]"), 1, "SIGUSR2"),
        (rule("{ panic = true }", "[\"dance\"]"), 4, "heap, memory"),
        (rule("{ panic = true }", "[{ webhook = \"https://x/\" }]"), 1, "proxy"),
        (rule("{ panic = true }", "[{ cpu = \"soon\" }]"), 1, "soon"),
        ("[[rule]]\nname = \"Near limit\"\nwhen = { panic = true }\ndo = []\n".to_owned(), 1, "near_limit"),
        ("[relief]\nat = \"lots\"\n".to_owned(), 1, "lots"),
    ] {
        let (_, faults) = parse(&text);
        assert_eq!(faults.len(), 1, "{text}");
        assert_eq!(faults[0].line, line, "{text}: {faults:?}");
        assert!(faults[0].what.contains(says), "{text}: {faults:?}");
    }
    let good = rule("{ panic = true }", "[\"heap\"]").replace("\"x\"", "\"good\"");
    let (asked, faults) = parse(&format!("{}{good}{good}", rule("{ limit = \"0%\" }", "[]")));
    assert_eq!((asked.rules.unwrap().len(), faults.len(), faults[1].line), (1, 2, 9));
}

#[test]
fn faults_are_one_line_whatever_names_the_file_has() {
    for file in [
        "[[rule]]\nnIwden = { p = true }\n[\" o =\tdhep\"]\n",
        "[[rule]]\nname = \"a\\u001bb\"\nwhen = { limit = \"9\\n0 %\" }\ndo = [\"heap\"]\n",
    ] {
        let (_, faults) = super::parse(file);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(!faults[0].what.contains(char::is_control), "{faults:?}");
    }
}
