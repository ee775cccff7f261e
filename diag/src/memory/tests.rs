//! The waterline over made-up `/proc` and `/sys` trees. The texts are copied from real kernels (6.1 and 6.8, a
//! cgroup v1 machine, gVisor's /proc as its documentation describes it) and shortened.

use super::*;

const STATUS: &str = "\
Name:\tshop
VmPeak:\t  900000 kB
VmSize:\t  800000 kB
VmHWM:\t  300000 kB
VmRSS:\t  204800 kB
RssAnon:\t  180000 kB
RssFile:\t   20000 kB
RssShmem:\t    4800 kB
VmStk:\t     132 kB
VmPTE:\t     512 kB
VmSwap:\t      64 kB
THP_enabled:\t1
Threads:\t17
";
const ROLLUP: &str = "\
55c22682f000-7ffc17f37000 ---p 00000000 00:00 0                          [rollup]
Rss:              204796 kB
Pss:              201000 kB
Pss_Anon:         180100 kB
Anonymous:        180100 kB
LazyFree:           2048 kB
AnonHugePages:     65536 kB
Swap:                 64 kB
SwapPss:              64 kB
";
const MEMINFO: &str =
    "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:    8192000 kB\nSwapTotal:             0 kB\n";
const V2_MOUNT: &str = "36 31 0:32 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const MIB: u64 = 1 << 20;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.write(files);
        tree
    }

    fn with_proc(files: &[(&str, &str)]) -> Self {
        let tree = Self::new(&[
            ("proc/self/status", STATUS),
            ("proc/self/smaps_rollup", ROLLUP),
            (
                "proc/self/stat",
                "4242 (shop) of (all)) S 1 4242 4242 0 -1 4194560 90210 0 77 0 1 2 0 0 20 0 17 0\n",
            ),
            ("proc/meminfo", MEMINFO),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ]);
        tree.write(files);
        tree
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn read(&self) -> Waterline {
        self.read_with(Effort::Full)
    }

    fn read_with(&self, effort: Effort) -> Waterline {
        read_below(self.0.path(), 1_795_266_322_000_000_000, Reading::missing("not asked"), effort)
    }

    fn cgroup(&self) -> Cgroup {
        self.read().cgroup.as_result().unwrap().clone()
    }
}

fn v2_tree() -> Tree {
    Tree::with_proc(&[
        ("proc/self/cgroup", "0::/pods/shop\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.stat", "anon 1\n"),
        ("sys/fs/cgroup/pods/memory.max", "268435456\n"),
        ("sys/fs/cgroup/pods/memory.high", "max\n"),
        ("sys/fs/cgroup/pods/memory.current", "251658240\n"),
        ("sys/fs/cgroup/pods/shop/memory.current", "230686720\n"),
        ("sys/fs/cgroup/pods/shop/memory.max", "536870912\n"),
        ("sys/fs/cgroup/pods/shop/memory.high", "max\n"),
        ("sys/fs/cgroup/pods/shop/memory.peak", "262144000\n"),
        ("sys/fs/cgroup/pods/shop/memory.swap.current", "0\n"),
        (
            "sys/fs/cgroup/pods/shop/memory.stat",
            "anon 184320000\nfile 20971520\nkernel 4194304\nkernel_stack 278528\npagetables 524288\n\
             sock 4096\nshmem 4915200\ninactive_anon 9\ninactive_file 10485760\nslab 2097152\n",
        ),
        (
            "sys/fs/cgroup/pods/shop/memory.events",
            "low 0\nhigh 3\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n",
        ),
        (
            "sys/fs/cgroup/pods/shop/memory.pressure",
            "some avg10=1.50 avg60=0.70 avg300=0.10 total=123456\nfull avg10=0.50 avg60=0.20 avg300=0.00 total=4567\n",
        ),
    ])
}

