//! Embedding 3: a service that keeps its own `tikv_jemallocator::Jemalloc` as global allocator. Nothing of it changes; diag
//! finds the jemalloc that is there.

use std::process::ExitCode;

use anyhow::Context as _;
use examples::args::{Args, from_command_line};
use examples::client::send_for_ever;
use examples::demo;
use examples::listen::listen;
use examples::traffic::Traffic;

#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn serve(args: Args) -> anyhow::Result<()> {
    let diag = diag::Diag::builder().service_name("embed-jemallocator").start()?;
    let app = demo::router(&diag).with_state(demo::App::open(true));
    let addr = listen(args.listen.context("this program has to listen")?, app).await?;
    tokio::spawn(send_for_ever(addr, Traffic::new(args.seed, 0), f64::from(args.requests_per_s)));
    tokio::time::sleep(args.run_for).await;
    Ok(())
}

fn main() -> ExitCode {
    from_command_line("embed_jemallocator", "a service with its own tikv-jemallocator", serve)
}
