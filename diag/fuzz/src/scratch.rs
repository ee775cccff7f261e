//! A directory in memory, emptied before each input.

use std::fs;
use std::path::{Path, PathBuf};

/// Below /dev/shm, where there is one; each process has its own, and leaves it behind empty.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let above = ["/dev/shm", "/tmp"].map(Path::new).into_iter().find(|dir| dir.is_dir());
        let above = above.map_or_else(std::env::temp_dir, Path::to_path_buf);
        Self(above.join(format!("diag-fuzz-{name}-{}", std::process::id())))
    }

    /// The directory, empty.
    pub fn empty(&self) -> &Path {
        let _ = fs::remove_dir_all(&self.0);
        fs::create_dir_all(&self.0).expect("a directory for files");
        &self.0
    }

    /// Puts a file at `name` below the directory, with the directories it needs. Names that lead out of it, or cannot be, are left
    /// out.
    pub fn put(&self, name: &str, content: &[u8]) {
        let plain = |part: &str| {
            !part.is_empty() && part.len() < 200 && part != "." && part != ".." && !part.contains('\0')
        };
        let name = name.trim_start_matches('/');
        if !name.split('/').all(plain) || name.split('/').count() > 8 {
            return;
        }
        let path = self.0.join(name);
        if let Some(above) = path.parent() {
            let _ = fs::create_dir_all(above);
        }
        let _ = fs::write(path, content);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