#[test]
fn the_process_is_read_exactly() {
    let p = v2_tree().read().process;
    assert_eq!(p.rss_bytes, Reading::Known(204_796 * 1024), "the exact count of smaps_rollup goes first");
    assert_eq!(p.rss_peak_bytes, Reading::Known(300_000 * 1024));
    assert_eq!(p.pss_bytes, Reading::Known(201_000 * 1024), "not Pss_Anon");
    assert_eq!(p.anonymous_bytes, Reading::Known(180_100 * 1024));
    assert_eq!(p.file_bytes, Reading::Known(20_000 * 1024));
    assert_eq!(p.shmem_bytes, Reading::Known(4_800 * 1024));
    assert_eq!(p.anon_huge_bytes, Reading::Known(64 * MIB));
    assert_eq!(p.lazy_free_bytes, Reading::Known(2 * MIB));
    assert_eq!(p.swap_bytes, Reading::Known(64 * 1024), "not SwapPss");
    assert_eq!(p.virtual_bytes, Reading::Known(800_000 * 1024));
    assert_eq!(p.threads, Reading::Known(17));
    assert_eq!(p.major_faults_total, Reading::Known(77));
}

#[test]
fn a_quick_reading_leaves_out_the_walk() {
    let p = v2_tree().read_with(Effort::Quick).process;
    assert_eq!(p.rss_bytes, Reading::Known(204_800 * 1024), "from status");
    assert_eq!(p.anonymous_bytes, Reading::Known(180_000 * 1024));
    assert!(p.pss_bytes.why_missing().unwrap().contains("left out"), "{:?}", p.pss_bytes);
}

#[test]
fn v2_with_the_limit_of_the_parent() {
    let c = v2_tree().cgroup();
    assert_eq!((c.version, c.path.as_str(), c.note.as_str()), (2, "/pods/shop", ""));
    assert_eq!(c.current_bytes, Reading::Known(220 * MIB));
    assert_eq!(c.limit_bytes, Reading::Known(Limit::Bytes(256 * MIB)));
    let by = c.limited_by.unwrap();
    assert_eq!(by.directory.as_deref(), Some("/sys/fs/cgroup/pods"));
    assert_eq!(by.current_bytes, Reading::Known(240 * MIB));
    assert_eq!(c.working_set_bytes, Reading::Known(210 * MIB));
    assert_eq!(c.peak_bytes, Reading::Known(250 * MIB));
    assert_eq!(c.high_bytes, Reading::Known(Limit::Unlimited));
    assert_eq!(c.swap_bytes, Reading::Known(0), "nothing swapped is a fact");
    let e = &c.events;
    let events = [&e.high, &e.max, &e.oom, &e.oom_kill].map(|r| r.value());
    assert_eq!(events, [Some(3), Some(12), Some(2), Some(1)]);
    let p = c.pressure.known().unwrap();
    assert_eq!(p.some.known().unwrap().avg10_percent, 1.5);
    assert_eq!(p.full.known().unwrap().total_us, 4567);
    assert!(p.file.ends_with("/pods/shop/memory.pressure"));
    assert_eq!(c.stat.kernel_bytes, Reading::Known(4 * MIB));
    assert_eq!(c.stat.kernel_stack_bytes, Reading::Known(278_528));
    assert_eq!(c.stat.sock_bytes, Reading::Known(4096));
}

#[test]
fn v2_limit_is_the_smallest_wherever_it_stands() {
    let tree = v2_tree();
    tree.write(&[("sys/fs/cgroup/pods/shop/memory.max", "104857600\n")]);
    assert_eq!(tree.cgroup().limit_bytes, Reading::Known(Limit::Bytes(100 * MIB)));
    tree.write(&[
        ("sys/fs/cgroup/pods/shop/memory.max", "max\n"),
        ("sys/fs/cgroup/pods/memory.max", "max\n"),
    ]);
    let c = tree.cgroup();
    assert_eq!((c.limit_bytes, c.limited_by), (Reading::Known(Limit::Unlimited), None));
}

