//! The command `diag-cli`.

use std::process::ExitCode;

/// The bundled leaky service of `demo` runs in a child process of this binary.
#[cfg(feature = "demo")]
#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

fn main() -> ExitCode {
    diag_cli::main()
}
