//! A small disk, which can be filled.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: &str = "size=8m";
/// Hidden: nobody's capture.
const FILLER: &str = ".filler";

/// A mounted tmpfs, unmounted when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// Why there is none, else.
    pub fn mount(at: &Path) -> Result<Self, String> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "none"]).arg(at).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self(at.to_path_buf())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(e) => Err(format!("mount: {e}")),
        }
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.0.join(FILLER)).unwrap();
        let chunk = [0; 4096];
        while file.write_all(&chunk).is_ok() {}
    }

    pub fn empty(&self) {
        let _ = fs::remove_file(self.0.join(FILLER));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a service that was just killed may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