#[test]
fn v2_of_an_older_kernel_says_what_it_lacks() {
    let tree = v2_tree();
    for file in ["memory.peak", "memory.pressure"] {
        std::fs::remove_file(tree.0.path().join("sys/fs/cgroup/pods/shop").join(file)).unwrap();
    }
    tree.write(&[(
        "proc/pressure/memory",
        "some avg10=9.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.",
    )]);
    let c = tree.cgroup();
    assert_eq!(c.peak_bytes.why_missing(), Some("no /sys/fs/cgroup/pods/shop/memory.peak"));
    let p = c.pressure.known().unwrap();
    assert_eq!(p.file, "/proc/pressure/memory", "the machine's stands in, and says so");
    assert_eq!(p.some.known().unwrap().avg10_percent, 9.0);
    assert!(p.full.known().is_none(), "a line that was cut off is not a reading");
}

#[test]
fn v2_root_has_no_current_and_no_limit() {
    let tree = Tree::with_proc(&[
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.stat", "anon 5\ninactive_file 1\n"),
    ]);
    let c = tree.cgroup();
    assert_eq!(c.limit_bytes, Reading::Known(Limit::Unlimited));
    assert!(c.current_bytes.known().is_none() && c.working_set_bytes.known().is_none());
    assert_eq!(c.stat.anon_bytes, Reading::Known(5));
}

#[test]
fn an_unreadable_limit_is_not_unlimited() {
    let tree = v2_tree();
    tree.write(&[
        ("sys/fs/cgroup/pods/shop/memory.max", "half a page\n"),
        ("sys/fs/cgroup/pods/memory.max", "\n"),
    ]);
    let c = tree.cgroup();
    assert!(c.limit_bytes.why_missing().unwrap().contains("half a page"), "{:?}", c.limit_bytes);
    assert!(c.note.contains("/sys/fs/cgroup/pods/shop, /sys/fs/cgroup/pods"), "{}", c.note);
}

const V1_STAT: &str = "\
cache 1
rss 2
hierarchical_memory_limit 268435456
hierarchical_memsw_limit 9223372036854771712
total_cache 20971520
total_rss 104857600
total_shmem 4096
total_swap 8192
total_inactive_file 10485760
";

fn v1_tree() -> Tree {
    Tree::with_proc(&[
        ("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc\n0::/docker/abc\n"),
        (
            "proc/self/mountinfo",
            "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
             41 31 0:38 /docker/abc /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        ),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "125829120\n"),
        ("sys/fs/cgroup/memory/memory.max_usage_in_bytes", "157286400\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ("sys/fs/cgroup/memory/memory.failcnt", "7\n"),
        ("sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"),
        ("sys/fs/cgroup/memory/memory.kmem.usage_in_bytes", "1048576\n"),
        ("sys/fs/cgroup/memory/memory.stat", V1_STAT),
        ("sys/fs/cgroup/unified/memory.pressure", "some avg10=0.25 avg60=0.00 avg300=0.00 total=9\n"),
    ])
}

#[test]
fn v1_with_a_v2_hierarchy_beside_it() {
    let c = v1_tree().cgroup();
    assert_eq!((c.version, c.directory.as_str()), (1, "/sys/fs/cgroup/memory"));
    assert_eq!(c.current_bytes, Reading::Known(120 * MIB));
    assert_eq!(c.working_set_bytes, Reading::Known(110 * MIB));
    assert_eq!(c.peak_bytes, Reading::Known(150 * MIB));
    assert_eq!(c.limit_bytes, Reading::Known(Limit::Bytes(256 * MIB)));
    assert_eq!(c.limited_by.unwrap().directory.as_deref(), Some("/sys/fs/cgroup/memory"));
    assert_eq!((c.events.oom_kill.value(), c.events.max.value()), (Some(4), Some(7)));
    assert_eq!(c.stat.anon_bytes, Reading::Known(100 * MIB), "children included");
    assert_eq!(c.swap_bytes, Reading::Known(8192));
    let pressure = c.pressure.known().unwrap();
    assert_eq!(pressure.file, "/sys/fs/cgroup/unified/memory.pressure");
    for absent in [&c.stat.slab_bytes, &c.stat.pagetables_bytes, &c.stat.kernel_stack_bytes, &c.events.high] {
        assert!(absent.why_missing().unwrap().contains("v1 does not count"), "{absent:?}");
    }
    assert!(c.stat.sock_bytes.why_missing().unwrap().starts_with("no /sys/"), "{:?}", c.stat.sock_bytes);
}

