//! What can go wrong, as one line for a person and an exit code for a script.
//!
//! Exit codes: 0 fine, 1 leak or regression found, 2 usage, 3 capture or input failed. Every message says what
//! failed, on what, and what to do next. Text that comes from a target or a file is made printable first.

use std::fmt::Display;

/// A failed command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line asks for something that does not exist or does not fit together.
    #[error("{what}; {next}")]
    Usage {
        /// What is wrong, and where.
        what: String,
        /// What to do.
        next: String,
    },
    /// A target, a file or an output failed.
    #[error("{what}; {next}")]
    Failed {
        /// What failed, and where.
        what: String,
        /// What to do.
        next: String,
    },
    /// The reader of stdout has gone: nothing to say, and nobody to say it to.
    #[error("the reader of the output has gone")]
    BrokenPipe,
    /// Ctrl-C before there was a result.
    #[error("interrupted")]
    Interrupted,
}

/// Result of everything that can fail in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A wrong command line.
    pub fn usage(what: impl Display, next: impl Display) -> Self {
        Self::Usage { what: what.to_string(), next: next.to_string() }
    }

    /// A failed target, input or output.
    pub fn failed(what: impl Display, next: impl Display) -> Self {
        Self::Failed { what: what.to_string(), next: next.to_string() }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::Failed { .. } => 3,
            Self::BrokenPipe => 0,
            // 128 + SIGINT, as shells expect.
            Self::Interrupted => 130,
        }
    }

    /// The message as one printable line.
    pub fn line(&self) -> String {
        one_line(&self.to_string())
    }
}

/// `text` without line breaks, control characters or terminal escapes, runs of blanks made one.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            blank = !out.is_empty();
        } else {
            if blank {
                out.push(' ');
                blank = false;
            }
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_printable_line() {
        let e = Error::failed("cannot read \u{1b}[31mx\r\n  y", "do\tthis\n");
        assert_eq!(e.line(), "cannot read [31mx y; do this");
        assert_eq!(e.exit_code(), 3);
        assert_eq!(Error::usage("a", "b").exit_code(), 2);
    }
}
