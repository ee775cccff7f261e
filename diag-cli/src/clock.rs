//! Times as text, always in UTC and always saying so.
//!
//! Civil dates from days: Howard Hinnant, "chrono-compatible low-level date algorithms". Proleptic Gregorian calendar,
//! years 0 to 9999; no leap seconds, as in Unix time.

use std::time::{SystemTime, UNIX_EPOCH};

const NS_PER_MS: i64 = 1_000_000;
const MS_PER_DAY: i64 = 86_400_000;

/// Nanoseconds since the Unix epoch, now.
pub fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// `2026-11-21 13:05:22 UTC`.
pub fn readable(unix_ns: i64) -> String {
    let t = Civil::from_unix_ms(unix_ns.div_euclid(NS_PER_MS));
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", t.year, t.month, t.day, t.hour, t.minute, t.second)
}

/// `2026-11-21T13:05:22.123Z`, for JSON.
pub fn rfc3339(unix_ns: i64) -> String {
    let t = Civil::from_unix_ms(unix_ns.div_euclid(NS_PER_MS));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        t.year, t.month, t.day, t.hour, t.minute, t.second, t.ms
    )
}

/// `20261121T130522.123Z`, for file names: sorts by time as text.
pub fn stamp(unix_ns: i64) -> String {
    let t = Civil::from_unix_ms(unix_ns.div_euclid(NS_PER_MS));
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}Z",
        t.year, t.month, t.day, t.hour, t.minute, t.second, t.ms
    )
}

/// The time of a [`stamp`], with or without its milliseconds.
pub fn parse_stamp(text: &str) -> Option<i64> {
    let (day, rest) = text.split_once('T')?;
    let rest = rest.strip_suffix('Z')?;
    let (time, ms) = rest.split_once('.').unwrap_or((rest, "0"));
    let digits = |s: &str, at: usize, n: usize| -> Option<i64> {
        let part = s.get(at..at + n)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    if day.len() != 8 || time.len() != 6 || ms.len() > 3 {
        return None;
    }
    let (year, month, date) = (digits(day, 0, 4)?, digits(day, 4, 2)?, digits(day, 6, 2)?);
    let (h, m, s) = (digits(time, 0, 2)?, digits(time, 2, 2)?, digits(time, 4, 2)?);
    let ms_value = digits(ms, 0, ms.len())? * [1000, 100, 10, 1].get(ms.len())?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&date) || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let total_ms =
        days_from_civil(year, month, date) * MS_PER_DAY + ((h * 60 + m) * 60 + s) * 1000 + ms_value;
    total_ms.checked_mul(NS_PER_MS)
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
}

impl Civil {
    fn from_unix_ms(unix_ms: i64) -> Self {
        let (days, ms_of_day) = (unix_ms.div_euclid(MS_PER_DAY), unix_ms.rem_euclid(MS_PER_DAY));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: ms_of_day / 3_600_000,
            minute: ms_of_day / 60_000 % 60,
            second: ms_of_day / 1000 % 60,
            ms: ms_of_day % 1000,
        }
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        // date -u -d @1795266322.5
        let ns = 1_795_266_322_500_000_000;
        assert_eq!(readable(ns), "2026-11-21 13:05:22 UTC");
        assert_eq!(stamp(ns), "20261121T130522.500Z");
        assert_eq!(rfc3339(ns), "2026-11-21T13:05:22.500Z");
        assert_eq!(readable(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(readable(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(readable(-1_000_000_000), "1969-12-31 23:59:59 UTC");
    }

    #[test]
    fn stamps_are_read_back() {
        for ms in [0, 951_782_399_999, 951_868_799_001, 1_795_266_322_123, 4_102_444_799_999] {
            assert_eq!(parse_stamp(&stamp(ms * NS_PER_MS)), Some(ms * NS_PER_MS));
        }
        assert_eq!(parse_stamp("20261121T130522Z"), Some(1_795_266_322_000_000_000));
        for bad in [
            "",
            "T",
            "20261121",
            "20261321T130522Z",
            "20261121T130522",
            "2026112éT130522Z",
            "20261121T+30522Z",
        ] {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
    }
}
