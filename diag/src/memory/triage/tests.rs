//! Each verdict over made-up readings.

use super::*;
use crate::memory::model::{Bin, Cgroup, Events, Jemalloc, Machine, Process, Stat};
use crate::memory::purge::Idle;
use crate::memory::reading::Limit;

const MIB: u64 = 1 << 20;

/// A reading in MiB; `at_s` seconds after the first.
#[derive(Clone)]
struct Books {
    at_s: u64,
    allocated: u64,
    free_in_slabs: u64,
    metadata: u64,
    dirty: u64,
    retained_but_huge: u64,
    untouched: u64,
    profiler: u64,
    stacks: u64,
    c_heap: u64,
    other: u64,
    file: u64,
    shmem: u64,
}

const USUAL: Books = Books {
    at_s: 0,
    allocated: 100,
    free_in_slabs: 10,
    metadata: 5,
    dirty: 4,
    retained_but_huge: 0,
    untouched: 0,
    profiler: 2,
    stacks: 1,
    c_heap: 1,
    other: 3,
    file: 12,
    shmem: 0,
};

impl Books {
    fn jemalloc_rss(&self) -> u64 {
        let booked = self.allocated + self.free_in_slabs + self.metadata + self.dirty;
        booked + self.retained_but_huge - self.untouched
    }

    fn anonymous(&self) -> u64 {
        self.jemalloc_rss() + self.profiler + self.stacks + self.c_heap + self.other
    }

    fn rss(&self) -> u64 {
        self.anonymous() + self.file + self.shmem
    }

    fn waterline(&self) -> Waterline {
        let known = |mib: u64| Reading::Known(mib * MIB);
        Waterline {
            schema: super::super::SCHEMA.to_owned(),
            taken_at_unix_ns: 1_795_266_322_000_000_000 + self.at_s * 1_000_000_000,
            jemalloc: Reading::Known(Jemalloc {
                allocated_bytes: known(self.allocated),
                active_bytes: known(self.allocated + self.free_in_slabs),
                metadata_bytes: known(self.metadata),
                resident_bytes: known(self.allocated + self.free_in_slabs + self.metadata + self.dirty),
                mapped_bytes: known(1000),
                retained_bytes: known(1000),
                dirty_bytes: known(self.dirty),
                muzzy_bytes: known(0),
                dirty_decay_ms: Reading::Known(10_000),
                muzzy_decay_ms: Reading::Known(0),
                background_thread: Reading::Known(false),
                narenas: Reading::Known(4),
                arenas: Vec::new(),
                bins: vec![
                    Bin {
                        size_bytes: 64,
                        slab_bytes: 2 * self.free_in_slabs * MIB,
                        objects: self.free_in_slabs * MIB / 640,
                        capacity: self.free_in_slabs * MIB / 64,
                    },
                    Bin { size_bytes: 4096, slab_bytes: 8192, objects: 2, capacity: 2 },
                ],
            }),
            diag_bytes: known(self.profiler),
            process: Process {
                rss_bytes: known(self.rss()),
                anonymous_bytes: known(self.anonymous()),
                file_bytes: known(self.file),
                shmem_bytes: known(self.shmem),
                anon_huge_bytes: known(self.retained_but_huge),
                lazy_free_bytes: known(0),
                threads: Reading::Known(17),
                ..Process::default()
            },
            cgroup: Reading::missing("no cgroup"),
            machine: Machine::default(),
        }
    }

    fn survey(&self) -> Survey {
        let mappings = Mappings {
            rss_bytes: self.rss() * MIB,
            jemalloc_bytes: self.jemalloc_rss() * MIB,
            jemalloc_huge: self.retained_but_huge * MIB,
            profiler_bytes: self.profiler * MIB,
            thread_stacks_bytes: self.stacks * MIB,
            c_heap_bytes: self.c_heap * MIB,
            other_anonymous_bytes: self.other * MIB,
            file_bytes: self.file * MIB,
            shmem_bytes: self.shmem * MIB,
            ..Mappings::default()
        };
        Survey { waterline: self.waterline(), mappings: Reading::Known(mappings) }
    }
}

