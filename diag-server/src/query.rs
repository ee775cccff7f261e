//! Parameters of a request. Unknown ones are ignored, as pprof's own server does; bad values are 400.

use std::time::Duration;

use axum::extract::Query as Extract;
use axum::http::Uri;

use crate::failure::Failure;

/// The longest `seconds=`.
const MOST_SECONDS: u64 = 3600;

pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Failure> {
        Extract::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Extract(pairs)| Self(pairs))
            .map_err(|_| Failure::bad_request("the part of the address after ? is not name=value&name=value"))
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `1`, `true` or nothing after the name; `0` or `false`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(default),
            Some("1" | "true" | "") => Ok(true),
            Some("0" | "false") => Ok(false),
            Some(other) => Err(bad(name, other, "true or false")),
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.get(name).map(|v| v.parse().map_err(|_| bad(name, v, "a whole number"))).transpose()
    }

    /// A time to wait, in seconds.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        self.get(name)
            .map(|v| match v.parse() {
                Ok(s @ 1..=MOST_SECONDS) => Ok(Duration::from_secs(s)),
                _ => Err(bad(name, v, "a whole number of seconds from 1 to 3600")),
            })
            .transpose()
    }

    /// A time to record, as Go's runtime reads it: what is no positive number is 30 seconds.
    pub(crate) fn seconds_or_30(&self, name: &str) -> Result<Duration, Failure> {
        match self.get(name).and_then(|v| v.parse::<i64>().ok()).map(u64::try_from) {
            None | Some(Err(_) | Ok(0)) => Ok(Duration::from_secs(30)),
            Some(Ok(s @ 1..=MOST_SECONDS)) => Ok(Duration::from_secs(s)),
            Some(Ok(s)) => Err(bad(name, &s.to_string(), "at most 3600")),
        }
    }

    /// A rate of sampling.
    pub(crate) fn rate(&self, name: &str, most: u32) -> Result<Option<u32>, Failure> {
        let rate = |v: &str| v.parse().ok().filter(|hz| (1..=most).contains(hz));
        self.get(name)
            .map(|v| rate(v).ok_or_else(|| bad(name, v, &format!("a whole number from 1 to {most}"))))
            .transpose()
    }
}

fn bad(name: &str, value: &str, expected: &str) -> Failure {
    let value: String = value.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
    Failure::bad_request(format!("{name}={value} is not valid: {name} must be {expected}"))
}
