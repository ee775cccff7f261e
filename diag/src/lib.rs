//! Memory-leak and profiling diagnostics that live inside a Rust service.

#[cfg(feature = "heap")]
mod allocator;
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
#[cfg(feature = "symbols")]
pub mod symbols;
#[cfg(any(feature = "heap", feature = "symbols"))]
mod sys;
#[cfg(feature = "heap")]
mod worker;

#[cfg(feature = "heap")]
pub use allocator::Allocator;
#[cfg(feature = "heap")]
pub use config::{Config, Problem};
#[cfg(feature = "heap")]
pub use face::{Builder, Diag, Error, Status};
#[cfg(feature = "heap")]
pub use sys::thread::Unprofiled;
#[cfg(feature = "heap")]
pub use worker::CaptureStats;
