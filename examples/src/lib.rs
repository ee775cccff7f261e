//! Leaky programs and their innocent twins, and three ways to embed diag.
//!
//! Every program is a web shop ([`shop`]) under seeded traffic ([`traffic`]); a leaky one adds one feature that
//! keeps what it should let go. `--fixed` runs the twin, which does the same work and lets go.

pub mod args;
pub mod bounded;
pub mod client;
pub mod demo;
pub mod listen;
pub mod pace;
pub mod request;
pub mod rng;
pub mod run;
pub mod shop;
pub mod traffic;
