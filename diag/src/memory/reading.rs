//! A value, or why there is none. A source that is not there is never read as zero.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a source said, or why it said nothing. In JSON the bare value, or `{"missing": "why"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reading<T> {
    /// Nothing could be read.
    Missing {
        /// Why, and where it was looked for.
        missing: String,
    },
    /// What was read.
    Known(T),
}

impl<T> Reading<T> {
    /// There is no value, for this reason.
    pub fn missing(why: impl Into<String>) -> Self {
        Self::Missing { missing: why.into() }
    }

    /// The value, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing { .. } => None,
        }
    }

    /// The reason why there is no value.
    pub fn why_missing(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Missing { missing } => Some(missing),
        }
    }

    /// The value, or the reason.
    ///
    /// # Errors
    /// The reason why it is missing.
    pub fn as_result(&self) -> Result<&T, &str> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Missing { missing } => Err(missing),
        }
    }

    /// Applies `f` to the value; a reason stays.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Missing { missing } => Reading::Missing { missing },
        }
    }

    /// This reading, or the other when this one is missing. Missing twice keeps the first reason.
    pub fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Known(_) => self,
            Self::Missing { .. } => match other() {
                known @ Self::Known(_) => known,
                Self::Missing { .. } => self,
            },
        }
    }
}

impl<T: Copy> Reading<T> {
    /// A copy of the value, if there is one.
    pub fn value(&self) -> Option<T> {
        self.known().copied()
    }
}

impl<T> Default for Reading<T> {
    /// Missing: what an older writer did not know of.
    fn default() -> Self {
        Self::missing("not part of this record")
    }
}

impl<T, E: fmt::Display> From<Result<T, E>> for Reading<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(why) => Self::missing(why.to_string()),
        }
    }
}

/// A memory limit. That there is none is a fact, not a missing value. In JSON a number of bytes or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At most so many bytes.
    Bytes(u64),
    /// No limit is set.
    Unlimited,
}

impl Limit {
    /// The number of bytes, when there is a limit.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Unlimited => None,
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_u64(*bytes),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or \"unlimited\"")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Limit, E> {
                Ok(Limit::Bytes(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit, E> {
                match text {
                    "unlimited" => Ok(Limit::Unlimited),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
