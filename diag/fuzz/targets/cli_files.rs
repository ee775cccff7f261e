//! Any directory of captures, and any two files of it: each verb that reads files tells what is in them, or why it cannot, on a
//! terminal that stays as it is.
#![no_main]

use std::sync::LazyLock;

use diag_fuzz::command::run;
use diag_fuzz::scratch::Scratch;
use diag_fuzz::sections::sections;
use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("cli"));

fuzz_target!(|bytes: &[u8]| {
    let Some((verb, input)) = bytes.split_first() else { return };
    let dir = DIR.empty();
    for (name, content) in sections(input) {
        DIR.put(&name, content);
    }
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().is_file())
        .filter_map(|e| e.path().to_str().map(str::to_owned))
        .collect();
    files.sort();
    let out = dir.join("out").display().to_string();
    let dir = dir.to_str().expect("an ordinary path");
    let (first, last) = match (files.first(), files.last()) {
        (Some(first), Some(last)) => (first.as_str(), last.as_str()),
        _ => (dir, dir),
    };
    match verb % 16 {
        0 => run(&["captures", dir]),
        1 => run(&["captures", dir, "--format", "json"]),
        2 => run(&["leaks", dir]),
        3 => run(&["leaks", first, last, "--format", "json"]),
        4 => run(&["triage", dir]),
        5 => run(&["triage", first, last, "--format", "json"]),
        6 => run(&["report", dir, "-o", &out]),
        7 => run(&["top", first]),
        8 => run(&["tree", last]),
        9 => run(&["tasks", first]),
        10 => run(&["tasks", last, "--format", "json"]),
        11 => run(&["diff", first, last, "--stacks"]),
        12 => run(&["check", first, last]),
        13 => run(&["peek", ".", first]),
        14 => run(&["convert", first, "--to", "folded", "-o", &out]),
        _ => run(&["doctor", first]),
    }
});
