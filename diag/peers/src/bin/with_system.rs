//! glibc's allocator: what dhat and heaptrack are compared with. heaptrack does not see jemalloc's own names of malloc.

use std::process::ExitCode;

use diag_peers::child;
use diag_peers::peer::Nothing;

#[global_allocator]
static ALLOC: std::alloc::System = std::alloc::System;

fn main() -> ExitCode {
    child::main(|_| Ok(Box::new(Nothing)))
}
