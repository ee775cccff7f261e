//! What can go wrong while drawing.

use diag::profile::ValueType;

/// Why no flame graph could be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chosen sample type does not exist.
    #[error("sample type {index} does not exist; choose one of: {types}")]
    NoSuchType {
        /// What was asked for.
        index: usize,
        /// Those there are: `0 alloc_objects/count, ...`.
        types: String,
    },
    /// The base of a difference lacks the sample type.
    #[error(
        "the base profile has no sample type {kind}; it has: {types}; take two profiles of the same kind"
    )]
    NoSuchTypeInBase {
        /// The kind that is missing.
        kind: String,
        /// Those there are.
        types: String,
    },
    /// The sides of a difference count in different units.
    #[error(
        "{kind} is in {base} in the base profile and in {new} in the new one; take two profiles of the same kind"
    )]
    UnitsDiffer {
        /// The sample type.
        kind: String,
        /// Its unit in the base.
        base: String,
        /// Its unit in the new profile.
        new: String,
    },
    /// inferno refused its input, or wrote what could not be read back. A bug of this crate.
    #[error("drawing the flame graph failed: {what}; please report this with the profile")]
    Draw {
        /// The reason given.
        what: String,
    },
}

impl Error {
    pub(crate) fn draw(reason: impl std::fmt::Display) -> Self {
        Error::Draw { what: reason.to_string() }
    }
}

/// `0 alloc_objects/count, 1 alloc_space/bytes`.
pub(crate) fn list(types: &[ValueType]) -> String {
    let mut text = String::new();
    for (i, t) in types.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&format!("{i} {}/{}", t.kind, t.unit));
    }
    text
}