fn later(change: impl FnOnce(&mut Books)) -> Books {
    let mut books = Books { at_s: 10, ..USUAL };
    change(&mut books);
    books
}

fn live() -> Extras {
    Extras { target: Target::Live("shop:6060".into()), pid: Some(42), ..Extras::default() }
}

/// The parts and what is unexplained add up to the total.
#[track_caller]
fn adds_up(t: &Triage) {
    let sum: i64 = t.parts.iter().map(|p| p.bytes).sum();
    assert_eq!(sum + t.unexplained_bytes, t.total_bytes.value().unwrap() as i64, "{t}");
    let growth: i64 = t.parts.iter().filter_map(|p| p.growth_bytes).sum();
    assert_eq!(growth + t.unexplained_growth_bytes.unwrap(), t.total_growth_bytes.unwrap(), "{t}");
    let json = serde_json::to_string(t).unwrap();
    assert_eq!(&serde_json::from_str::<Triage>(&json).unwrap(), t);
}

/// Judges with mappings and without, and gives both.
fn both(base: &Books, new: &Books) -> [Triage; 2] {
    let with = judge(&base.survey(), &new.survey(), live());
    let without = judge(&Survey::of(base.waterline()), &Survey::of(new.waterline()), live());
    adds_up(&with);
    adds_up(&without);
    [with, without]
}

#[track_caller]
fn grows(change: impl FnOnce(&mut Books), verdict: Verdict, next: &str) {
    let t = &both(&USUAL, &later(change))[0];
    assert_eq!((t.verdict, t.basis), (verdict, Basis::Growth), "{t}");
    assert_eq!(t.unexplained_bytes, 0, "{t}");
    assert!(t.next[0].starts_with(next), "{t}");
    assert!(t.evidence.contains("grew by"), "{t}");
}

#[test]
fn each_part_that_grows_has_its_verdict() {
    grows(|b| b.allocated += 50, Verdict::LiveGrowth, "diag-cli leaks shop:6060");
    grows(|b| b.free_in_slabs += 50, Verdict::Fragmentation, "diag-cli top shop:6060 --label bytes=64:64");
    grows(|b| b.dirty += 50, Verdict::DirtyPages, "diag-cli triage shop:6060 --purge");
    grows(|b| b.metadata += 50, Verdict::Metadata, "diag-cli doctor shop:6060");
    grows(|b| b.retained_but_huge += 50, Verdict::HugePages, "diag-cli triage shop:6060 --watch");
    grows(|b| b.profiler += 10, Verdict::Profiler, "diag-cli doctor shop:6060");
    grows(|b| b.stacks += 50, Verdict::ThreadStacks, "ps -T -o tid,comm,wchan -p 42");
    grows(|b| b.c_heap += 50, Verdict::OutsideJemalloc, "pmap -X 42");
    grows(|b| b.other += 50, Verdict::OutsideJemalloc, "pmap -X 42");
    grows(|b| b.file += 50, Verdict::FileCache, "diag-cli triage");
    grows(|b| b.shmem += 50, Verdict::SharedMemory, "ls -l /proc/42/fd");
}

#[test]
fn without_mappings_the_rest_stays_together() {
    for (change, verdict) in [
        ((|b| b.allocated += 50) as fn(&mut Books), Verdict::LiveGrowth),
        (|b| b.free_in_slabs += 50, Verdict::Fragmentation),
        (|b| b.dirty += 50, Verdict::DirtyPages),
        (|b| b.retained_but_huge += 50, Verdict::HugePages),
        (|b| b.stacks += 50, Verdict::OutsideJemalloc),
        (|b| b.shmem += 50, Verdict::SharedMemory),
    ] {
        let t = &both(&USUAL, &later(change))[1];
        assert_eq!(t.verdict, verdict, "{t}");
        assert!(t.missing.iter().any(|m| m.contains("not told apart")), "{t}");
        assert!(t.part(PartName::ThreadStacks).is_none(), "missing, not zero: {t}");
    }
}

#[test]
fn the_largest_growth_wins_and_shrinking_does_not_hide_it() {
    let [t, _] = both(&USUAL, &later(|b| (b.allocated, b.stacks, b.dirty) = (105, 31, 0)));
    assert_eq!(t.verdict, Verdict::ThreadStacks, "{t}");
    assert_eq!(t.part(PartName::DirtyPages).unwrap().growth_bytes, Some(-4 * MIB as i64));
}