#[test]
fn v1_limits_above_the_mount_are_known_to_the_kernel() {
    let tree = v1_tree();
    tree.write(&[("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")]);
    let c = tree.cgroup();
    assert_eq!(c.limit_bytes, Reading::Known(Limit::Bytes(256 * MIB)));
    let by = c.limited_by.unwrap();
    assert_eq!(by.directory, None);
    assert!(by.current_bytes.known().is_none());
}

#[test]
fn v1_without_a_limit_is_unlimited() {
    let tree = v1_tree();
    tree.write(&[
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        (
            "sys/fs/cgroup/memory/memory.stat",
            &V1_STAT.replace("memory_limit 268435456", "memory_limit 9223372036854771712"),
        ),
    ]);
    let c = tree.cgroup();
    assert_eq!((c.limit_bytes, c.limited_by), (Reading::Known(Limit::Unlimited), None));
}

#[test]
fn a_v2_hierarchy_without_the_controller_is_no_memory_cgroup() {
    let tree = Tree::with_proc(&[
        ("proc/self/cgroup", "0::/pods/shop\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/pods/shop/cgroup.controllers", "cpu pids\n"),
    ]);
    let cgroup = tree.read().cgroup;
    let why = cgroup.why_missing().unwrap();
    assert!(why.contains("/sys/fs/cgroup/pods/shop has no memory controller"), "{why}");
    assert!(why.contains("names no cgroup in the v1 memory hierarchy"), "{why}");
}

#[test]
fn another_root_is_read_with_a_note_when_the_own_cgroup_is_hidden() {
    let tree = Tree::with_proc(&[
        ("proc/self/cgroup", "0::/gone (deleted)\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.stat", "anon 5\n"),
        ("sys/fs/cgroup/memory.max", "max\n"),
    ]);
    let c = tree.cgroup();
    assert!(c.note.contains("may hold other processes"), "{}", c.note);
    assert_eq!(c.directory, "/sys/fs/cgroup");
}

#[test]
fn a_sandbox_with_little_of_proc() {
    let tree =
        Tree::new(&[("proc/self/status", "Name:\tshop\nVmSize:\t1024 kB\nVmRSS:\t512 kB\nThreads:\t3\n")]);
    let w = tree.read();
    assert_eq!(w.process.rss_bytes, Reading::Known(512 * 1024), "from status, without smaps_rollup");
    assert_eq!(w.process.pss_bytes.why_missing(), Some("no /proc/self/smaps_rollup"));
    assert_eq!(w.process.file_bytes.why_missing(), Some("/proc/self/status has no line RssFile"));
    assert_eq!(w.cgroup.why_missing(), Some("no /proc/self/cgroup"));
    assert_eq!(w.machine.total_bytes.why_missing(), Some("no /proc/meminfo"));
    let text = w.to_string();
    assert!(text.contains("no limit is known"), "{text}");
    assert!(text.contains("pss") && text.contains("missing:   no /proc/self/smaps_rollup"), "{text}");
}

#[test]
fn a_line_that_was_cut_off_is_missing_not_smaller() {
    let tree = Tree::with_proc(&[("proc/self/smaps_rollup", "Rss:   204796 kB\nPss:              20")]);
    let p = tree.read().process;
    assert_eq!(p.pss_bytes.why_missing(), Some("/proc/self/smaps_rollup: the line Pss has no unit"));
    let tree = Tree::with_proc(&[("proc/self/status", "VmHWM:\t"), ("proc/self/smaps_rollup", "")]);
    let p = tree.read().process;
    assert_eq!(p.rss_peak_bytes.why_missing(), Some("/proc/self/status: the line VmHWM has no number"));
}

