//! Values for people: bytes, counts, times, rates. The one place that formats them.
//!
//! Binary prefixes for bytes (KiB is 1,024), one decimal below 100, none above. Text is ASCII.

/// A value in the unit of its sample type: `12.3 MiB`, `1,234`, `1.2 s`, or the number and the unit's name.
pub fn value(value: i64, unit: &str) -> String {
    match unit {
        "bytes" | "byte" => bytes(value),
        "nanoseconds" | "ns" => nanoseconds(value),
        "microseconds" | "us" => nanoseconds(value.saturating_mul(1_000)),
        "milliseconds" | "ms" => nanoseconds(value.saturating_mul(1_000_000)),
        "seconds" | "s" => nanoseconds(value.saturating_mul(1_000_000_000)),
        "count" | "objects" | "samples" | "" => count(value),
        other => format!("{} {other}", count(value)),
    }
}

/// [`value`] with a sign: `+12.3 MiB`, `-4`, `0 B`.
pub fn signed(v: i64, unit: &str) -> String {
    if v > 0 { format!("+{}", value(v, unit)) } else { value(v, unit) }
}

/// `512 B`, `1.5 KiB`, `12.3 MiB`, `345 GiB`.
pub fn bytes(value: i64) -> String {
    if value.unsigned_abs() < 1024 {
        return format!("{value} B");
    }
    scaled(value as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// `1,234,567`.
pub fn count(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0 {
        out.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `950 ns`, `1.5 us`, `12.3 ms`, `1.2 s`, `2.5 min`, `3.0 h`, `12.5 d`.
pub fn nanoseconds(value: i64) -> String {
    let size = value as f64;
    match value.unsigned_abs() {
        0..1_000 => format!("{value} ns"),
        1_000..59_950_000_000 => scaled(size, 1e3, &["ns", "us", "ms", "s"]),
        59_950_000_000..3_597_000_000_000 => format!("{} min", number(size / 60e9)),
        3_597_000_000_000..172_800_000_000_000 => format!("{} h", number(size / 3600e9)),
        _ => format!("{} d", number(size / 86400e9)),
    }
}

/// A rate an hour, with its sign: `+12.3 MiB/h`, `-40/h`.
pub fn per_hour(rate: f64, unit: &str) -> String {
    if !rate.is_finite() {
        return "unknown".to_owned();
    }
    // A float's cast saturates.
    format!("{}/h", signed(rate.round() as i64, unit))
}

/// `12.3 %`; `-` when the whole is zero.
pub fn percent(part: i64, whole: i64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 / whole as f64 * 100.0;
    format!("{percent:.1} %")
}

fn scaled(mut size: f64, step: f64, names: &[&str]) -> String {
    let mut names = names.iter();
    let mut name = names.next().copied().unwrap_or_default();
    // 1023.96 would be shown as 1024.
    while size.abs() >= step - 0.5 {
        let Some(next) = names.next() else { break };
        size /= step;
        name = next;
    }
    format!("{} {name}", number(size))
}

fn number(size: f64) -> String {
    if size.abs() < 99.95 { format!("{size:.1}") } else { format!("{size:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_prefixes() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_298, "99.9 KiB"),
            (102_360, "100 KiB"),
            (1_048_064, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (-5 << 20, "-5.0 MiB"),
            (345 << 30, "345 GiB"),
            (i64::MAX, "8.0 EiB"),
            (i64::MIN, "-8.0 EiB"),
        ];
        for (value, text) in cases {
            assert_eq!(bytes(value), text, "{value}");
        }
    }

    #[test]
    fn counts_are_exact() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")];
        for (value, text) in cases {
            assert_eq!(count(value), text);
        }
        assert_eq!(count(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn times() {
        let cases = [
            (0, "0 ns"),
            (950, "950 ns"),
            (1_500, "1.5 us"),
            (12_300_000, "12.3 ms"),
            (1_234_000_000, "1.2 s"),
            (59_949_000_000, "59.9 s"),
            (59_960_000_000, "1.0 min"),
            (150_000_000_000, "2.5 min"),
            (3_599_000_000_000, "1.0 h"),
            (3 * 86_400_000_000_000, "3.0 d"),
            (-2_000, "-2.0 us"),
        ];
        for (value, text) in cases {
            assert_eq!(nanoseconds(value), text, "{value}");
        }
    }

    #[test]
    fn signs_rates_and_shares() {
        assert_eq!(signed(2048, "bytes"), "+2.0 KiB");
        assert_eq!(signed(0, "bytes"), "0 B");
        assert_eq!(signed(-3, "count"), "-3");
        assert_eq!(value(12_000, "requests"), "12,000 requests");
        assert_eq!(per_hour(1.5 * 1024.0 * 1024.0, "bytes"), "+1.5 MiB/h");
        assert_eq!(per_hour(f64::NAN, "bytes"), "unknown");
        assert_eq!(per_hour(f64::MAX, "bytes"), "+8.0 EiB/h");
        assert_eq!(percent(1, 8), "12.5 %");
        assert_eq!(percent(1, 0), "-");
    }
}
