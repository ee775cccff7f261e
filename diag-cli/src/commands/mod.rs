//! The verbs, one a file. Each has its arguments and a `run`.

pub mod capture;
pub mod captures;
pub mod check;
pub mod convert;
#[cfg(feature = "demo")]
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod flamegraph;
pub mod leaks;
pub mod manual;
pub mod peek;
pub mod report;
pub mod tasks;
pub mod top;
pub mod trace;
pub mod tree;
pub mod triage;
pub mod watch;
