//! Regular expressions on frame names, with an error that says where the pattern is wrong.

use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use super::ProfileError;

/// A regular expression, searched anywhere in a name unless anchored; case matters unless `(?i)` says otherwise.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern. Its size is bounded, and matching takes linear time.
    ///
    /// # Errors
    /// [`ProfileError::BadPattern`].
    pub fn new(pattern: &str) -> Result<Self, ProfileError> {
        RegexBuilder::new(pattern).size_limit(4 << 20).build().map(Self).map_err(|e| {
            ProfileError::BadPattern {
                pattern: pattern.to_owned(),
                // The parser's message has several lines, the cause is in the last.
                why: e.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            }
        })
    }

    /// The pattern that matches exactly this text.
    ///
    /// # Errors
    /// [`ProfileError::BadPattern`] when the text is too long.
    pub fn exactly(text: &str) -> Result<Self, ProfileError> {
        Self::new(&format!("^{}$", regex::escape(text)))
    }

    /// Whether the text holds a match.
    #[inline]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Pattern {
    type Err = ProfileError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}