#[test]
fn nothing_grows() {
    let [t, _] = both(&USUAL, &later(|_| {}));
    assert_eq!((t.verdict, t.basis), (Verdict::NoGrowth, Basis::Nothing), "{t}");
    assert!(t.evidence.contains("could not be told from noise"), "{t}");
}

#[test]
fn a_level_that_stands_out_is_named_although_nothing_grows() {
    let fragmented = |b: &mut Books| (b.allocated, b.free_in_slabs) = (20, 90);
    let base = Books { at_s: 0, ..later(fragmented) };
    let [t, _] = both(&base, &later(fragmented));
    assert_eq!((t.verdict, t.basis), (Verdict::Fragmentation, Basis::Level), "{t}");
    let class = &t.size_classes[0];
    assert_eq!(
        (t.size_classes.len(), class.size_bytes, class.growth_bytes),
        (1, 64, Some(0)),
        "full slabs waste nothing"
    );
    assert!((class.utilization - 0.1).abs() < 0.01, "{class:?}");
    // Freed just now: RSS is level, the room is new.
    let [t, _] = both(
        &later(|b| (b.at_s, b.allocated) = (0, 110)),
        &later(|b| (b.allocated, b.free_in_slabs) = (20, 100)),
    );
    assert_eq!((t.verdict, t.basis), (Verdict::Fragmentation, Basis::Level), "{t}");
}

#[test]
fn a_heap_that_grows_into_free_pages_is_seen() {
    let [t, _] = both(&later(|b| (b.at_s, b.dirty) = (0, 34)), &later(|b| b.allocated += 30));
    assert_eq!((t.verdict, t.basis), (Verdict::LiveGrowth, Basis::Growth), "{t}");
    assert!(t.evidence.contains("stays level"), "{t}");
}

#[test]
fn what_is_allocated_and_not_written_is_a_negative_part() {
    let [t, _] = both(&USUAL, &later(|b| (b.allocated, b.untouched) = (400, 300)));
    assert_eq!(t.part(PartName::NotInMemory).unwrap().bytes, -300 * MIB as i64, "{t}");
    assert_eq!(t.verdict, Verdict::LiveGrowth, "allocated, if not yet in memory: {t}");
    let before = later(|b| (b.at_s, b.allocated, b.untouched) = (0, 400, 300));
    let [t, _] = both(&before, &later(|b| b.allocated = 400));
    assert_eq!(t.verdict, Verdict::LiveGrowth, "{t}");
    assert!(t.evidence.contains("for the first time"), "{t}");
}

fn cgroup(anon: u64, file: u64, sock: u64, slab: u64) -> Reading<Cgroup> {
    let known = |mib: u64| Reading::Known(mib * MIB);
    let missing = Reading::missing("not told");
    Reading::Known(Cgroup {
        version: 2,
        path: "/pods/shop".into(),
        directory: "/sys/fs/cgroup/pods/shop".into(),
        note: String::new(),
        current_bytes: known(anon + file + sock + slab + 3),
        peak_bytes: missing.clone(),
        limit_bytes: Reading::Known(Limit::Unlimited),
        limited_by: None,
        high_bytes: Reading::missing("not told"),
        working_set_bytes: missing,
        swap_bytes: known(0),
        events: Events::default(),
        pressure: Reading::missing("not told"),
        stat: Stat {
            anon_bytes: known(anon),
            file_bytes: known(file),
            kernel_bytes: known(slab + 3),
            slab_bytes: known(slab),
            sock_bytes: known(sock),
            shmem_bytes: known(0),
            pagetables_bytes: known(1),
            kernel_stack_bytes: known(2),
            inactive_file_bytes: known(file / 2),
        },
    })
}

