//! The live table.

#[path = "../../src/heap/live.rs"]
mod live;
