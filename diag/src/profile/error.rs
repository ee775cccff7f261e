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
}
