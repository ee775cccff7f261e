//! Which labels the samples of a profile have, for somebody who wants to choose among them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use diag::profile::{LabelSetId, LabelValue, Profile};
use serde::Serialize;

const MOST_KEYS: usize = 16;
const MOST_VALUES: usize = 50;

/// A label and its values, largest first.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Key {
    key: String,
    values: Vec<(String, i64)>,
    /// Values that are not listed.
    more: usize,
}

/// Labels with texts as values, by the sums of one sample type.
pub(super) fn of(profile: &Profile, column: usize) -> Vec<Key> {
    let mut of_set: BTreeMap<LabelSetId, i64> = BTreeMap::new();
    for sample in profile.samples() {
        let sum = of_set.entry(sample.labels).or_default();
        *sum = sum.saturating_add(sample.values.get(column).copied().unwrap_or(0));
    }
    of_set.retain(|_, sum| *sum != 0);
    let mut keys: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for (set, value) in of_set {
        for label in profile.label_set(set) {
            if let LabelValue::Str(text) = label.value {
                let sum =
                    keys.entry(profile.str(label.key)).or_default().entry(profile.str(text)).or_default();
                *sum = sum.saturating_add(value);
            }
        }
    }
    keys.into_iter().take(MOST_KEYS).map(|(key, values)| shown(key, values)).collect()
}

fn shown(key: &str, values: BTreeMap<&str, i64>) -> Key {
    let mut values: Vec<(String, i64)> = values.into_iter().map(|(text, n)| (text.to_owned(), n)).collect();
    values.sort_by_key(|(_, value)| Reverse(*value));
    let more = values.len().saturating_sub(MOST_VALUES);
    values.truncate(MOST_VALUES);
    Key { key: key.to_owned(), values, more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::profile::{Label, ProfileBuilder, ValueType};

    #[test]
    fn values_are_summed_and_the_largest_come_first() {
        let mut b = ProfileBuilder::new(vec![ValueType::new("inuse_space", "bytes")]);
        let location = b.location(None, 1, &[]);
        let stack = b.stack(&[location]);
        let (thread, age) = (b.str("thread"), b.str("age"));
        for (name, value) in [("a", 1), ("b", 5), ("a", 2), ("gone", 0)] {
            let text = b.str(name);
            let young = b.str("0-10s");
            let labels = b.labels(&[
                Label { key: thread, value: LabelValue::Str(text) },
                Label { key: age, value: LabelValue::Str(young) },
            ]);
            b.sample(stack, labels, &[value]);
        }
        let key = |key: &str, values: &[(&str, i64)]| Key {
            key: key.to_owned(),
            values: values.iter().map(|(text, n)| ((*text).to_owned(), *n)).collect(),
            more: 0,
        };
        let found = of(&b.finish().unwrap(), 0);
        assert_eq!(found, [key("age", &[("0-10s", 8)]), key("thread", &[("b", 5), ("a", 3)])]);
    }
}
