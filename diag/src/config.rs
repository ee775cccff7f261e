//! Settings: a builder, overridden by `DIAG_*` variables. A bad value is reported in `status` and ignored, never fatal.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Something that does not work as asked, though the rest does.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// Which part: `config`, `heap`, `capture`, `console`, `declared`, `rules`.
    pub part: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// A text that is never shown: printed and serialized as `hidden`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps the text, without white space around it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().to_owned())
    }

    /// The text itself, for comparison only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hidden")
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("hidden")
    }
}

/// The settings in force.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Config {
    /// Name of the service, in titles and labels. Default: the name of the executable.
    pub service_name: String,
    /// `DIAG_SAMPLE_BYTES`: mean bytes between heap samples; `None` leaves jemalloc's own setting (MALLOC_CONF).
    pub sample_bytes: Option<u64>,
    /// About the most memory the heap collector's tables take, in bytes. Default 64 MiB.
    pub heap_table_bytes: u64,
    /// `DIAG_LISTEN`: where `diag_server::serve` listens. Default 127.0.0.1:6060.
    pub listen: SocketAddr,
    /// `DIAG_TOKEN_FILE`: file with the token that clients must show. That or `token` is required off loopback.
    pub token_file: Option<PathBuf>,
    /// `DIAG_TOKEN`: the token itself. Only one of the two is set: the last in the builder, then variables, the file first.
    ///
    /// `/proc/PID/environ` shows a variable to everybody who runs as the same user, and child processes inherit it; a file need
    /// not be readable by them.
    pub token: Option<Secret>,
    /// `DIAG_READ_ONLY`: the server refuses what changes something.
    pub read_only: bool,
    /// `DIAG_CAPTURE_DIR`: captures are written here.
    pub capture_dir: Option<PathBuf>,
    /// `DIAG_CAPTURE_EVERY`: how often. Default 10 s.
    #[serde(rename = "capture_every_s", serialize_with = "seconds")]
    pub capture_every: Duration,
    /// Captures kept in the directory, the newest by time, and as many by rules; older ones of this project are deleted. Default 1,000.
    pub capture_keep: usize,
    /// `DIAG_CAPTURE_BYTES`: about the most bytes of all captures in the directory; the oldest by time go first. Default 1 GiB.
    pub capture_keep_bytes: u64,
    /// `DIAG_RULES`: file with rules, TOML; see [`rules`](crate::rules).
    #[cfg(feature = "triggers")]
    pub rules_file: Option<PathBuf>,
    /// `DIAG_MUTEX_FRACTION`: one in so many contentions is in the mutex profile of [`sync`](crate::sync); 0 for none. `None` leaves what
    /// the service has set itself.
    #[cfg(feature = "sync")]
    pub mutex_profile_fraction: Option<u32>,
    /// `DIAG_BLOCK_RATE_NS`: waits of so many nanoseconds are all in the block profile, shorter ones in proportion; 0 for none.
    #[cfg(feature = "sync")]
    pub block_profile_rate_ns: Option<u64>,
    /// `DIAG_DISABLE`: nothing is collected and nothing listens.
    pub disabled: bool,
    /// Let jemalloc see the stacks too, so that its own dumps stay useful to others; costs a second walk a sample.
    pub stacks_for_jemalloc: bool,
    /// Take heap profiles from `prof.dump` even where hooks are to be had.
    pub force_prof_dump: bool,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_name: std::env::current_exe()
                .ok()
                .and_then(|exe| exe.file_name().map(|n| n.to_string_lossy().into_owned()))
                .unwrap_or_else(|| "unknown".to_owned()),
            sample_bytes: None,
            heap_table_bytes: 64 << 20,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6060)),
            token_file: None,
            token: None,
            read_only: false,
            capture_dir: None,
            capture_every: Duration::from_secs(10),
            capture_keep: 1_000,
            capture_keep_bytes: 1 << 30,
            #[cfg(feature = "triggers")]
            rules_file: None,
            #[cfg(feature = "sync")]
            mutex_profile_fraction: None,
            #[cfg(feature = "sync")]
            block_profile_rate_ns: None,
            disabled: false,
            stacks_for_jemalloc: false,
            force_prof_dump: false,
        }
    }
}

