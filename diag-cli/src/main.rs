//! The command `diag-cli`.

fn main() {}