#[test]
fn in_a_cgroup_of_its_own_the_charge_is_explained() {
    let judge_in = |before: Reading<Cgroup>, after: Reading<Cgroup>| {
        let (mut base, mut new) = (USUAL.survey(), later(|_| {}).survey());
        (base.waterline.cgroup, new.waterline.cgroup) = (before, after);
        judge(&base, &new, live())
    };
    let own = USUAL.anonymous();
    for (after, verdict) in [
        (cgroup(own, 60, 2, 5), Verdict::FileCache),
        (cgroup(own, 12, 52, 5), Verdict::SocketBuffers),
        (cgroup(own, 12, 2, 55), Verdict::KernelMemory),
        (cgroup(own + 25, 12, 2, 5), Verdict::OtherProcesses),
    ] {
        let t = judge_in(cgroup(own, 12, 2, 5), after);
        assert_eq!((t.scope, t.verdict), (Scope::Cgroup, verdict), "{t}");
        adds_up(&t);
        assert_eq!(t.unexplained_bytes, 0, "{t}");
    }
    // A cache that shrinks does not hide a heap that grows, and one that grows does not stand before it.
    for cache in [10, 2000] {
        let (mut base, mut new) = (USUAL.survey(), later(|b| b.allocated += 20).survey());
        base.waterline.cgroup = cgroup(own, 1000, 2, 5);
        new.waterline.cgroup = cgroup(own + 20, cache, 2, 5);
        let t = judge(&base, &new, live());
        assert_eq!((t.verdict, t.basis), (Verdict::LiveGrowth, Basis::Growth), "{t}");
        assert!(t.evidence.contains("grew by 20.0 MiB"), "{t}");
        adds_up(&t);
    }
    let t = judge_in(cgroup(own, 1000, 2, 5), cgroup(own, 900, 2, 5));
    assert_eq!((t.verdict, t.basis), (Verdict::FileCache, Basis::Level), "{t}");
    let t = judge_in(cgroup(own * 3, 12, 2, 5), cgroup(own * 3, 500, 2, 5));
    assert_eq!((t.scope, t.verdict), (Scope::Process, Verdict::NoGrowth), "{t}");
    assert!(t.notes.iter().any(|n| n.contains("other processes too")), "{t}");
}

#[test]
fn a_process_that_reads_its_code_again_and_again_at_the_limit_is_said_to_crawl() {
    let crawls = |charged: u64, faults: u64| {
        let (mut base, mut new) = (USUAL.survey(), later(|_| {}).survey());
        for (survey, faults) in [(&mut base, 1_000), (&mut new, 1_000 + faults)] {
            survey.waterline.process.major_faults_total = Reading::Known(faults);
            survey.waterline.cgroup = cgroup(USUAL.anonymous(), 12, 2, 5);
        }
        let Reading::Known(cgroup) = &mut new.waterline.cgroup else { unreachable!() };
        cgroup.limited_by = Some(crate::memory::model::LimitedBy {
            directory: None,
            limit_bytes: 150 * MIB,
            current_bytes: Reading::Known(charged * MIB),
        });
        judge(&base, &new, live())
            .notes
            .iter()
            .any(|note| note.contains("crawls") && note.contains("450 pages a second"))
    };
    assert!(crawls(149, 4_500));
    assert!(!crawls(140, 4_500), "there is room");
    assert!(!crawls(149, 45), "hardly any");
}

#[test]
fn growth_that_is_in_no_part_is_said_to_be_unexplained() {
    let (base, mut new) = (USUAL.survey(), later(|_| {}).survey());
    // Pages that jemalloc believes to have given back, and that are no huge pages.
    if let Reading::Known(m) = &mut new.mappings {
        m.jemalloc_bytes += 40 * MIB;
        m.rss_bytes += 40 * MIB;
    }
    let t = judge(&base, &new, live());
    adds_up(&t);
    assert_eq!((t.verdict, t.unexplained_bytes), (Verdict::Unexplained, 40 * MIB as i64), "{t}");
}