#[test]
fn a_huge_file_is_read_in_part_and_up_to_a_whole_line() {
    let mut mounts = String::from(V2_MOUNT);
    while mounts.len() < 3 * MIB as usize {
        mounts.push_str("99 31 0:99 / /mnt/elsewhere rw - ext4 /dev/vdz rw\n");
    }
    let tree = v2_tree();
    tree.write(&[("proc/self/mountinfo", &mounts)]);
    assert_eq!(tree.cgroup().current_bytes, Reading::Known(220 * MIB));
    let source = source::Source::new(tree.0.path());
    let text = source.read("/proc/self/mountinfo").unwrap();
    assert!(text.len() <= MIB as usize && text.ends_with('\n'), "{}", text.len());
}

#[test]
fn json_keeps_values_and_reasons() {
    let waterline = v1_tree().read();
    let json = serde_json::to_value(&waterline).unwrap();
    assert_eq!(json["schema"], "diag.memory/1");
    assert_eq!(json["taken_at_unix_ns"], 1_795_266_322_000_000_000u64);
    assert_eq!(json["process"]["rss_bytes"], 204_796 * 1024);
    assert_eq!(json["jemalloc"]["missing"], "not asked");
    assert_eq!(json["cgroup"]["limit_bytes"], 256 * MIB);
    assert!(json["cgroup"]["stat"]["slab_bytes"]["missing"].is_string());
    let back: Waterline = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(back, waterline);

    let mut unlimited = json;
    unlimited["cgroup"]["limit_bytes"] = "unlimited".into();
    unlimited["process"].as_object_mut().unwrap().remove("pss_bytes");
    let back: Waterline = serde_json::from_value(unlimited.clone()).unwrap();
    assert_eq!(back.cgroup.known().unwrap().limit_bytes, Reading::Known(Limit::Unlimited));
    assert_eq!(back.process.pss_bytes.why_missing(), Some("not part of this record"));
    unlimited["process"]["rss_bytes"] = "many".into();
    assert!(serde_json::from_value::<Waterline>(unlimited).is_err());
}

#[test]
fn the_table_has_units_shares_and_a_zone() {
    let text = v2_tree().read().to_string();
    let has = |line: &str| assert!(text.lines().any(|l| l.trim_end() == line), "no {line:?} in\n{text}");
    has("memory at 2026-11-21 13:05:22 UTC");
    has("shares are of the cgroup limit, 256.0 MiB");
    has("  current                      220.0 MiB    85.9 %");
    has("    set by /sys/fs/cgroup/pods");
    has("  throttled above              unlimited");
    has("  oom kills                            1");
    let hostile = Tree::with_proc(&[
        ("proc/self/cgroup", "0::/a\u{1b}[31m\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/a\u{1b}[31m/memory.stat", "anon 5\n"),
    ]);
    assert!(!hostile.read().to_string().contains('\u{1b}'), "no control characters reach the terminal");
}

#[test]
fn a_limit_above_the_machine_is_not_what_shares_are_of() {
    let tree = v2_tree();
    tree.write(&[
        ("sys/fs/cgroup/pods/memory.max", "max\n"),
        ("sys/fs/cgroup/pods/shop/memory.max", "999999999999999\n"),
    ]);
    assert!(tree.read().to_string().contains("shares are of the machine's memory, 16000.0 MiB"));
}

/// This process on this kernel.
#[cfg(target_os = "linux")]
#[test]
fn the_real_process_can_be_read() {
    let w = read();
    assert_eq!(w.schema, SCHEMA);
    assert!(w.process.rss_bytes.value().is_some_and(|b| b > 100_000), "{:?}", w.process.rss_bytes);
    assert!(w.process.threads.value().is_some_and(|n| n >= 1));
    assert!(w.machine.total_bytes.value() > w.process.rss_bytes.value());
    // Without jemalloc as the global allocator its statistics would be zeros: they must be missing then.
    match &w.jemalloc {
        Reading::Known(j) => assert!(j.allocated_bytes.value() > Some(0)),
        Reading::Missing { missing } => assert!(missing.contains("diag::Allocator"), "{missing}"),
    }
}
