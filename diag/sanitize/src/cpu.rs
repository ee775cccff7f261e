//! The ring between signal handlers and the sampler's thread.

#[path = "../../src/sys/cpu/ring.rs"]
pub(crate) mod ring;
