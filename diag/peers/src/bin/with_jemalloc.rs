//! jemalloc, and whatever goes with it: nothing, its own profiler (switched on by `_RJEM_MALLOC_CONF`), `pprof`, console-subscriber, perf
//! from outside.

use std::process::ExitCode;

use diag_peers::child::{self, Job};
use diag_peers::peer::{Nothing, Peer};
use tracing_subscriber::prelude::*;

#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    child::main(start)
}

fn start(job: &Job) -> anyhow::Result<Box<dyn Peer>> {
    Ok(match job.with.as_str() {
        "nothing" => Box::new(Nothing),
        // What a service has anyway that records spans for anybody: its price is not that of who records.
        "registry" => {
            tracing_subscriber::registry().try_init()?;
            Box::new(Nothing)
        }
        #[cfg(feature = "jemalloc")]
        "jemalloc" => Box::new(jemalloc::Profiler),
        #[cfg(feature = "pprof")]
        "pprof" => Box::new(pprof_crate::Profiler::start()?),
        #[cfg(feature = "console")]
        "console" => {
            let address: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
            let layer = console_subscriber::ConsoleLayer::builder().server_addr(address).spawn();
            tracing_subscriber::registry().with(layer).try_init()?;
            Box::new(Nothing)
        }
        other => anyhow::bail!("this build has no {other:?}"),
    })
}

#[cfg(feature = "jemalloc")]
mod jemalloc {
    use std::path::Path;

    use anyhow::Context as _;
    use diag_peers::peer::{Peer, Taken};

    pub(crate) struct Profiler;

    impl Peer for Profiler {
        fn take(&mut self, dir: &Path) -> anyhow::Result<Taken> {
            let mut taken = Taken::default();
            let control = jemalloc_pprof::PROF_CTL.as_ref().context("jemalloc's profiling is off")?;
            let mut control = control.try_lock()?;
            let file = dir.join("jemalloc.pb.gz");
            taken.heap_file = Some(taken.measure("heap", &file, || control.dump_pprof())?);
            Ok(taken)
        }
    }
}

#[cfg(feature = "pprof")]
mod pprof_crate {
    use std::path::Path;

    use anyhow::Context as _;
    use diag_peers::cost::Usage;
    use diag_peers::peer::{Peer, Taken};

    const HZ: i32 = 99;

    pub(crate) struct Profiler {
        guard: pprof::ProfilerGuard<'static>,
        began_cpu_ns: i64,
    }

    impl Profiler {
        pub(crate) fn start() -> anyhow::Result<Self> {
            let builder = pprof::ProfilerGuardBuilder::default().frequency(HZ);
            // As its documentation says: frames of these would be unwound through locks.
            let builder = builder.blocklist(&["libc", "libgcc", "pthread", "vdso"]);
            let guard = builder.build().context("the pprof crate did not start")?;
            Ok(Self { guard, began_cpu_ns: Usage::now().cpu_ns })
        }
    }

    impl Peer for Profiler {
        fn take(&mut self, dir: &Path) -> anyhow::Result<Taken> {
            let true_cpu_ns = Some(Usage::now().cpu_ns - self.began_cpu_ns);
            let mut taken = Taken { true_cpu_ns, ..Taken::default() };
            let mut samples = 0;
            taken.measure("CPU, named", &dir.join("pprof.folded"), || {
                let report = self.guard.report().build()?;
                samples = report.data.values().map(|&count| count as i64).sum();
                Ok(folded(&report))
            })?;
            // What each stands for, as the crate's own pprof files say.
            taken.cpu_ns = Some(samples * 1_000_000_000 / i64::from(HZ));
            Ok(taken)
        }
    }

    /// Names and counts as text: the crate's encoders of pprof would bring code generators.
    fn folded(report: &pprof::Report) -> Vec<u8> {
        let mut text = String::new();
        for (frames, count) in &report.data {
            text.push_str(&frames.thread_name_or_id());
            for name in frames.frames.iter().rev().flatten().map(|symbol| symbol.name()) {
                text.push(';');
                text.push_str(&name);
            }
            text.push_str(&format!(" {count}\n"));
        }
        text.into_bytes()
    }
}
