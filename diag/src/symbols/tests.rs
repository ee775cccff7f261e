//! The resolver on real files: this test program, and what the system's C compiler makes.

mod damage;
mod files;
mod fixture;
mod handmade;
mod oracle;
mod programs;
mod split;
