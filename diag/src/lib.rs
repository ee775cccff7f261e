//! Memory-leak and profiling diagnostics that live inside a Rust service.

#[cfg(feature = "heap")]
mod config;
pub mod endpoints;
#[cfg(feature = "heap")]
mod face;
#[cfg(feature = "heap")]
pub mod heap;
#[cfg(feature = "memory")]
pub mod memory;
pub mod profile;
#[cfg(feature = "heap")]
#[allow(unsafe_code)]
mod sys;

#[cfg(feature = "heap")]
pub use config::Config;
#[cfg(feature = "heap")]
pub use face::{Builder, Diag, Error, Problem, Status};
