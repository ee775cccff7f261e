//! The registry is the process's: names differ, and tests that count take turns.

use super::*;

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(name: &str) -> Option<Declared> {
    let mut found = snapshot();
    found.retain(|d| d.name == name);
    assert!(found.len() <= 1, "{found:?}");
    found.pop()
}

#[test]
fn caps_and_gauges_of_a_name_are_one_structure() {
    let _turn = turn();
    let line = line!() + 1;
    let cap = declare_cap("sessions", 1 << 20);
    let shards: Vec<_> = (0..4).map(|n| gauge("sessions", move || (n, 10 * n))).collect();
    let found = find("sessions").unwrap();
    assert_eq!((found.cap_bytes, found.len, found.capacity), (Some(1 << 20), Some(6), Some(60)));
    assert!(found.site_file.ends_with("declared/tests.rs"), "{found:?}");
    assert_eq!(found.site_line, line, "of the cap, not of this library");
    drop(shards);
    let found = find("sessions").unwrap();
    assert_eq!((found.cap_bytes, found.len, found.capacity), (Some(1 << 20), None, None));
    drop(cap);
    assert_eq!(find("sessions"), None);
}

#[test]
fn a_gauge_is_asked_only_when_somebody_asks() {
    let _turn = turn();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let busy = gauge("asked", move || {
        let times = count.fetch_add(1, Ordering::Relaxed);
        (times > 0).then_some(5)
    });
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(find("asked").unwrap().len, None, "busy the first time");
    assert_eq!(find("asked").unwrap().len, Some(5));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    drop(busy);
    snapshot();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_gauge_that_panics_is_not_asked_again_and_takes_nothing_with_it() {
    let _turn = turn();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let _bad = gauge("bad", move || -> usize {
        count.fetch_add(1, Ordering::Relaxed);
        panic!("as the test wants it")
    });
    let _good = gauge("good", || 3);
    for _ in 0..3 {
        let bad = find("bad").unwrap();
        assert_eq!(bad.len, None);
        let told: Vec<_> = problems().into_iter().filter(|p| p.what.contains("of bad at ")).collect();
        assert!(told.len() == 1 && told[0].what.contains("declared/tests.rs:"), "{told:?}");
        assert_eq!(find("good").unwrap().len, Some(3));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Closures run, and are dropped, outside of the lock: they may use this module themselves.
#[test]
fn a_gauge_may_declare_and_ask() {
    let _turn = turn();
    let inner = declare_cap("owned by the gauge", 1);
    let outer = gauge("outer", move || {
        let _keeps = &inner;
        let _while_asked = declare_cap("while asked", 2);
        lock().len()
    });
    assert!(find("outer").unwrap().len >= Some(3));
    assert_eq!(find("while asked"), None);
    drop(outer);
    assert_eq!(find("owned by the gauge"), None);
}

#[test]
fn the_number_is_bounded_and_room_comes_back() {
    let _turn = turn();
    let before = REFUSED.load(Ordering::Relaxed);
    let mut many: Vec<_> = (0..MOST + 7).map(|i| declare_cap(format!("many {i:03}"), 1)).collect();
    assert_eq!(lock().len(), MOST);
    assert_eq!(REFUSED.load(Ordering::Relaxed) - before, 7);
    assert!(problems().iter().any(|p| p.what.contains("beyond the 256")));
    assert_eq!(snapshot().len(), MOST);
    many.truncate(10);
    let late = declare_cap("é".repeat(100), 1);
    assert!(snapshot().iter().any(|d| d.name == "é".repeat(64)), "cut at 128 bytes");
    drop((many, late));
    assert_eq!(lock().len(), 0);
    declare_cap("for ever", 9).forever();
    assert_eq!(find("for ever").unwrap().cap_bytes, Some(9));
    lock().clear();
}
