//! Values for people: `1.25 MiB`, `3,210 objects`, `12.3 ms`. Three significant digits at most where a unit is scaled.

use diag::profile::ValueType;

/// A value in the unit of its sample type.
pub fn amount(value: i64, value_type: &ValueType) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", magnitude(value.unsigned_abs(), value_type))
}

/// A change, always with its sign except for zero.
pub fn change(value: i64, value_type: &ValueType) -> String {
    let sign = if value > 0 { "+" } else { "" };
    format!("{sign}{}", amount(value, value_type))
}

/// The absolute value.
pub fn magnitude(value: u64, value_type: &ValueType) -> String {
    match value_type.unit.as_str() {
        "bytes" => bytes(value),
        "nanoseconds" => seconds(value, 1e9),
        "microseconds" => seconds(value, 1e6),
        "milliseconds" => seconds(value, 1e3),
        "seconds" => seconds(value, 1.0),
        unit => {
            let noun = match unit {
                "count" | "" => counted(&value_type.kind),
                other => other,
            };
            let noun = if value == 1 { noun.strip_suffix('s').unwrap_or(noun) } else { noun };
            format!("{} {noun}", thousands(value))
        }
    }
}

/// What a `count` column of this kind counts.
fn counted(kind: &str) -> &str {
    if kind.ends_with("objects") {
        "objects"
    } else if kind.is_empty() {
        "samples"
    } else {
        kind
    }
}

/// `512 B`, `1.25 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = "KiB";
    for next in UNITS.iter().skip(1) {
        if scaled < 1023.5 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{} {unit}", three_digits(scaled))
}

fn seconds(value: u64, per_second: f64) -> String {
    let s = value as f64 / per_second;
    if value == 0 {
        "0 s".to_owned()
    } else if s < 999.5e-9 {
        format!("{} ns", three_digits(s * 1e9))
    } else if s < 999.5e-6 {
        format!("{} µs", three_digits(s * 1e6))
    } else if s < 0.9995 {
        format!("{} ms", three_digits(s * 1e3))
    } else if s < 119.5 {
        format!("{} s", three_digits(s))
    } else if s < 119.5 * 60.0 {
        format!("{} min", three_digits(s / 60.0))
    } else {
        format!("{} h", three_digits(s / 3600.0))
    }
}

fn three_digits(v: f64) -> String {
    let text = if v < 9.995 {
        format!("{v:.2}")
    } else if v < 99.95 {
        format!("{v:.1}")
    } else {
        format!("{v:.0}")
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `1,234,567`.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(d);
    }
    text
}

/// A share of a whole: `12.3%`, `<0.01%`.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0%".to_owned();
    }
    let p = 100.0 * part as f64 / whole as f64;
    if part == whole {
        "100%".to_owned()
    } else if part > 0 && p < 0.01 {
        "<0.01%".to_owned()
    } else {
        format!("{p:.2}%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_binary_with_three_digits() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1280 * 1024, "1.25 MiB"),
            (1024 * 1024 - 1, "1 MiB"),
            (10_000_000, "9.54 MiB"),
            (123_456_789, "118 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn counts_name_what_is_counted() {
        assert_eq!(amount(3210, &ValueType::new("inuse_objects", "count")), "3,210 objects");
        assert_eq!(amount(1, &ValueType::new("inuse_objects", "count")), "1 object");
        assert_eq!(amount(-5, &ValueType::new("samples", "count")), "-5 samples");
        assert_eq!(amount(7, &ValueType::new("stuff", "widgets")), "7 widgets");
    }

    #[test]
    fn times_choose_their_unit() {
        let ns = ValueType::new("cpu", "nanoseconds");
        for (value, text) in [
            (0, "0 s"),
            (999, "999 ns"),
            (1_500, "1.5 µs"),
            (12_300_000, "12.3 ms"),
            (1_230_000_000, "1.23 s"),
            (600_000_000_000, "10 min"),
            (7_200_000_000_000, "2 h"),
        ] {
            assert_eq!(amount(value, &ns), text);
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let b = ValueType::new("inuse_space", "bytes");
        assert_eq!(change(i64::MIN, &b), "-8 EiB");
        assert_eq!(change(i64::MAX, &b), "+8 EiB");
        assert_eq!(change(0, &b), "0 B");
    }

    #[test]
    fn percentages_do_not_round_to_nothing() {
        assert_eq!(percent(1, 1_000_000), "<0.01%");
        assert_eq!(percent(0, 5), "0.00%");
        assert_eq!(percent(5, 5), "100%");
        assert_eq!(percent(1, 0), "0%");
    }
}
