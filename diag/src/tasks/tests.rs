//! Verdicts about tasks that were made up.

use std::collections::BTreeMap;

use super::record::State;
use super::sites::Kind;
use super::snapshot::{SiteReading, Snapshot, TaskReading};
use super::text;
use super::verdict::{Growth, TaskVerdict, judge, leaked};

const SECOND: u64 = 1_000_000_000;

fn site() -> SiteReading {
    SiteReading {
        file: "src/feed.rs",
        line: 41,
        column: 9,
        future: "app::feed::push::{{closure}}",
        future_bytes: 320,
        kind: Kind::Task,
        name: None,
        spawned: 1_000,
        completed: 900,
        cancelled: 0,
        panicked: 0,
        ended_polls: 1_800,
        ended_busy_ns: SECOND,
        ended_longest_poll_ns: 2_000_000,
        lifetime_p99_ns: Some(4 * SECOND),
        gap_p99_ns: Some(2 * SECOND),
        gaps: 900,
    }
}

/// A site none of whose tasks ended.
fn endless() -> SiteReading {
    SiteReading { completed: 0, lifetime_p99_ns: None, gap_p99_ns: None, gaps: 0, ..site() }
}

fn task(id: u64) -> TaskReading {
    TaskReading {
        id,
        site: 0,
        state: State::Idle,
        age_ns: 3 * SECOND,
        since_ns: 2 * SECOND,
        polls: 1,
        busy_ns: 10_000,
        longest_poll_ns: 10_000,
        longest_gap_ns: 0,
        wakers: Some(1),
        thread: 7,
        runtime: 1,
    }
}

fn snapshot(site: SiteReading, tasks: Vec<TaskReading>) -> Snapshot {
    Snapshot { sites: vec![site], tasks, ..Snapshot::default() }
}

/// The verdict of one site at which the tasks stand still between the looks.
fn verdict(site: SiteReading, tasks: Vec<TaskReading>, growth: Option<Growth>) -> (TaskVerdict, String) {
    let now = snapshot(site, tasks);
    let growth: BTreeMap<usize, Growth> = growth.map(|g| (0, g)).into_iter().collect();
    let judged = judge(&now, &now, &growth).remove(0);
    (judged.verdict, judged.reason)
}

fn many(count: u64, like: TaskReading) -> Vec<TaskReading> {
    (1..=count).map(|id| TaskReading { id, ..like }).collect()
}

#[test]
fn tasks_that_wait_for_a_wake_are_innocent() {
    assert_eq!(verdict(site(), many(100, task(0)), None).0, TaskVerdict::Ok);
    assert_eq!(
        verdict(
            endless(),
            many(100, TaskReading { age_ns: 9_000 * SECOND, since_ns: 9_000 * SECOND, ..task(0) }),
            None
        )
        .0,
        TaskVerdict::Ok,
        "listeners wait for ever"
    );
}

#[test]
fn tasks_without_a_waker_are_stuck() {
    let none = TaskReading { wakers: Some(0), ..task(0) };
    let (verdict_of_two, reason) = verdict(site(), many(2, none), None);
    assert_eq!(verdict_of_two, TaskVerdict::Stuck);
    assert!(reason.contains("2 of 2 can never wake again"), "{reason}");
    assert_eq!(
        verdict(site(), many(1, none), None).0,
        TaskVerdict::Ok,
        "one may be meant to wait until it is aborted"
    );
    for innocent in [
        TaskReading { polls: 0, state: State::New, ..none },
        TaskReading { state: State::Running, ..none },
        TaskReading { state: State::Scheduled, since_ns: 1_000, ..none },
        TaskReading { since_ns: 1_000, ..none },
        TaskReading { wakers: None, ..none },
    ] {
        assert_eq!(verdict(site(), many(5, innocent), None).0, TaskVerdict::Ok, "{innocent:?}");
    }
}

#[test]
fn a_task_that_moved_between_the_looks_is_not_stuck() {
    let none = TaskReading { wakers: Some(0), ..task(1) };
    let before = snapshot(
        site(),
        vec![none, TaskReading { id: 2, ..none }, TaskReading { id: 4, wakers: Some(1), ..none }],
    );
    let now = snapshot(
        site(),
        [1, 2, 3, 4].map(|id| TaskReading { id, polls: if id == 2 { 2 } else { 1 }, ..none }).to_vec(),
    );
    let leaked = leaked(&before, &now);
    let ids: Vec<u64> = leaked.iter().map(|l| now.tasks[l.task].id).collect();
    assert_eq!(ids, [1], "2 was polled, 3 is new, 4 had a waker");
    assert!(leaked[0].certain);
}

