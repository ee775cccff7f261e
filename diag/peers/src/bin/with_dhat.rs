//! dhat, which wraps glibc's allocator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use diag_peers::child::{self, Job};
use diag_peers::peer::{Peer, Taken};

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

fn main() -> ExitCode {
    child::main(start)
}

struct Dhat {
    profiler: Option<dhat::Profiler>,
    file: PathBuf,
}

fn start(job: &Job) -> anyhow::Result<Box<dyn Peer>> {
    let file = job.dir.join("dhat-heap.json");
    let profiler = Some(dhat::Profiler::builder().file_name(&file).build());
    Ok(Box::new(Dhat { profiler, file }))
}

impl Peer for Dhat {
    fn take(&mut self, _dir: &Path) -> anyhow::Result<Taken> {
        let inuse_bytes = Some(dhat::HeapStats::get().curr_bytes as u64);
        let mut taken = Taken { inuse_bytes, ..Taken::default() };
        let profiler = self.profiler.take();
        // It writes its file, with names, when it ends.
        taken.watch("heap, named", || {
            drop(profiler);
            Ok(())
        })?;
        taken.wrote(std::fs::metadata(&self.file)?.len());
        Ok(taken)
    }
}
