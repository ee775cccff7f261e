//! Workloads, and the programs that run them: one program a global allocator, one process a profiler. `src/bin/peers` starts them, in
//! turns, and compares; what is reported and how is said there.
//!
//! A program differs from the others in its allocator and in what it starts of its [`peer::Peer`]; all else is here, and the same for all.

pub mod child;
pub mod cost;
pub mod peer;
pub mod random;
pub mod workloads;
