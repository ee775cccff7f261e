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
    /// There are no bytes.
    #[error(
        "the file is empty: the capture was cut off before its first byte, or its writer failed; capture again"
    )]
    Empty,
    /// The bytes are something else than a profile.
    #[error("this is {found}, not a profile; {advice}")]
    NotAProfile {
        /// What it looks like.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The compressed data cannot be read.
    #[error(
        "{fault} at byte {offset} of the compressed data; the file is damaged or incomplete: capture it again"
    )]
    Gzip {
        /// Where, in the compressed data.
        offset: u64,
        /// What is wrong.
        fault: GzipFault,
    },
    /// The data would become larger than this reader accepts.
    #[error(
        "the data is larger than {limit_bytes} bytes when decompressed, the most that is read; \
         no profile should be: check where the file comes from"
    )]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// There is more of something than this reader accepts.
    #[error(
        "the file has more than {limit} {what}, the most that is read; no profile should: check where it comes from"
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Encoded data that breaks the rules of profile.proto.
    #[error("not a readable pprof profile: {fault}, at byte {offset} of the decompressed data; {}", fault.advice())]
    Pprof {
        /// Where, in the decompressed data.
        offset: u64,
        /// What is wrong.
        fault: PprofFault,
    },
    /// A line of a text format that cannot be read.
    #[error("line {line} of the {format} profile: {what}")]
    Text {
        /// Which format.
        format: &'static str,
        /// Which line, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        what: String,
    },
}

/// What is wrong with compressed data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GzipFault {
    /// It ends too early.
    #[error("the gzip data ends too early")]
    Truncated,
    /// It is not valid, or the checksum does not match.
    #[error("the gzip data is corrupt")]
    Corrupt,
    /// Something follows the last gzip member.
    #[error("something that is not gzip follows the gzip data")]
    TrailingData,
}

/// What is wrong with an encoded profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PprofFault {
    /// A field is longer than what is left.
    #[error("a field goes on beyond the end of the data")]
    Truncated,
    /// A varint of more than ten bytes.
    #[error("a number is longer than ten bytes")]
    LongVarint,
    /// A field number or wire type that protocol buffers do not have.
    #[error("{tag:#x} is not the tag of a field")]
    BadTag {
        /// The tag.
        tag: u64,
    },
    /// A known field of another type.
    #[error("field {field} has the wrong type")]
    WrongWireType {
        /// The field's number in its message.
        field: u32,
    },
    /// The id 0, which means "none".
    #[error("a {table} has the reserved id 0")]
    ZeroId {
        /// Of which table.
        table: &'static str,
    },
    /// Two entries with one id.
    #[error("two entries share the {table} id {id}")]
    DuplicateId {
        /// Of which table.
        table: &'static str,
        /// The id.
        id: u64,
    },
    /// A reference to an entry that is not there.
    #[error("a {from} refers to {table} {id}, which does not exist")]
    DanglingId {
        /// What refers.
        from: &'static str,
        /// To which table.
        table: &'static str,
        /// The id.
        id: u64,
    },
    /// A reference to a string that is not there.
    #[error("a reference to string {index} of a table of {count}")]
    StringIndex {
        /// The index.
        index: u64,
        /// How many strings there are.
        count: u64,
    },
    /// The string table does not begin with the empty string.
    #[error("string 0 is not empty")]
    FirstString,
    /// A sample has not one value a sample type.
    #[error("a sample has {found} values for {expected} sample types")]
    ValueCount {
        /// How many sample types there are.
        expected: usize,
        /// How many values it has.
        found: usize,
    },
    /// The profile does not say what its values mean.
    #[error("there is no sample type")]
    NoSampleType,
    /// Two profiles one behind the other.
    #[error("the time is given twice: these are two profiles, one behind the other")]
    Concatenated,
}

impl PprofFault {
    fn advice(self) -> &'static str {
        match self {
            Self::Concatenated => "keep them in one file each",
            Self::Truncated => "the file is incomplete: capture it again",
            _ => "the file is damaged or not a profile: capture it again",
        }
    }
}
