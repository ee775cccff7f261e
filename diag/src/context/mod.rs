//! Contexts: what the host says about the moment: span, route, chosen fields, labels.
//!
//! A context is a number in the state of a thread ([`ThreadState::context`](crate::sys::thread::ThreadState)); the sample
//! hook and the CPU sampler's handler copy it and take no lock for it. What the numbers mean stands in [`table`], which
//! grows outside of both and has a cap. Numbers keep their meaning for the life of the process.

// Losses and forks are the heap collector's to tell and to guard.
#![cfg_attr(not(all(feature = "heap", target_os = "linux")), allow(dead_code))]

mod bounded;
mod labels;
#[cfg(feature = "tracing")]
mod layer;
mod scope;
mod table;
#[cfg(test)]
mod tests;

#[cfg(target_os = "linux")]
pub(crate) use labels::ContextLabels;
#[cfg(feature = "tracing")]
pub use layer::SpanLayer;
pub use scope::{Labelled, Labels};
pub(crate) use table::{Context, TABLE};
