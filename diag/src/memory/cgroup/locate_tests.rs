use super::{Hierarchy, locate};

/// A machine with v1 controllers, and a v2 hierarchy beside them.
const HYBRID_CGROUP: &str = "\
9:name=systemd:/
5:devices:/
4:memory:/api/01d029
2:cpu,cpuacct:/
0::/
";
const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

fn first(hierarchy: Hierarchy, own: &str, mounts: &str) -> (String, String) {
    let place = locate(hierarchy, own, mounts).unwrap().remove(0);
    (place.directory, place.note)
}

#[test]
fn hybrid_machines_have_both() {
    let (directory, note) = first(Hierarchy::V1Memory, HYBRID_CGROUP, HYBRID_MOUNTS);
    assert_eq!((directory.as_str(), note.as_str()), ("/sys/fs/cgroup/memory/api/01d029", ""));
    let (directory, _) = first(Hierarchy::V2, HYBRID_CGROUP, HYBRID_MOUNTS);
    assert_eq!(directory, "/sys/fs/cgroup/unified");
}

#[test]
fn a_container_without_its_own_namespace_sees_its_part_of_the_tree() {
    let own = "4:memory:/docker/abc/inner\n";
    let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n";
    let place = locate(Hierarchy::V1Memory, own, mounts).unwrap().remove(0);
    assert_eq!(place.directory, "/sys/fs/cgroup/memory/inner");
    assert_eq!(place.levels().collect::<Vec<_>>(), ["/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"]);
    assert!(!place.is_whole_tree());
}

#[test]
fn the_mounted_part_is_compared_by_whole_names() {
    // `/docker/ab` is not a parent of `/docker/abc`.
    let own = "0::/docker/abc\n";
    let mounts = "35 31 0:32 /docker/ab /mnt/one rw - cgroup2 cgroup2 rw\n\
                  36 31 0:32 / /mnt/two rw - cgroup2 cgroup2 rw\n";
    let (directory, note) = first(Hierarchy::V2, own, mounts);
    assert_eq!((directory.as_str(), note.as_str()), ("/mnt/two/docker/abc", ""));
}

#[test]
fn a_cgroup_outside_the_namespace_is_not_followed() {
    let own = "0::/../../other\n";
    let mounts = "36 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let places = locate(Hierarchy::V2, own, mounts).unwrap();
    assert!(places.iter().all(|p| p.directory == "/sys/fs/cgroup" && p.note.contains("not to be seen")));
}

#[test]
fn levels_stop_at_the_mount_point() {
    let own = "0::/a/b\n";
    let mounts = "36 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let place = locate(Hierarchy::V2, own, mounts).unwrap().remove(0);
    let levels: Vec<_> = place.levels().collect();
    assert_eq!(levels, ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]);
}

#[test]
fn escaped_mount_points_and_colons_in_paths() {
    let own = "0::/kube:pods/x\n";
    let mounts = "36 31 0:32 / /sys/fs/c\\040group rw - cgroup2 cgroup2 rw\n";
    assert_eq!(first(Hierarchy::V2, own, mounts).0, "/sys/fs/c group/kube:pods/x");
}

#[test]
fn without_mountinfo_the_usual_place_is_assumed_and_said() {
    let (directory, note) = first(Hierarchy::V1Memory, HYBRID_CGROUP, "");
    assert_eq!(directory, "/sys/fs/cgroup/memory/api/01d029");
    assert!(note.contains("usual mount point"), "{note}");
}

#[test]
fn what_is_not_there_is_said() {
    let error = locate(Hierarchy::V1Memory, "0::/x\n", HYBRID_MOUNTS).unwrap_err();
    assert!(error.contains("names no cgroup"), "{error}");
    let only_v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let error = locate(Hierarchy::V2, HYBRID_CGROUP, only_v1).unwrap_err();
    assert!(error.contains("not mounted"), "{error}");
}

#[test]
fn cut_off_and_senseless_lines_are_skipped() {
    for own in ["", "4:memory", "4:memory:", "::", "0::x", "4:memory:/a\u{0}b"] {
        for mounts in ["", "35 31", "35 31 0:32 / /sys -", " - cgroup2", "a b c d e - cgroup2", HYBRID_MOUNTS]
        {
            for hierarchy in [Hierarchy::V1Memory, Hierarchy::V2] {
                // Must not panic; an answer is fine.
                let _ = locate(hierarchy, own, mounts);
            }
        }
    }
    let cut = &HYBRID_MOUNTS[..HYBRID_MOUNTS.len() - 30];
    assert!(locate(Hierarchy::V2, HYBRID_CGROUP, cut).is_err());
}
