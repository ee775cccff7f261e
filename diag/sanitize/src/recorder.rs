//! The flight recorder's chunks and their pool.

#[path = "../../src/recorder/chunk.rs"]
mod chunk;
#[path = "../../src/recorder/pool.rs"]
mod pool;
