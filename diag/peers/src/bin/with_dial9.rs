//! dial9's telemetry with its allocator around jemalloc: polls and wakes of tasks, CPU samples at 99 Hz, heap samples each 512 KiB with what is
//! live; written to a directory as its guide says.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use diag_peers::child::{self, Job};
use diag_peers::peer::{Peer, Spawn, Taken};
use dial9_core::recording::Recorder;
use dial9_tokio_telemetry::memory_profiling::{Dial9Allocator, MemoryProfilingConfig};
use dial9_tokio_telemetry::telemetry::{
    CpuProfilingConfig, Dial9HandleTokioExt, DiskBuffer, RecorderPerfExt, TokioAttachOptions, recorder,
};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOC: Dial9Allocator<Jemalloc> = Dial9Allocator::new(Jemalloc);

fn main() -> ExitCode {
    child::main(start)
}

struct Telemetry(Option<Recorder>);

fn start(job: &Job) -> anyhow::Result<Box<dyn Peer>> {
    let writer = DiskBuffer::builder().base_path(job.dir.join("dial9")).max_total_size(256 << 20).build()?;
    let memory = MemoryProfilingConfig::builder().sample_rate_bytes(512 << 10).track_liveset(true).build();
    let recorder = recorder(writer)
        .with_cpu_profiling(CpuProfilingConfig::default().frequency_hz(99))
        .with_memory_profiling(memory)
        .build();
    Ok(Box::new(Telemetry(Some(recorder))))
}

impl Peer for Telemetry {
    fn runtime(&mut self, builder: Builder) -> io::Result<Runtime> {
        let options = TokioAttachOptions::builder().task_tracking_enabled(true).build();
        let recorder = self.0.as_ref().ok_or_else(|| io::Error::other("it has ended"))?;
        recorder.handle().attach_tokio_runtime(builder, options)
    }

    fn spawn(&self) -> Spawn {
        |task| dial9_tokio_telemetry::spawn(task)
    }

    /// Its runtime has to end for the trace to be whole.
    fn is_last(&self) -> bool {
        true
    }

    fn take(&mut self, dir: &Path) -> anyhow::Result<Taken> {
        let recorder = self.0.take().context("it has ended")?;
        let mut taken = Taken::default();
        taken.watch("trace", || {
            recorder.graceful_shutdown(Duration::from_secs(30));
            Ok(())
        })?;
        let segments = std::fs::read_dir(dir.join("dial9"))?.flatten();
        taken.wrote(segments.filter_map(|file| Some(file.metadata().ok()?.len())).sum());
        Ok(taken)
    }
}
