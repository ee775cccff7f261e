//! Mappings as Linux 6.1 and 6.18 with glibc 2.36 show them, shortened.

use super::parse::{header, stack_pointer};
use std::os::unix::fs::FileExt as _;

use super::*;

const MIB: u64 = 1 << 20;

/// `header`, resident KiB, anonymous KiB, flags.
fn smaps(regions: &[(&str, u64, u64, &str)]) -> String {
    let one = |(header, rss, anonymous, flags): &(&str, u64, u64, &str)| {
        format!(
            "{header}\nSize:  1 kB\nRss:   {rss} kB\nAnonymous:   {anonymous} kB\nLazyFree:   0 kB\n\
             AnonHugePages:   {} kB\nVmFlags: {flags} \n",
            if flags.contains("hg") { *rss } else { 0 }
        )
    };
    regions.iter().map(one).collect()
}

fn read(smaps: &str, tasks: &[&str]) -> Reading<Mappings> {
    read_below(&Source::new(tree(smaps, tasks).path()), 0)
}

fn tree(smaps: &str, tasks: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("proc/self");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("smaps"), smaps).unwrap();
    for (i, text) in tasks.iter().enumerate() {
        std::fs::create_dir_all(dir.join(format!("task/{i}"))).unwrap();
        std::fs::write(dir.join(format!("task/{i}/syscall")), text).unwrap();
    }
    root
}

#[test]
fn each_mapping_has_one_owner() {
    let text = smaps(&[
        ("55d000000000-55d000100000 r-xp 00000000 fe:00 7       /opt/a b/shop", 900, 0, "rd ex mr mw me"),
        ("55d000100000-55d000110000 rw-p 00100000 fe:00 7       /opt/a b/shop", 60, 40, "rd wr mr mw me ac"),
        ("55d001000000-55d001100000 rw-p 00000000 00:00 0       [heap]", 300, 300, "rd wr mr mw me ac"),
        ("7f0000000000-7f0000200000 rw-p 00000000 00:00 0 ", 2000, 2000, "rd wr mr mw me ac"),
        // A heap of glibc in the first MiB, and jemalloc's pages behind it.
        ("04000000-04300000 rw-p 00000000 00:00 0 ", 2000, 2000, "rd wr mr mw me nr"),
        ("04300000-08000000 ---p 00000000 00:00 0 ", 0, 0, "mr mw me nr"),
        ("7f0009000000-7f0019000000 rw-p 00000000 00:00 0 ", 70000, 70000, "rd wr mr mw me nr hg"),
        ("7f0019000000-7f001a000000 rw-p 00000000 00:00 0 ", 5000, 5000, "rd wr mr mw me nr nh"),
        // Two threads of 2 MiB, one of which waits; a mapping with a guard of another size.
        ("7f0020000000-7f0020001000 ---p 00000000 00:00 0 ", 0, 0, "mr mw me"),
        ("7f0020001000-7f0020201000 rw-p 00000000 00:00 0 ", 16, 16, "rd wr mr mw me ac"),
        ("7f0020201000-7f0020202000 ---p 00000000 00:00 0 ", 0, 0, "mr mw me"),
        ("7f0020202000-7f0020402000 rw-p 00000000 00:00 0 ", 24, 24, "rd wr mr mw me ac"),
        ("7f0020402000-7f0020403000 ---p 00000000 00:00 0 ", 0, 0, "mr mw me"),
        ("7f0020403000-7f0020405000 rw-p 00000000 00:00 0 ", 8, 8, "rd wr mr mw me ac"),
        ("7f0030000000-7f0030100000 rw-s 00000000 00:01 9       /dev/shm/ring (deleted)", 500, 0, "rd wr sh"),
        ("7f0031000000-7f0031100000 r--s 00000000 fe:00 9       /var/data", 100, 0, "rd sh"),
        ("7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0       [stack]", 20, 20, "rd wr mr mw me gd ac"),
        ("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]", 0, 0, "ex"),
    ]);
    let tasks = ["running\n", "202 0x1 0x2 0x3 0x0 0x0 0x0 0x7f0020200000 0x7f00deadbeef\n"];
    let root = tree(&text, &tasks);
    let dir = root.path().join("proc/self");
    // Sparse: the header, and 250 pages of 256 that are present.
    const HEAP: u64 = 0x0400_0000;
    let header = [HEAP + 0x30, 0, 0x10_0000, 0x10_0000].map(u64::to_ne_bytes).concat();
    std::fs::File::create(dir.join("mem")).unwrap().write_all_at(&header, HEAP).unwrap();
    let pages: Vec<u8> = (0..256).flat_map(|i| u64::from(i < 250).rotate_right(1).to_ne_bytes()).collect();
    std::fs::File::create(dir.join("pagemap")).unwrap().write_all_at(&pages, HEAP / 4096 * 8).unwrap();
    let m = read_below(&Source::new(root.path()), 0).as_result().unwrap().clone();
    let kib = |bytes: u64| bytes / 1024;
    assert_eq!(kib(m.jemalloc_bytes), 71000, "with 1000 in the mapping that holds a heap of glibc");
    assert_eq!(kib(m.jemalloc_huge), 70000);
    assert_eq!(kib(m.profiler_bytes), 5000);
    assert_eq!((kib(m.c_heap_bytes), m.c_heaps), (1300, 1));
    assert_eq!((kib(m.thread_stacks_bytes), m.stacks), (16 + 24 + 20, 3), "the running one by its size");
    assert_eq!((kib(m.other_anonymous_bytes), m.other_mappings, kib(m.largest_other)), (2008, 2, 2000));
    assert_eq!(kib(m.program_data_bytes), 40);
    assert_eq!(kib(m.file_bytes), 900 + 20 + 100);
    assert_eq!(kib(m.shmem_bytes), 500);
    let sum = m.jemalloc_bytes
        + m.profiler_bytes
        + m.thread_stacks_bytes
        + m.c_heap_bytes
        + m.other_anonymous_bytes
        + m.program_data_bytes
        + m.file_bytes
        + m.shmem_bytes;
    assert_eq!(sum, m.rss_bytes, "each page once");
}

