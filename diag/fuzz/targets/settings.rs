//! What somebody sets: a rules file (first byte even), `NAME=value` lines as `DIAG_*` variables (odd). Whatever is written there
//! is understood or named in one line, and the settings in force stay within their bounds.
#![no_main]

use std::time::Duration;

use diag::fuzzing;
use diag_fuzz::one_clear_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if first % 2 == 0 { rules(text) } else { variables(text) }
});

fn rules(text: &str) {
    for (line, what) in fuzzing::rules(text) {
        one_clear_line(&what);
        assert!((1..=text.lines().count().max(1) + 1).contains(&line), "line {line} of {text:?}");
    }
}

fn variables(text: &str) {
    let pairs: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let (config, problems) =
        fuzzing::config(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()));
    assert!(problems.len() <= pairs.len());
    for problem in &problems {
        one_clear_line(&problem.what);
        one_clear_line(&problem.next);
    }
    assert!(config.sample_bytes != Some(0) && config.capture_keep_bytes > 0);
    assert!(config.capture_every >= Duration::from_secs(1));
    // What is shown does not depend on the secret. (Whether its text occurs there is no test: another setting may say the same.)
    let with_other_token = |name: &str| {
        let value = pairs.iter().find(|(n, _)| *n == name)?.1;
        Some(if name == "DIAG_TOKEN" { OTHER_TOKEN.to_owned() } else { value.to_owned() })
    };
    let other = fuzzing::config(with_other_token);
    if config.token.as_ref().is_some_and(|token| !token.reveal().is_empty()) {
        assert_eq!(shown(&config, &problems), shown(&other.0, &other.1));
    }
}

const OTHER_TOKEN: &str = "another-secret";

/// How settings can be shown: in answers, in logs and in complaints about them.
fn shown(config: &diag::Config, problems: &[diag::Problem]) -> [String; 3] {
    [
        serde_json::to_string(config).expect("settings are JSON"),
        format!("{config:?}"),
        format!("{problems:?}"),
    ]
}
