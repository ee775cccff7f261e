//! Models: small programs over the real sources of `diag`, run by loom in every order of steps and with every value that a
//! load may give under the memory model. Each public function is one, and panics when what it says does not hold.
//!
//! What is not shown here: sizes (rings of two places), signals (a handler is a thread that is not waited for), and orders with more
//! than [`PREEMPTIONS`] switches away from a thread that could go on.
#![allow(dead_code, unused_imports, unused_doc_comments)] // of the sources, not all is used

pub mod recorder;
#[path = "../../src/sites.rs"]
mod sites;
pub mod sites_model;
pub mod sys;

/// Bounds the orders; loom's authors found two to three to show nearly all faults.
const PREEMPTIONS: usize = 3;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}
