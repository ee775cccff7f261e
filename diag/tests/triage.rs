//! The triage of a real process that does one thing after the other. One test, since all of it is one process's memory; each
//! scenario reads before and after, so nothing depends on time.

#![cfg(all(feature = "heap", feature = "memory", feature = "symbols", target_os = "linux"))]
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::hint::black_box;
use std::sync::{Arc, Barrier};

use diag::Diag;
use diag::evidence::add_heap;
use diag::heap::SnapshotOptions;
use diag::memory::purge;
use diag::memory::triage::{Basis, Extras, PartName, Survey, Triage, Verdict, judge};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const MIB: usize = 1 << 20;
/// What each scenario moves: far more than everything else here.
const MOVED: usize = 64 * MIB;

/// The growth of a part in MiB.
fn grown(t: &Triage, name: PartName) -> i64 {
    t.part(name).and_then(|p| p.growth_bytes).unwrap_or(0) / MIB as i64
}

#[track_caller]
fn about(value: i64, mib: i64) {
    assert!((mib * 4 / 5..=mib * 5 / 4).contains(&value), "{value} MiB instead of {mib}");
}

/// Parts and the rest add up, and little is unexplained.
#[track_caller]
fn adds_up(t: &Triage) {
    let sum: i64 = t.parts.iter().map(|p| p.bytes).sum();
    assert_eq!(sum + t.unexplained_bytes, t.total_bytes.value().unwrap() as i64, "{t}");
    assert!(t.unexplained_bytes.unsigned_abs() < 8 * MIB as u64, "{t}");
    assert!(t.next.iter().all(|n| !n.is_empty()) && !t.next.is_empty(), "{t}");
}

/// A number of `/proc/self/status`, in MiB, read without diag.
fn status_mib(key: &str) -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse::<i64>().unwrap() / 1024
}

struct Process {
    diag: Diag,
}

impl Process {
    /// Of the process alone: what else runs in the cgroup is no business of this test.
    fn survey(&self) -> Survey {
        let mut survey = self.diag.survey();
        survey.waterline.cgroup = diag::memory::Reading::missing("not asked");
        survey
    }

    fn judge(&self, base: &Survey) -> Triage {
        let new = self.survey();
        let profile =
            self.diag.heap().unwrap().snapshot(&SnapshotOptions::default().with_ages(true)).unwrap();
        let mut extras = Extras::default();
        let name = |p| std::borrow::Cow::Owned(self.diag.symbolize(p).unwrap());
        add_heap(&mut extras, &profile, (base, &new), name);
        let triage = judge(base, &new, extras);
        adds_up(&triage);
        triage
    }
}

/// On a thread of its own: the next sample of a thread that was there before diag is drawn with the former period.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

#[test]
fn each_cause_gets_its_verdict() {
    let diag = Diag::builder().sample_bytes(64 << 10).start().unwrap();
    let process = Process { diag };
    if process.survey().mappings.why_missing().is_some() {
        println!("SKIPPED: no /proc/self/smaps with flags");
        return;
    }
    // What is set up once, by symbols and the first snapshot, is not the scenarios'.
    let base = process.survey();
    process.judge(&base);

    live_growth(&process);
    fragmentation(&process);
    dirty_pages(&process);
    thread_stacks(&process);
    c_heap(&process);
    mapped(&process);
    not_written_yet(&process);
}

#[inline(never)]
fn live_growth(process: &Process) {
    let base = process.survey();
    let rss = status_mib("VmRSS");
    let kept: Vec<Vec<u8>> = on_a_thread(|| (0..MOVED / 1024).map(|_| black_box(vec![1u8; 1024])).collect());
    let t = process.judge(&base);
    assert_eq!((t.verdict, t.basis), (Verdict::LiveGrowth, Basis::Growth), "{t}");
    about(grown(&t, PartName::LiveHeap), 64);
    about(status_mib("VmRSS") - rss, t.total_growth_bytes.unwrap() / MIB as i64);
    assert_eq!(t.sampled_agrees, Some(true), "{t}");
    println!("{t}");
    drop(kept);
    purge().unwrap();
}

/// Two of the 64 objects of a slab keep it.
#[inline(never)]
#[allow(clippy::vec_box, reason = "each in a slot of its own")]
fn keep_one_in_32() -> Vec<Box<[u8; 64]>> {
    let mut all: Vec<Option<Box<[u8; 64]>>> =
        (0..MOVED / 64).map(|_| Some(black_box(Box::new([1u8; 64])))).collect();
    for (i, slot) in all.iter_mut().enumerate() {
        if i % 32 != 0 {
            *slot = None;
        }
    }
    all.into_iter().flatten().collect()
}