impl Config {
    /// Takes over the variables that `lookup` finds, and says which have no meaning.
    pub(crate) fn override_by(&mut self, lookup: impl Fn(&str) -> Option<String>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut take = |name: &str, expected: &str, set: &mut dyn FnMut(&str) -> bool| {
            if let Some(value) = lookup(name)
                && !set(value.trim())
            {
                problems.push(Problem {
                    part: "config".into(),
                    what: format!("{name}={value:?} is not {expected}; it is ignored"),
                    next: format!("set {name} to {expected}, or remove it"),
                });
            }
        };
        fn put<T>(place: &mut T, value: Option<T>) -> bool {
            value.map(|v| *place = v).is_some()
        }
        take("DIAG_SAMPLE_BYTES", "a number of bytes such as 524288 or 512KiB", &mut |v| {
            put(&mut self.sample_bytes, parse_bytes(v).filter(|b| *b > 0).map(Some))
        });
        take("DIAG_LISTEN", "an address with port such as 127.0.0.1:6060", &mut |v| {
            put(&mut self.listen, v.parse().ok())
        });
        // A token of no use is kept: the server stays closed then, instead of open to everybody.
        match ["DIAG_TOKEN_FILE", "DIAG_TOKEN"].map(&lookup) {
            [Some(file), _] => (self.token_file, self.token) = (Some(PathBuf::from(file.trim())), None),
            [None, Some(token)] => (self.token_file, self.token) = (None, Some(Secret::new(token))),
            [None, None] => {}
        }
        take("DIAG_READ_ONLY", "1, true, 0 or false", &mut |v| put(&mut self.read_only, parse_switch(v)));
        take("DIAG_CAPTURE_DIR", "a path", &mut |v| put(&mut self.capture_dir, path(v).map(Some)));
        take("DIAG_CAPTURE_EVERY", "a time of at least 1s such as 10s or 5m", &mut |v| {
            put(&mut self.capture_every, parse_duration(v).filter(|d| *d >= Duration::from_secs(1)))
        });
        take("DIAG_CAPTURE_BYTES", "a number of bytes such as 256MiB", &mut |v| {
            put(&mut self.capture_keep_bytes, parse_bytes(v).filter(|b| *b > 0))
        });
        #[cfg(feature = "triggers")]
        take("DIAG_RULES", "a path", &mut |v| put(&mut self.rules_file, path(v).map(Some)));
        #[cfg(feature = "sync")]
        take("DIAG_MUTEX_FRACTION", "a whole number, 10 for one in 10, 0 for none", &mut |v| {
            put(&mut self.mutex_profile_fraction, v.parse().ok().map(Some))
        });
        #[cfg(feature = "sync")]
        take("DIAG_BLOCK_RATE_NS", "a whole number of nanoseconds such as 1000000, 0 for none", &mut |v| {
            put(&mut self.block_profile_rate_ns, v.parse().ok().map(Some))
        });
        take("DIAG_DISABLE", "1, true, 0 or false", &mut |v| put(&mut self.disabled, parse_switch(v)));
        problems
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn parse_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

/// `524288`, `512k`, `512KiB`, `1M`; all powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `10`, `10s`, `500ms`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number = number.parse::<u64>().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> (Config, Vec<Problem>) {
        let mut config = Config::default();
        let problems =
            config.override_by(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        (config, problems)
    }

    #[test]
    fn variables_override() {
        let (config, problems) = with(&[
            ("DIAG_SAMPLE_BYTES", "64KiB"),
            ("DIAG_LISTEN", "[::1]:7000"),
            ("DIAG_CAPTURE_DIR", "/tmp/c"),
            ("DIAG_CAPTURE_EVERY", "2m"),
            ("DIAG_DISABLE", "true"),
        ]);
        assert_eq!(problems, []);
        assert_eq!(config.sample_bytes, Some(65_536));
        assert_eq!(config.listen.port(), 7000);
        assert_eq!(config.capture_every, Duration::from_secs(120));
        assert!(config.disabled && config.capture_dir.is_some());
    }

    #[cfg(feature = "sync")]
    #[test]
    fn contention_is_profiled_as_variables_say() {
        let (config, problems) = with(&[("DIAG_MUTEX_FRACTION", "10"), ("DIAG_BLOCK_RATE_NS", " 1000000 ")]);
        assert_eq!(
            (config.mutex_profile_fraction, config.block_profile_rate_ns),
            (Some(10), Some(1_000_000))
        );
        assert_eq!(problems, []);
        for value in ["-1", "1.5", "all", "", "99999999999999999999"] {
            let (config, problems) = with(&[("DIAG_MUTEX_FRACTION", value), ("DIAG_BLOCK_RATE_NS", value)]);
            assert_eq!(
                (config.mutex_profile_fraction, config.block_profile_rate_ns),
                (None, None),
                "{value}"
            );
            assert_eq!(problems.len(), 2, "{value}");
        }
    }

    #[test]
    fn a_token_is_kept_once_and_never_shown() {
        let (config, problems) = with(&[("DIAG_TOKEN", " s3cret\n"), ("DIAG_READ_ONLY", "1")]);
        assert_eq!(config.token.as_ref().map(Secret::reveal), Some("s3cret"));
        assert!(config.read_only && config.token_file.is_none() && problems.is_empty());
        for shown in [format!("{config:?}"), serde_json::to_string(&config).unwrap()] {
            assert!(shown.contains("hidden") && !shown.contains("s3cret"), "{shown}");
        }
        let (config, _) = with(&[("DIAG_TOKEN", "s3cret"), ("DIAG_TOKEN_FILE", "/run/token")]);
        assert!(config.token.is_none() && config.token_file == Some("/run/token".into()), "the file wins");
        // An empty secret must not open the door.
        for name in ["DIAG_TOKEN", "DIAG_TOKEN_FILE"] {
            let (config, problems) = with(&[(name, "")]);
            assert!(config.token.is_some() != config.token_file.is_some() && problems.is_empty(), "{name}");
        }
    }

    #[test]
    fn nonsense_is_reported_and_ignored() {
        for (name, value) in [
            ("DIAG_SAMPLE_BYTES", "0"),
            ("DIAG_SAMPLE_BYTES", "-1"),
            ("DIAG_SAMPLE_BYTES", "99999999999999999999"),
            ("DIAG_SAMPLE_BYTES", "17179869184G"),
            ("DIAG_SAMPLE_BYTES", "é"),
            ("DIAG_LISTEN", "6060"),
            ("DIAG_CAPTURE_EVERY", "0"),
            ("DIAG_CAPTURE_EVERY", "soon"),
            ("DIAG_CAPTURE_DIR", ""),
            ("DIAG_DISABLE", "maybe"),
            ("DIAG_READ_ONLY", "maybe"),
        ] {
            let (config, problems) = with(&[(name, value)]);
            assert_eq!(problems.len(), 1, "{name}={value}");
            assert!(problems[0].what.contains(name) && problems[0].what.contains("ignored"));
            let default = Config::default();
            assert_eq!(
                (
                    config.sample_bytes,
                    config.listen,
                    config.capture_every,
                    config.capture_dir,
                    config.disabled
                ),
                (default.sample_bytes, default.listen, default.capture_every, default.capture_dir, false),
            );
        }
    }
}
