//! Finds the directory of this process's cgroup from `/proc/self/cgroup` and `/proc/self/mountinfo`. Pure.
//!
//! The mount that is visible need not show the whole tree: in a container without a cgroup namespace of its own,
//! `/proc/self/cgroup` says `/docker/ID`, and so does the fourth field of mountinfo, the part of the tree that is
//! mounted. What they have in common is taken off. (proc(5), cgroups(7), cgroup_namespaces(7))

pub(super) const CGROUP: &str = "/proc/self/cgroup";
pub(super) const MOUNTINFO: &str = "/proc/self/mountinfo";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hierarchy {
    /// The v1 hierarchy with the memory controller.
    V1Memory,
    /// The unified hierarchy, which may or may not have the memory controller.
    V2,
}

impl Hierarchy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V1Memory => "the v1 memory hierarchy",
            Self::V2 => "the v2 hierarchy",
        }
    }

    fn usual_mount_point(self) -> &'static str {
        match self {
            Self::V1Memory => "/sys/fs/cgroup/memory",
            Self::V2 => "/sys/fs/cgroup",
        }
    }
}

/// A directory that shows the cgroup, or stands in for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// As `/proc/self/cgroup` says.
    pub(super) path: String,
    /// The directory to read.
    pub(super) directory: String,
    /// Where the climb to the root ends.
    pub(super) mount_point: String,
    /// What part of the tree the mount shows; `/` is all (or all of this cgroup namespace).
    pub(super) mount_root: String,
    /// Empty, or why `directory` may be another cgroup.
    pub(super) note: String,
}

impl Place {
    /// The directory and those above it, up to the mount point.
    pub(super) fn levels(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.directory.as_str()), |&dir| {
            if dir.len() <= self.mount_point.len() {
                return None;
            }
            let (parent, _) = dir.rsplit_once('/')?;
            (parent.len() >= self.mount_point.len()).then_some(parent)
        })
    }

    /// Whether this is the root of a mount that shows the tree from its root.
    pub(super) fn is_whole_tree(&self) -> bool {
        self.path == "/" && self.mount_root == "/"
    }
}

struct Mount {
    root: String,
    point: String,
}

/// The directories where the cgroup may be, best first; the caller takes the first that exists.
pub(super) fn locate(hierarchy: Hierarchy, own: &str, mountinfo: &str) -> Result<Vec<Place>, String> {
    let path = own_path(hierarchy, own)
        .ok_or_else(|| format!("{CGROUP} names no cgroup in {}", hierarchy.name()))?
        .to_owned();
    let mut mounts = mounts(hierarchy, mountinfo);
    let guessed = mounts.is_empty();
    if guessed {
        if !mountinfo.is_empty() {
            return Err(format!("{} is not mounted", hierarchy.name()));
        }
        mounts.push(Mount { root: "/".to_owned(), point: hierarchy.usual_mount_point().to_owned() });
    }
    let place = |mount: &Mount, directory: String, note: String| Place {
        path: path.clone(),
        directory,
        mount_point: mount.point.clone(),
        mount_root: mount.root.clone(),
        note,
    };
    let mut places = Vec::new();
    for mount in &mounts {
        if let Some(below) = below(&path, &mount.root) {
            places.push(place(mount, format!("{}{below}", mount.point), String::new()));
        }
    }
    for mount in &mounts {
        if !path.starts_with("/..") && mount.root != "/" && path != "/" {
            let directory = format!("{}{}", mount.point, path);
            places.push(place(mount, directory, format!("the mount shows {} only", mount.root)));
        }
        let note = format!("{path} is not to be seen here; {} may hold other processes too", mount.point);
        places.push(place(mount, mount.point.clone(), note));
    }
    if guessed {
        for place in &mut places {
            if place.note.is_empty() {
                place.note = format!("no {MOUNTINFO}: the usual mount point is assumed");
            }
        }
    }
    Ok(places)
}

/// `hierarchy-ID:controller-list:path`; the path may hold colons. v2 is `0::path`.
fn own_path(hierarchy: Hierarchy, own: &str) -> Option<&str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = match hierarchy {
            Hierarchy::V1Memory => controllers.split(',').any(|c| c == "memory"),
            Hierarchy::V2 => id == "0" && controllers.is_empty(),
        };
        (fits && path.starts_with('/')).then_some(path)
    })
}

/// Lines `id parent dev root mount-point options [optional..] - fstype source super-options`.
fn mounts(hierarchy: Hierarchy, mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (fstype, _source, options) = (right.next()?, right.next()?, right.next().unwrap_or(""));
        let fits = match hierarchy {
            Hierarchy::V1Memory => fstype == "cgroup" && options.split(',').any(|o| o == "memory"),
            Hierarchy::V2 => fstype == "cgroup2",
        };
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        fits.then(|| Mount { root: unescape(root), point: unescape(point).trim_end_matches('/').to_owned() })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// What is left of `path` below `root`: empty or beginning with a slash.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    if path == "/.." || path.starts_with("/../") {
        return None;
    }
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    match rest {
        "/" => Some(""),
        _ if rest.is_empty() || rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

/// Space, tab, newline and backslash are written as `\040` and so on.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = rest {
            bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
