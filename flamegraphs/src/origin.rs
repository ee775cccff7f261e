//! Whose code a frame is, for its colour: from its demangled name and its source file.

use diag::profile::frames::{FrameClass, classify_in, module_of_name};

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Origin {
    /// Of the workspace that was profiled, as far as names and files tell.
    Own,
    /// Of a crate from a registry or a Git checkout.
    Dependency,
    /// The standard library, async runtimes and frameworks, the allocator.
    Runtime,
    /// C, C++ and assembler: the C library, the loader, foreign code.
    Native,
    /// An address without a name.
    Unknown,
}

/// Classifies a function. `file` may be empty; names alone tell the runtime, files the rest.
pub(crate) fn of(name: &str, file: &str) -> Origin {
    let native_file =
        [".c", ".cc", ".cpp", ".cxx", ".h", ".s", ".S", ".asm"].iter().any(|end| file.ends_with(end));
    let module = module_of_name(name);
    if module.is_none() || native_file {
        return Origin::Native;
    }
    match classify_in(name, file) {
        FrameClass::Allocator | FrameClass::Runtime => Origin::Runtime,
        FrameClass::Dependency => Origin::Dependency,
        FrameClass::User => Origin::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_names_decide_together() {
        for (name, file, origin) in [
            ("my_app::f", "/home/u/my_app/src/lib.rs", Origin::Own),
            ("my_app::f", "", Origin::Own),
            ("dashmap::f", "/root/.cargo/registry/src/x/dashmap-6/src/lib.rs", Origin::Dependency),
            ("alloc::vec::Vec<T>::push", "", Origin::Runtime),
            ("<alloc::vec::Vec<my_app::T> as core::ops::Drop>::drop", "", Origin::Runtime),
            ("tokio::runtime::f", "/root/.cargo/registry/src/x/tokio-1/src/lib.rs", Origin::Runtime),
            ("malloc", "", Origin::Native),
            ("ns::Parser::run()", "/src/parser.cpp", Origin::Native),
        ] {
            assert_eq!(of(name, file), origin, "{name} {file}");
        }
    }
}
