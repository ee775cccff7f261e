//! `/proc` and `/sys` as a kernel, a container or an emulation may have them: files below a root, read as the waterline and the mappings
//! twice (before, and after what stands behind `/then`), and judged.
#![no_main]

use std::sync::LazyLock;

use diag::memory::triage::{Extras, judge};
use diag_fuzz::printable;
use diag_fuzz::scratch::Scratch;
use diag_fuzz::sections::sections;
use libfuzzer_sys::fuzz_target;

static ROOT: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("proc"));

fuzz_target!(|bytes: &[u8]| {
    let root = ROOT.empty();
    let (mut now, mut then) = (Vec::new(), Vec::new());
    for (name, content) in sections(bytes) {
        match name.strip_prefix("/then") {
            Some(name) => then.push((name.to_owned(), content)),
            None => now.push((name, content)),
        }
    }
    now.iter().for_each(|(name, content)| ROOT.put(name, content));
    let base = diag::fuzzing::survey(root);
    then.iter().for_each(|(name, content)| ROOT.put(name, content));
    let mut new = diag::fuzzing::survey(root);
    new.waterline.taken_at_unix_ns += 5_000_000_000;
    printable(&new.waterline.to_string());
    let triage = judge(&base, &new, Extras::default());
    printable(&triage.to_string());
    for json in [serde_json::to_vec(&new.waterline), serde_json::to_vec(&triage)] {
        drop(json.expect("what was read is JSON"));
    }
    let again: diag::memory::Waterline =
        serde_json::from_slice(&serde_json::to_vec(&new.waterline).expect("JSON")).expect("read back");
    assert_eq!(again.process, new.waterline.process);
    assert_eq!(again.machine, new.waterline.machine);
});
