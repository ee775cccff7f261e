//! Growth of tasks that were made up.

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Watches for `seconds` what `alive` says of each second: births of live tasks of each site, in seconds.
fn watch(seconds: u64, alive: impl Fn(u64) -> Vec<Vec<u64>>) -> BTreeMap<usize, Growth> {
    let mut cohorts = Cohorts::new(0, RESOLUTION_NS, MEMORY_LIMIT);
    let mut last = Snapshot::default();
    for second in 1..=seconds {
        last = tasks::testing::snapshot(second * SECOND, &alive(second));
        census(&mut cohorts, &last);
    }
    grows(&cohorts, &last)
}

#[test]
fn tasks_that_pile_up_grow_and_those_that_end_do_not() {
    let grown = watch(120, |now| {
        let piles_up = (0..now).collect();
        let lasts_ten = (now.saturating_sub(10)..now).flat_map(|born| [born; 5]).collect();
        let for_ever = vec![0; 50];
        vec![piles_up, lasts_ten, for_ever]
    });
    assert_eq!(grown.keys().copied().collect::<Vec<_>>(), [0], "{grown:?}");
    let growth = grown[&0];
    assert!(growth.certain, "{growth:?}");
    assert!((3_000.0..4_200.0).contains(&growth.per_hour), "{growth:?}");
}

#[test]
fn a_rise_of_load_is_no_growth() {
    // Twice as many spawned a second from a minute on; each lives ten seconds.
    let grown = watch(120, |now| {
        let births = |born: u64| if born < 60 { 5 } else { 10 };
        let live = (now.saturating_sub(10)..now).flat_map(|born| vec![born; births(born)]).collect();
        vec![live, vec![0; 50]]
    });
    assert!(grown.is_empty(), "{grown:?}");
}