#[test]
fn growth_is_explained_by_what_most_tasks_do() {
    let grows = Some(Growth::new(3_600.0, true));
    let waiting = TaskReading { age_ns: 90 * SECOND, since_ns: 90 * SECOND, ..task(0) };
    let (growing, reason) = verdict(endless(), many(90, waiting), grows);
    assert_eq!(growing, TaskVerdict::Growing);
    assert!(reason.contains("3,600 an hour") && reason.contains("90 of 90 wait"), "{reason}");
    let retrying = TaskReading { age_ns: 90 * SECOND, since_ns: SECOND, polls: 90, ..task(0) };
    assert_eq!(verdict(endless(), many(90, retrying), grows).0, TaskVerdict::Retrying);
    assert_eq!(verdict(endless(), many(90, retrying), None).0, TaskVerdict::Ok, "tickers tick for ever");
    let never = TaskReading { wakers: Some(0), ..waiting };
    assert_eq!(verdict(endless(), many(90, never), grows).0, TaskVerdict::Stuck);
}

#[test]
fn a_task_much_slower_than_its_kind_is_probably_stuck() {
    let late = TaskReading { age_ns: 600 * SECOND, since_ns: 500 * SECOND, ..task(0) };
    let (slow, reason) = verdict(site(), many(3, late), None);
    assert_eq!(slow, TaskVerdict::ProbablyStuck);
    assert!(reason.contains("3 of 3") && reason.contains("900"), "{reason}");
    let few_ended = SiteReading { completed: 5, gaps: 5, ..site() };
    assert_eq!(verdict(few_ended, many(3, late), None).0, TaskVerdict::Ok, "five say nothing of their kind");
    let tries = TaskReading { age_ns: 600 * SECOND, since_ns: SECOND, polls: 300, ..task(0) };
    assert_eq!(verdict(site(), many(3, tries), None).0, TaskVerdict::Retrying);
}

#[test]
fn long_polls_block_and_late_polls_starve() {
    let running = TaskReading { state: State::Running, since_ns: SECOND, longest_poll_ns: SECOND, ..task(0) };
    assert_eq!(verdict(site(), many(1, running), None).0, TaskVerdict::Blocking);
    let blocking = SiteReading { kind: Kind::Blocking, ..site() };
    assert_eq!(verdict(blocking, many(1, running), None).0, TaskVerdict::Ok, "that is what they are for");
    let ended = SiteReading { ended_longest_poll_ns: SECOND, ..site() };
    assert_eq!(verdict(ended, Vec::new(), None).0, TaskVerdict::Blocking, "those that are over count");
    let woken = TaskReading { state: State::Scheduled, since_ns: 3 * SECOND, ..task(0) };
    assert_eq!(verdict(site(), many(1, woken), None).0, TaskVerdict::Starved);
}

#[test]
fn the_texts_name_place_state_and_wait() {
    let hostile = SiteReading { name: Some("a\n1 @ idle".to_owned()), ..site() };
    let now = snapshot(hostile, vec![task(1), task(2), TaskReading { state: State::Running, ..task(3) }]);
    let grouped = text::grouped(&now, |_| true);
    assert!(grouped.starts_with("tasks profile: total 3\n2 @ idle (longest 2.0 s"), "{grouped}");
    assert!(grouped.contains("#\tapp::feed::push\tsrc/feed.rs:41:9\t(task, 320 bytes)"), "{grouped}");
    let listed = text::listed(&now, |task| task.state == State::Idle);
    assert!(listed.contains("task 1 \"a?1 @ idle\" [idle, 2.0 s, 1 waker]:"), "{listed}");
    assert!(!listed.contains("task 3"), "{listed}");
    let lines = listed.lines().filter(|line| line.starts_with("1 @"));
    assert_eq!(lines.count(), 0, "{listed}");
}

#[test]
fn a_profile_counts_tasks_by_place_and_state() {
    let now = snapshot(site(), vec![task(1), task(2), TaskReading { state: State::Running, ..task(3) }]);
    let profile = now.profile(|_| true).unwrap();
    let mut rows: Vec<(i64, i64)> = profile.samples().map(|s| (s.values[0], s.values[1])).collect();
    rows.sort_unstable();
    assert_eq!(rows, [(1, 320), (2, 640)]);
    let chosen = now.profile(|task| task.state == State::Running).unwrap();
    assert_eq!(chosen.samples().count(), 1);
    let names: Vec<String> =
        profile.samples().map(|s| crate::profile::frames::site(&profile, s.stack)).collect();
    assert_eq!(names, ["app::feed::push", "app::feed::push"]);
}
