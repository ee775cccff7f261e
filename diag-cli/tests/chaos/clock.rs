//! A wall clock of a process's own: a library of a few lines, loaded before libc's, adds an offset that a file holds and that can
//! change at any time. Where there is no C compiler, or a program is linked statically, the clock stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset_s;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(0, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) offset_s = page;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    long result = syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && clock == CLOCK_REALTIME && offset_s) at->tv_sec += *offset_s;
    return (int)result;
}
"#;

/// The clock of one service.
pub struct WallClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WallClock {
    /// Why there is none, else.
    pub fn make(dir: &Path) -> Result<Self, String> {
        let (source, library, offset) = (dir.join("clock.c"), dir.join("clock.so"), dir.join("offset"));
        fs::write(&source, SOURCE).unwrap();
        fs::write(&offset, 0i64.to_ne_bytes()).unwrap();
        let made =
            Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
        match made {
            Ok(output) if output.status.success() => Ok(Self { library, offset }),
            Ok(output) => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
            Err(e) => Err(format!("cc: {e}")),
        }
    }

    /// What the process needs to have this clock.
    pub fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("CHAOS_CLOCK", &self.offset);
    }

    /// Moves it, for processes that run too. In place: they have mapped the file.
    pub fn set(&self, offset_s: i64) {
        use std::os::unix::fs::FileExt as _;
        let file = fs::File::options().write(true).open(&self.offset).unwrap();
        file.write_all_at(&offset_s.to_ne_bytes(), 0).unwrap();
    }
}
