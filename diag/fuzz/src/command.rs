//! The command in this process, with what it prints caught.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use clap::Parser as _;
use diag_cli::cli::Cli;

use crate::{one_clear_line, printable};

/// Standard output, put aside.
static OUTPUT: LazyLock<Mutex<File>> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("diag-fuzz-output-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .expect("a file for the output");
    let _ = std::fs::remove_file(path);
    // SAFETY: both are open, and nothing else of this process uses standard output meanwhile.
    assert!(unsafe { libc::dup2(file.as_raw_fd(), 1) } == 1, "standard output is replaced");
    Mutex::new(file)
});

/// Runs the command; what it says must be fit for a terminal, and if it fails one clear line with a documented exit code.
pub fn run(words: &[&str]) {
    let mut output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    output.set_len(0).and_then(|()| output.seek(SeekFrom::Start(0))).expect("an empty output");
    let cli = Cli::try_parse_from(["diag-cli", "--quiet", "--color", "never"].iter().chain(words))
        .expect("a right command line");
    if let Err(e) = diag_cli::run(&cli) {
        one_clear_line(&e.line());
        assert!([2, 3].contains(&e.exit_code()), "{words:?}: {e}");
    }
    let mut bytes = Vec::new();
    output.seek(SeekFrom::Start(0)).and_then(|_| output.read_to_end(&mut bytes)).expect("what was printed");
    let text = String::from_utf8(bytes).unwrap_or_else(|_| panic!("{words:?}: not UTF-8"));
    printable(&text);
    if words.contains(&"json") && !text.is_empty() {
        let _: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"));
    }
}