#[test]
fn a_stack_that_merged_with_a_large_mapping_is_not_counted() {
    let text = smaps(&[("7f0000000000-7f0020000000 rw-p 00000000 00:00 0 ", 9000, 9000, "rd wr ac")]);
    let m = read(&text, &["-1 0x7f0000001000 0x1"]).as_result().unwrap().clone();
    assert_eq!((m.stacks, m.other_anonymous_bytes), (0, 9000 * 1024));
}

#[test]
fn stacks_of_running_threads_and_stacks_in_the_heap() {
    let text = smaps(&[
        ("7f0000000000-7f0010000000 rw-p 00000000 00:00 0 ", 9000, 9000, "rd wr mr mw me nr"),
        // Linux 6.7 and later, two threads that run; no guard, and an alternate signal stack's size.
        ("7f0020000000-7f0020001000 ---p 00000000 00:00 0 ", 0, 0, "mr mw me nh"),
        ("7f0020001000-7f0020201000 rw-p 00000000 00:00 0 ", 16, 16, "rd wr mr mw me ac nh"),
        ("7f0020201000-7f0020202000 ---p 00000000 00:00 0 ", 0, 0, "mr mw me nh"),
        ("7f0020202000-7f0020a02000 rw-p 00000000 00:00 0 ", 24, 24, "rd wr mr mw me ac nh"),
        ("7f0030000000-7f0030100000 rw-p 00000000 00:00 0 ", 32, 32, "rd wr mr mw me ac nh"),
    ]);
    let m = read(&text, &["running", "running", "-1 0x7f0000001000 0x1"]).as_result().unwrap().clone();
    assert_eq!((m.thread_stacks_bytes, m.stacks), (40 * 1024, 2), "{m:?}");
    assert_eq!(m.jemalloc_bytes, 9000 * 1024, "a stack in the heap does not make the heap a stack");
    assert_eq!(m.other_anonymous_bytes, 32 * 1024);
}

#[test]
fn without_a_source_there_is_a_reason() {
    let root = tempfile::tempdir().unwrap();
    let none = read_below(&Source::new(root.path()), 0);
    assert!(none.why_missing().unwrap().contains("/proc/self/smaps"), "{none:?}");
    let bare = "7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nRss: 4 kB\n";
    assert!(read(bare, &[]).why_missing().unwrap().contains("VmFlags"));
    assert!(read("", &[]).why_missing().is_some());
}

#[test]
fn lines_of_any_kind() {
    assert_eq!(header("Rss:   4 kB"), None);
    assert_eq!(header("7f00-zz rw-p 0 0 0"), None);
    assert!(header("1000-2000 rw-p 00000000 00:00 0").is_some());
    assert_eq!(stack_pointer("running"), None);
    assert_eq!(stack_pointer(""), None);
    assert_eq!(stack_pointer("-1 0x7ffe 0x1"), Some(0x7ffe));
}

#[test]
fn the_stacks_of_this_process_are_found() {
    let touch = |kib: usize| {
        // 1 MiB of a 2 MiB stack: written page by page, so that it is resident.
        let mut deep = [0u8; MIB as usize];
        for page in deep.iter_mut().step_by(4096).take(kib / 4) {
            *page = 1;
        }
        std::hint::black_box(&mut deep)[0]
    };
    let (ready, wait) = (std::sync::Barrier::new(9), std::sync::Barrier::new(9));
    let Reading::Known(before) = read_mappings() else { return };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            std::thread::Builder::new()
                .stack_size(4 << 20)
                .spawn_scoped(scope, || {
                    touch(1024);
                    ready.wait();
                    wait.wait();
                })
                .unwrap();
        }
        ready.wait();
        // All eight are on their way into the second barrier or there.
        std::thread::sleep(std::time::Duration::from_millis(200));
        let after = read_mappings().as_result().unwrap().clone();
        wait.wait();
        let grown = after.thread_stacks_bytes.saturating_sub(before.thread_stacks_bytes);
        // Other tests of this binary start and end threads meanwhile.
        assert!((7 * MIB..16 * MIB).contains(&grown), "{grown} of 8 MiB; {after:?}");
    });
}

/// Found by fuzzing: stack pointers were looked for in a range that is none, which panics; and sums overflowed.
#[test]
fn numbers_that_no_kernel_writes() {
    assert_eq!(header("7f0000002000-7f0000001000 rw-p 00000000 00:00 0 "), None);
    let most = u64::MAX / 1024;
    let text = smaps(&[
        ("7f0000000000-7f0000800000 rw-p 00000000 00:00 0 ", most, most, "rd wr ac nr hg"),
        ("7f0010000000-7f0010800000 rw-p 00000000 00:00 0 ", most, most, "rd wr ac nr hg"),
    ]);
    let Reading::Known(mappings) = read(&text, &["7 0x1 0x2 0x3 0x4 0x5 0x6 0x7f0000000100 0x1"]) else {
        panic!("it is smaps");
    };
    assert_eq!((mappings.rss_bytes, mappings.mappings), (u64::MAX, 2));
}