#[test]
fn not_enough_evidence_says_what_is_missing() {
    let (mut base, mut new) =
        (Survey::of(USUAL.waterline()), Survey::of(later(|b| b.allocated += 50).waterline()));
    let t = judge(&new, &base, live());
    assert_eq!(t.verdict, Verdict::NotEnoughEvidence, "the wrong way round: {t}");
    assert!(t.evidence.contains("older one first"), "{t}");
    for survey in [&mut base, &mut new] {
        survey.waterline.process.anonymous_bytes = Reading::missing("no /proc/self/status");
    }
    let t = judge(&base, &new, live());
    assert_eq!(t.verdict, Verdict::NotEnoughEvidence, "{t}");
    assert!(t.missing.iter().any(|m| m.contains("/proc/self/status")), "{t}");
    base.waterline.process.rss_bytes = Reading::missing("no /proc");
    let t = judge(&base, &new, live());
    assert_eq!((t.verdict, t.total_growth_bytes), (Verdict::NotEnoughEvidence, None), "{t}");
}

#[test]
fn without_jemalloc_the_heap_is_outside() {
    let (mut base, mut new) = (USUAL.survey(), later(|b| b.allocated += 50).survey());
    for survey in [&mut base, &mut new] {
        survey.waterline.jemalloc = Reading::missing("this process does not allocate with jemalloc");
    }
    let t = judge(&base, &new, live());
    adds_up(&t);
    assert_eq!(t.verdict, Verdict::OutsideJemalloc, "{t}");
    assert!(t.missing.iter().any(|m| m.contains("does not allocate")), "{t}");
}

#[test]
fn a_purge_proves_or_refutes() {
    let idle = |rss: u64, dirty: u64| Idle {
        rss_bytes: Reading::Known(rss * MIB),
        dirty_bytes: Reading::Known(dirty * MIB),
        muzzy_bytes: Reading::Known(0),
    };
    let dirty = later(|b| b.dirty = 200);
    let plain = both(&Books { at_s: 0, ..dirty.clone() }, &dirty)[0].clone();
    assert_eq!((plain.verdict, plain.basis), (Verdict::DirtyPages, Basis::Level), "{plain}");
    let proven = plain.clone().with_purge(Purge::new(idle(338, 200), idle(140, 0), 0.02));
    assert!(proven.evidence.contains("; proven: the purge took 20 ms and returned 198.0 MiB"), "{proven}");
    let refuted = plain.with_purge(Purge::new(idle(338, 200), idle(338, 0), 0.02));
    assert!(refuted.evidence.contains("not proven"), "{refuted}");
    let quiet = both(&USUAL, &later(|_| {}))[0].clone();
    let noted = quiet.clone().with_purge(Purge::new(idle(138, 4), idle(136, 0), 0.02));
    assert_eq!(noted.verdict, Verdict::NoGrowth);
    assert!(noted.notes.iter().any(|n| n.contains("returned 2.0 MiB")), "{noted}");
    let found = quiet.with_purge(Purge::new(idle(138, 80), idle(60, 0), 0.02));
    assert_eq!(found.verdict, Verdict::DirtyPages, "{found}");
}

#[test]
fn the_profile_is_held_against_the_count() {
    let with = |mib: i64| {
        let at = |m: i64| m * MIB as i64;
        let sampled = Sampled {
            bytes: at(mib),
            low_bytes: at(mib - 5),
            high_bytes: at(mib + 5),
            own_pages_bytes: at(6),
        };
        judge(
            &USUAL.survey(),
            &later(|b| b.allocated = 150).survey(),
            Extras { sampled: Some(sampled), ..live() },
        )
    };
    assert_eq!(with(148).sampled_agrees, Some(true));
    let t = with(60);
    assert_eq!(t.sampled_agrees, Some(false));
    assert!(t.notes.iter().any(|n| n.contains("does not agree")) && t.verdict == Verdict::LiveGrowth, "{t}");
    assert!(t.notes.iter().any(|n| n.contains("6.0 MiB of the fragmentation are the profiler's")), "{t}");
}

#[test]
fn captures_get_no_commands_for_a_live_process() {
    let target = Target::Captures("captures".into());
    for change in [(|b| b.dirty += 50) as fn(&mut Books), |b| b.allocated += 50, |b| b.file += 50, |_| {}] {
        let extras = Extras { target: target.clone(), ..Extras::default() };
        let t = judge(&USUAL.survey(), &later(change).survey(), extras);
        assert!(!t.next.is_empty() && t.next.iter().all(|n| !n.contains("--")), "{t}");
    }
}
