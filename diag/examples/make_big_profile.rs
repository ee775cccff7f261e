//! Writes the two large pprof files that the benchmarks use, to time other tools on them:
//!
//! ```text
//! cargo run --release -p diag --no-default-features --example make_big_profile -- /tmp
//! time go tool pprof -top /tmp/big_base.pb.gz
//! time go tool pprof -top -diff_base /tmp/big_base.pb.gz /tmp/big_new.pb.gz
//! ```

use std::path::PathBuf;

#[path = "../benches/big_profile/mod.rs"]
mod big_profile;

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    let (base, new) = big_profile::pair(big_profile::Size::FULL);
    for (name, profile) in [("big_base.pb.gz", base), ("big_new.pb.gz", new)] {
        let path = dir.join(name);
        let bytes = diag::profile::pprof::encode_gz(&profile);
        std::fs::write(&path, &bytes)?;
        println!("{}: {} samples, {} bytes", path.display(), profile.sample_count(), bytes.len());
    }
    Ok(())
}