fn fragmentation(process: &Process) {
    let before = process.survey();
    let kept = on_a_thread(keep_one_in_32);
    purge().unwrap();
    let t = process.judge(&before);
    assert_eq!((t.verdict, t.basis), (Verdict::Fragmentation, Basis::Growth), "{t}");
    about(grown(&t, PartName::Fragmentation), 62);
    let class = &t.size_classes[0];
    assert_eq!(class.size_bytes, 64, "{t}");
    assert!(class.utilization < 0.1, "{t}");
    assert!(t.next[0].contains("bytes=64:64"), "{t}");
    // Nothing moves: it is the level, and who holds it was there before.
    let base = process.survey();
    let t = process.judge(&base);
    assert_eq!((t.verdict, t.basis), (Verdict::Fragmentation, Basis::Level), "{t}");
    let holder = t.holders.iter().find(|h| h.site.contains("keep_one_in_32"));
    let objects = holder.unwrap_or_else(|| panic!("nobody holds it: {t}")).objects;
    assert!(
        (kept.len() / 3..kept.len() * 3).contains(&(objects as usize)),
        "{objects} of {}: {t}",
        kept.len()
    );
    println!("{t}");
    drop(kept);
    purge().unwrap();
}

fn dirty_pages(process: &Process) {
    let base = process.survey();
    // Below jemalloc's oversize threshold, from which on pages go back at once; and on a thread that stays, since with the
    // last thread of an arena its pages go too.
    let blocks: Vec<Vec<u8>> = (0..MOVED / MIB).map(|_| black_box(vec![1u8; MIB])).collect();
    drop(blocks);
    let t = process.judge(&base);
    assert_eq!((t.verdict, t.basis), (Verdict::DirtyPages, Basis::Growth), "{t}");
    let dirty = t.part(PartName::DirtyPages).unwrap().bytes;
    assert!(t.next[0].contains("--purge"), "{t}");
    let rss = status_mib("VmRSS");
    let t = t.with_purge(purge().unwrap());
    let returned = t.purge.as_ref().unwrap().returned_bytes().unwrap();
    assert!(returned > dirty / 2 && returned < dirty * 2, "{returned} of {dirty}: {t}");
    assert!(t.evidence.contains("proven: the purge"), "{t}");
    about(rss - status_mib("VmRSS"), returned / MIB as i64);
    println!("{t}");
}

fn thread_stacks(process: &Process) {
    const THREADS: usize = 16;
    const EACH: usize = 4 * MIB;
    let base = process.survey();
    let (ready, leave) = (Arc::new(Barrier::new(THREADS + 1)), Arc::new(Barrier::new(THREADS + 1)));
    let start = |_| {
        let (ready, leave) = (Arc::clone(&ready), Arc::clone(&leave));
        let deep = move || {
            let mut frame = [0u8; EACH];
            black_box(&mut frame).fill(1);
            ready.wait();
            leave.wait();
        };
        std::thread::Builder::new().stack_size(2 * EACH).spawn(deep).unwrap()
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    ready.wait();
    // Before Linux 6.7 at least one of them must have come to its wait.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let t = process.judge(&base);
    leave.wait();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!((t.verdict, t.basis), (Verdict::ThreadStacks, Basis::Growth), "{t}");
    about(grown(&t, PartName::ThreadStacks), 64);
    println!("{t}");
}

/// 1 KiB pieces from glibc's malloc, which is not the allocator of this program, on a thread with an arena of its own.
fn c_heap(process: &Process) {
    let base = process.survey();
    let anonymous = status_mib("RssAnon");
    let (ready, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (theirs, gone) = (Arc::clone(&ready), Arc::clone(&leave));
    let thread = std::thread::spawn(move || {
        // SAFETY: malloc may be called at any time; the pieces are written within their size and never freed.
        let pieces: Vec<usize> = (0..MOVED / 1024)
            .map(|_| unsafe {
                let piece = libc::malloc(1024).cast::<u8>();
                piece.write_bytes(1, 1024);
                piece as usize
            })
            .collect();
        theirs.wait();
        gone.wait();
        pieces.len()
    });
    ready.wait();
    let t = process.judge(&base);
    let by_kernel = status_mib("RssAnon") - anonymous;
    leave.wait();
    thread.join().unwrap();
    assert_eq!((t.verdict, t.basis), (Verdict::OutsideJemalloc, Basis::Growth), "{t}");
    about(grown(&t, PartName::CHeap), 64);
    about(by_kernel, 64);
    println!("{t}");
}

fn mapped(process: &Process) {
    let base = process.survey();
    let mut map = memmap2::MmapMut::map_anon(MOVED).unwrap();
    map.fill(1);
    let t = process.judge(&base);
    assert_eq!((t.verdict, t.basis), (Verdict::OutsideJemalloc, Basis::Growth), "{t}");
    about(grown(&t, PartName::OtherAnonymous) + grown(&t, PartName::SharedMemory), 64);
    drop(map);
}

/// Allocated and not written: in jemalloc's books, and not in memory.
fn not_written_yet(process: &Process) {
    let base = process.survey();
    let mut block: Vec<u8> = Vec::with_capacity(MOVED);
    let t = process.judge(&base);
    about(grown(&t, PartName::LiveHeap), 64);
    about(-grown(&t, PartName::NotInMemory), 64);
    assert!(t.total_growth_bytes.unwrap() < 16 * MIB as i64, "{t}");
    let base = process.survey();
    block.resize(MOVED, 1);
    let t = process.judge(&base);
    assert_eq!(t.verdict, Verdict::LiveGrowth, "{t}");
    assert!(t.evidence.contains("for the first time"), "{t}");
    drop(black_box(block));
}
