//! This repository's toolkit, as a service embeds it: `diag::Allocator`, the builder, the server on its own thread.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use diag::cpu::{CpuOptions, Recording};
use diag::heap::SnapshotOptions;
use diag::profile::pprof::encode_gz;
use diag::recorder::Recorder;
use diag_peers::child::{self, Job};
use diag_peers::cost::Usage;
use diag_peers::peer::{Peer, Spawn, Taken};
use tracing_subscriber::prelude::*;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

fn main() -> ExitCode {
    child::main(start)
}

struct Toolkit {
    diag: diag::Diag,
    _server: diag_server::Server,
    cpu: Option<Recording>,
    tracks: bool,
    began_cpu_ns: i64,
}

fn start(job: &Job) -> anyhow::Result<Box<dyn Peer>> {
    // Which parts run besides the heap: CPU samples, the flight recorder, tracked tasks.
    let [samples, records, tracks] = match job.with.as_str() {
        "heap" => [false; 3],
        "cpu" => [true, false, false],
        "recorder" => [false, true, false],
        "all" => [true; 3],
        other => anyhow::bail!("no {other:?} here"),
    };
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let diag =
        diag::Diag::builder().service_name("peers").listen(any_port).sample_bytes(512 << 10).start()?;
    let server = diag_server::serve(&diag)?;
    let mut cpu = None;
    if records {
        tracing_subscriber::registry().with(Recorder::builder().build()?).try_init()?;
    }
    if samples {
        cpu = Some(diag.cpu()?.record(&CpuOptions::default().hz(99))?);
    }
    Ok(Box::new(Toolkit { diag, _server: server, cpu, tracks, began_cpu_ns: Usage::now().cpu_ns }))
}

impl Peer for Toolkit {
    fn spawn(&self) -> Spawn {
        if self.tracks { |task| diag::spawn(task) } else { |task| tokio::spawn(task) }
    }

    fn take(&mut self, dir: &Path) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        if let Some(cpu) = self.cpu.take() {
            taken.true_cpu_ns = Some(Usage::now().cpu_ns - self.began_cpu_ns);
            let addresses = || Ok(encode_gz(&cpu.finish()?));
            taken.cpu_file = Some(taken.measure("CPU", &dir.join("cpu.pb.gz"), addresses)?);
        }
        let heap = self.diag.heap()?;
        let addresses = || Ok(encode_gz(&heap.snapshot(&SnapshotOptions::default())?));
        taken.heap_file = Some(taken.measure("heap", &dir.join("heap.pb.gz"), addresses)?);
        let named = || Ok(encode_gz(&self.diag.symbolize(&heap.snapshot(&SnapshotOptions::default())?)?));
        taken.measure("heap, named", &dir.join("named.pb.gz"), named)?;
        if let Some(recorder) = Recorder::running() {
            let trace = || Ok(recorder.dump(None)?.to_chrome_json());
            taken.measure("trace", &dir.join("trace.json"), trace)?;
        }
        Ok(taken)
    }
}
