//! What can go wrong with profile data.

/// An error of the profile model, its codecs and its operations. The text says what failed and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The parts do not fit together.
    #[error("inconsistent profile: {what}")]
    Invalid {
        /// Which rule is broken.
        what: &'static str,
    },
    /// The profile has no such column.
    #[error("the profile has no sample type {wanted}; it has {available}")]
    NoSampleType {
        /// What was asked for.
        wanted: String,
        /// What there is, `kind/unit` joined by commas.
        available: String,
    },
    /// Two profiles do not count the same things.
    #[error(
        "the profiles do not count the same: one has {one}; the other has {other}; choose profiles of one kind"
    )]
    SampleTypesDiffer {
        /// Sample types of the first, `kind/unit` joined by commas.
        one: String,
        /// Sample types of the other.
        other: String,
    },
    /// A pattern cannot be read.
    #[error("the pattern {pattern} is not usable: {why}")]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
}
