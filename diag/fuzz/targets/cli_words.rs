//! What somebody types or names files: the command line, targets, sizes, times, conditions, names of captures.
#![no_main]

use clap::Parser as _;
use diag::profile::{LabelMatch, Pattern};
use diag_cli::cli::{Cli, parse_bytes, parse_duration, parse_percent};
use diag_cli::error::one_line;
use diag_cli::remote::Status;
use diag_cli::target::Target;
use diag_cli::{captures, clock, load};
use diag_fuzz::one_clear_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for said in
        [parse_bytes(text).err(), parse_percent(text).err(), parse_duration(text).err()].into_iter().flatten()
    {
        assert!(!one_line(&said).is_empty());
    }
    match Target::parse(text) {
        Ok(Target::Live(endpoint)) => {
            let path = load::profile_path(&endpoint, &diag_cli::collect::Collect::Heap, true, true);
            assert!(path.starts_with('/') && endpoint.url(&path).starts_with("http"));
            if let Some(c) =
                endpoint.credentials().filter(|c| c.password.len() > 8 && !c.password.contains('\u{fffd}'))
            {
                assert!(
                    !endpoint.to_string().contains(&c.password)
                        || !text.contains(&format!(":{}@", c.password))
                );
            }
        }
        Ok(other) => drop(other.to_string()),
        Err(e) => {
            one_clear_line(&e.line());
            assert!([2, 3].contains(&e.exit_code()));
        }
    }
    if let Some(ns) = clock::parse_stamp(text) {
        assert_eq!(clock::parse_stamp(&clock::stamp(ns)), Some(ns), "{text}");
        let _ = (clock::readable(ns), clock::rfc3339(ns));
    }
    let _ = captures::process_of(text.as_ref());
    if let Ok(value) = serde_json::from_str(text) {
        let status = Status(value);
        let _ = (
            status.process(),
            status.service_name().map(one_line),
            status.executable(),
            status.heap_number("losses"),
        );
    }
    for e in [text.parse::<LabelMatch>().err(), text.parse::<Pattern>().err()].into_iter().flatten() {
        assert!(!one_line(&e.to_string()).is_empty());
    }
    // Only parsed: nothing is run.
    let words = std::iter::once("diag-cli").chain(text.split([' ', '\n']));
    if let Err(e) = Cli::try_parse_from(words) {
        drop(e.render().to_string());
    }
});
