//! Contexts: what the host says about the moment: span, route, chosen fields.
//!
//! A context is a number in the state of a thread ([`ThreadState::context`](crate::sys::thread::ThreadState)); the sample
//! hook copies it and takes no lock for it. What the numbers mean stands in [`table`], which grows outside of the hooks
//! and has a cap. Numbers keep their meaning for the life of the process.

// Without the layer nothing fills the table.
#![cfg_attr(not(feature = "tracing"), allow(dead_code))]

mod labels;
#[cfg(feature = "tracing")]
mod layer;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use labels::ContextLabels;
#[cfg(feature = "tracing")]
pub use layer::SpanLayer;
pub(crate) use table::{Context, TABLE};
