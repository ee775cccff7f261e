use super::*;

const S: i64 = 1_000_000_000;

fn one() -> Tally {
    Tally::of(1.0, 100.0)
}

/// Objects by birth and death (seconds), with a census every second.
fn followed(objects: &[(i64, i64)], until_s: i64, limit: usize) -> Cohorts {
    let mut cohorts = Cohorts::new(0, S, limit);
    for second in 0..=until_s {
        if second * S < cohorts.next_census_ns() {
            continue;
        }
        let births = objects.iter().filter(|(born, _)| *born <= second).count() as f64;
        let mut taking = cohorts.census(Census { at_ns: second * S, births, ..Census::default() }).unwrap();
        for (born, died) in objects {
            if *born <= second && second < *died {
                taking.object(7, born * S + S / 2, 100, one());
            }
        }
        taking.births(7, births);
        taking.finish();
    }
    cohorts
}

fn row(cohorts: &Cohorts) -> &Row {
    cohorts.rows().next().unwrap().1
}

fn died(row: &Row) -> u32 {
    row.cohorts.iter().flat_map(|c| &c.deaths).map(|d| d.tally.samples).sum()
}

fn alive(row: &Row) -> u32 {
    row.cohorts.iter().map(|c| c.alive.samples).sum()
}

#[test]
fn deaths_are_what_a_cohort_lost() {
    let cohorts = followed(&[(1, 5), (1, 100), (3, 5)], 10, 1 << 20);
    let row = row(&cohorts);
    let cells: Vec<_> = row.cohorts.iter().map(|c| (c.born_ns / S, c.alive.samples)).collect();
    assert_eq!(cells, [(1, 1), (3, 0)]);
    let deaths: Vec<_> = row.cohorts.iter().flat_map(|c| &c.deaths).map(|d| (d.census, d.tally)).collect();
    assert_eq!(deaths, [(5, one()), (5, one())]);
}

#[test]
fn an_object_of_an_unfinished_cell_waits() {
    let mut cohorts = Cohorts::new(0, S, 1 << 20);
    let mut taking = cohorts.census(Census { at_ns: S, ..Census::default() }).unwrap();
    taking.object(7, S + 1, 100, one());
    taking.object(7, S - 1, 100, one());
    taking.finish();
    assert_eq!(alive(row(&cohorts)), 1);
}

#[test]
fn thinning_loses_no_object_and_no_death() {
    let objects: Vec<(i64, i64)> =
        (0..1000).map(|i| (i, if i % 3 == 0 { i64::MAX } else { i + 20 + i % 50 })).collect();
    let cohorts = followed(&objects, 1000, 1 << 20);
    let row = row(&cohorts);
    assert!((64..MOST_CENSUSES).contains(&cohorts.censuses().len()), "{}", cohorts.censuses().len());
    assert_eq!(cohorts.resolution_ns(), 8 * S);
    let last = cohorts.censuses().last().unwrap().at_ns / S;
    let seen = objects.iter().filter(|(born, _)| born / 8 * 8 + 8 <= last);
    let (dead, living): (Vec<&(i64, i64)>, Vec<_>) = seen.partition(|(_, died)| *died <= last);
    assert_eq!(alive(row), living.len() as u32);
    assert_eq!(died(row), dead.len() as u32);
    // Each at a census not before its death, and not long after.
    for cohort in &row.cohorts {
        for d in &cohort.deaths {
            let at = cohorts.censuses()[usize::from(d.census)].at_ns;
            assert!(at > cohort.born_ns + 19 * S && at < cohort.born_ns + 100 * S, "{cohort:?}");
        }
    }
    let births = row.births_at(cohorts.censuses().len() - 1, cohorts.censuses());
    assert!((births - last as f64).abs() < 2.0, "{births} of {last}");
    let half = cohorts.censuses().len() / 2;
    let (births, at) = (row.births_at(half, cohorts.censuses()), cohorts.censuses()[half].at_ns / S);
    assert!((births - at as f64).abs() < 2.0, "{births} at {at}");
}

#[test]
fn memory_is_bounded_and_what_is_dropped_is_counted() {
    let limit = 64 << 10;
    let mut cohorts = Cohorts::new(0, S, limit);
    for second in 0..400 {
        if second * S < cohorts.next_census_ns() {
            continue;
        }
        let mut taking = cohorts.census(Census { at_ns: second * S, ..Census::default() }).unwrap();
        for born in (0..second).step_by(5) {
            for key in 0..2_000 {
                taking.object(key, born * S, 100, one());
            }
        }
        taking.finish();
    }
    assert!(cohorts.rows_dropped() > 0);
    assert!(cohorts.memory_bytes() <= limit, "{} bytes", cohorts.memory_bytes());
}

#[test]
fn times_that_do_not_advance_are_refused() {
    let mut cohorts = Cohorts::new(0, S, 1 << 20);
    cohorts.census(Census { at_ns: S, ..Census::default() }).unwrap().finish();
    assert!(cohorts.census(Census { at_ns: S, ..Census::default() }).is_none());
    assert!(cohorts.census(Census { at_ns: 0, ..Census::default() }).is_none());
}

#[test]
fn old_births_share_a_cell() {
    let mut cohorts = Cohorts::new(1000 * S, S, 1 << 20);
    let mut taking = cohorts.census(Census { at_ns: 1000 * S, ..Census::default() }).unwrap();
    for born in 0..1000 {
        taking.object(7, born * S, 100, one());
    }
    taking.finish();
    assert_eq!(row(&cohorts).cohorts.len() as i64, CELLS_BEFORE_START);
    assert_eq!(alive(row(&cohorts)), 1000);
}

#[test]
fn the_largest_object_is_noted_when_it_doubles() {
    let mut cohorts = Cohorts::new(0, S, 1 << 20);
    for (second, size) in [(1, 100), (2, 150), (3, 210), (4, 100), (5, 500)] {
        let mut taking = cohorts.census(Census { at_ns: second * S, ..Census::default() }).unwrap();
        taking.object(7, 0, size, one());
        taking.finish();
    }
    let sizes: Vec<u64> = row(&cohorts).largest.iter().map(|l| l.bytes).collect();
    assert_eq!(sizes, [100, 210, 500]);
}
