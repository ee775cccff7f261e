//! Values of a sample type, as `diag::profile::units` formats them, with the noun that a bare count lacks.

use diag::profile::{ValueType, units};

/// `12.3 MiB`, `3,210 objects`, `1.2 s`.
pub(crate) fn amount(value: i64, value_type: &ValueType) -> String {
    let number = units::value(value, &value_type.unit);
    if !matches!(value_type.unit.as_str(), "count" | "") {
        return number;
    }
    let noun = match value_type.kind.as_str() {
        kind if kind.ends_with("objects") => "objects",
        "" => "samples",
        kind => kind,
    };
    let noun = if value.unsigned_abs() == 1 { noun.strip_suffix('s').unwrap_or(noun) } else { noun };
    format!("{number} {noun}")
}

/// [`amount`], with its sign except for zero.
pub(crate) fn change(value: i64, value_type: &ValueType) -> String {
    let sign = if value > 0 { "+" } else { "" };
    format!("{sign}{}", amount(value, value_type))
}

/// [`amount`] of a width.
pub(crate) fn magnitude(value: u64, value_type: &ValueType) -> String {
    amount(clamped(value), value_type)
}

/// `1,234`.
pub(crate) fn count(value: u64) -> String {
    units::count(clamped(value))
}

/// A share of a whole: `12.3 %`. What is there is never shown as nothing.
pub(crate) fn share(part: u64, whole: u64) -> String {
    match units::percent(clamped(part), clamped(whole)) {
        text if text == "0.0 %" && part > 0 => "<0.1 %".to_owned(),
        text => text,
    }
}

fn clamped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_say_what_is_counted() {
        let objects = ValueType::new("inuse_objects", "count");
        assert_eq!(amount(3210, &objects), "3,210 objects");
        assert_eq!(change(1, &objects), "+1 object");
        assert_eq!(amount(-5, &ValueType::new("samples", "count")), "-5 samples");
        assert_eq!(amount(7, &ValueType::new("stuff", "widgets")), "7 widgets");
        assert_eq!(magnitude(u64::MAX, &ValueType::new("inuse_space", "bytes")), "8.0 EiB");
    }

    #[test]
    fn small_shares_do_not_round_to_nothing() {
        assert_eq!(share(1, 1_000_000), "<0.1 %");
        assert_eq!(share(0, 5), "0.0 %");
        assert_eq!(share(5, 5), "100.0 %");
    }
}
