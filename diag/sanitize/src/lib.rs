//! Sources of `diag` that need nothing but libc, and their tests.
#![allow(dead_code, unused_imports, unused_doc_comments, unreachable_pub)] // of the sources, not all is used

mod heap;
mod recorder;
#[path = "../../src/sites.rs"]
mod sites;
mod sys;
