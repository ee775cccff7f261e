//! Who is compared with whom.

use std::path::{Path, PathBuf};

use diag_peers::workloads::Kind;

/// Where the builds are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) plain: PathBuf,
    pub(crate) console: Option<PathBuf>,
    pub(crate) dial9: Option<PathBuf>,
}

/// Which flags a program was built with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Build {
    /// None.
    Plain,
    /// `--cfg tokio_unstable` and tokio's tracing.
    Console,
    /// `--cfg tokio_unstable` and frame pointers.
    Dial9,
}

/// A profiler that is another process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outside {
    Nobody,
    Perf,
    Heaptrack,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// Which program, and what it is told.
    pub(crate) program: &'static str,
    pub(crate) with: &'static str,
    pub(crate) build: Build,
    pub(crate) outside: Outside,
    /// The same without the profiler: the same allocator, the same flags.
    pub(crate) against: Option<&'static str>,
    /// What it does, for the report.
    pub(crate) says: &'static str,
    workloads: &'static [Kind],
}

pub(crate) const NOTHING: &str = "nothing";
pub(crate) const REGISTRY: &str = "nothing, spans on";
pub(crate) const HEAP: &str = "diag: heap";
pub(crate) const CPU: &str = "diag: heap, CPU";
pub(crate) const RECORDER: &str = "diag: heap, recorder";
pub(crate) const ALL: &str = "diag: all";
const GLIBC: &str = "nothing, glibc";
const UNSTABLE: &str = "nothing, tokio_unstable + tracing";
const POINTERS: &str = "nothing, tokio_unstable + frame pointers";
const ASYNC: &[Kind] = &[Kind::Service, Kind::Tasks];

const PLAIN: Variant = Variant {
    name: NOTHING,
    program: "with_jemalloc",
    with: "nothing",
    build: Build::Plain,
    outside: Outside::Nobody,
    against: None,
    says: "jemalloc with its profiling built in and off (`prof:false`)",
    workloads: &Kind::ALL,
};

/// Baselines stand before those that are compared with them.
pub(crate) const VARIANTS: [Variant; 16] = [
    PLAIN,
    Variant {
        name: HEAP,
        program: "with_diag",
        with: "heap",
        against: Some(NOTHING),
        says: "this toolkit: `diag::Allocator`, heap samples each 512 KiB, the live table, censuses, the server",
        ..PLAIN
    },
    Variant {
        name: CPU,
        program: "with_diag",
        with: "cpu",
        against: Some(NOTHING),
        says: "`diag: heap` with CPU samples at 99 Hz all the time",
        workloads: &[Kind::Service],
        ..PLAIN
    },
    Variant {
        name: RECORDER,
        program: "with_diag",
        with: "recorder",
        against: Some(NOTHING),
        says: "`diag: heap` with the flight recorder as a tracing layer",
        workloads: &[Kind::Service],
        ..PLAIN
    },
    Variant {
        name: ALL,
        program: "with_diag",
        with: "all",
        against: Some(NOTHING),
        says: "`diag: heap` with CPU samples at 99 Hz all the time, the flight recorder as a tracing layer, and tasks tracked (`diag::spawn`)",
        ..PLAIN
    },
    Variant {
        name: REGISTRY,
        with: "registry",
        against: Some(NOTHING),
        says: "as `nothing`, with tracing-subscriber's registry, so that spans exist and nobody records them",
        workloads: &[Kind::Service],
        ..PLAIN
    },
    Variant {
        name: "jemalloc + jemalloc_pprof",
        with: "jemalloc",
        against: Some(NOTHING),
        says: "jemalloc's own profiling, `prof:true,prof_active:true,lg_prof_sample:19`; the profile by jemalloc_pprof",
        ..PLAIN
    },
    Variant {
        name: "pprof",
        with: "pprof",
        against: Some(NOTHING),
        says: "the crate `pprof` at 99 Hz",
        ..PLAIN
    },
    Variant {
        name: "perf record",
        outside: Outside::Perf,
        against: Some(NOTHING),
        says: "`perf record -F 99 --call-graph dwarf` from outside",
        ..PLAIN
    },
    Variant {
        name: GLIBC,
        program: "with_system",
        says: "glibc's allocator, for the two that need it",
        ..PLAIN
    },
    Variant {
        name: "dhat",
        program: "with_dhat",
        against: Some(GLIBC),
        says: "the crate `dhat`: every allocation",
        ..PLAIN
    },
    Variant {
        name: "heaptrack",
        program: "with_system",
        outside: Outside::Heaptrack,
        against: Some(GLIBC),
        says: "`heaptrack`: every allocation, from outside",
        ..PLAIN
    },
    Variant {
        name: UNSTABLE,
        build: Build::Console,
        says: "as `nothing`, built with what console-subscriber needs",
        workloads: ASYNC,
        ..PLAIN
    },
    Variant {
        name: "console-subscriber",
        with: "console",
        build: Build::Console,
        against: Some(UNSTABLE),
        says: "its layer and server with their defaults, no client connected",
        workloads: ASYNC,
        ..PLAIN
    },
    Variant {
        name: POINTERS,
        build: Build::Dial9,
        says: "as `nothing`, built as dial9's guide asks",
        ..PLAIN
    },
    Variant {
        name: "dial9",
        program: "with_dial9",
        with: "dial9",
        build: Build::Dial9,
        against: Some(POINTERS),
        says: "dial9-tokio-telemetry: tasks, CPU at 99 Hz, heap each 512 KiB with the live set, to disk",
        ..PLAIN
    },
];

impl Variant {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        VARIANTS.iter().find(|variant| variant.name == name)
    }

    pub(crate) fn runs(&self, kind: Kind) -> bool {
        self.workloads.contains(&kind)
    }

    /// jemalloc reads it before `main`.
    pub(crate) fn malloc_conf(&self) -> Option<&'static str> {
        (self.with == "jemalloc").then_some("prof:true,prof_active:true,lg_prof_sample:19")
    }

    /// The program, or why it cannot be had here.
    pub(crate) fn program(&self, programs: &Programs) -> Result<PathBuf, String> {
        let (dir, name) = match self.build {
            Build::Plain => (Some(&programs.plain), "--features default"),
            Build::Console => (programs.console.as_ref(), "the feature console"),
            Build::Dial9 => (programs.dial9.as_ref(), "the feature dial9"),
        };
        let tool = match self.outside {
            Outside::Nobody => None,
            Outside::Perf => Some("perf"),
            Outside::Heaptrack => Some("heaptrack"),
        };
        if let Some(tool) = tool.filter(|tool| !is_installed(tool)) {
            return Err(format!("{tool} is not installed"));
        }
        let program = dir.map(|dir| dir.join(self.program)).filter(|program| program.exists());
        program.ok_or_else(|| format!("not built: it takes a build with {name}, see run.sh"))
    }
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(tool).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_like_what_is_compared_with_it_and_stands_before() {
        for (at, variant) in VARIANTS.iter().enumerate() {
            let Some(name) = variant.against else { continue };
            let base_at = VARIANTS.iter().position(|v| v.name == name).expect("a baseline");
            let base = &VARIANTS[base_at];
            assert!(base_at < at, "{}", variant.name);
            assert_eq!(base.build, variant.build, "{}", variant.name);
            assert!(
                Kind::ALL.into_iter().all(|kind| !variant.runs(kind) || base.runs(kind)),
                "{}",
                variant.name
            );
            assert!(base.against.is_none());
        }
    }
}
