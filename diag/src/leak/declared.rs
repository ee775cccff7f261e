//! What the service itself says of its memory.

use serde::{Deserialize, Serialize};

/// A cap or gauge that the service declared.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Declared {
    /// A part of the path of the function that allocates it, or free text.
    pub name: String,
    /// The most bytes it may hold.
    pub cap_bytes: Option<u64>,
    /// Entries now.
    pub len: Option<u64>,
    /// Entries it has room for, or may have.
    pub capacity: Option<u64>,
    /// Source file of the declaration.
    pub site_file: String,
    /// Its line.
    pub site_line: u32,
}

impl Declared {
    /// Whether it speaks of this function: the name is part of its path, case and underscores aside, or the function stands
    /// in the file of the declaration and the name is part of its type's or module's.
    pub(super) fn speaks_of(&self, function: &str) -> bool {
        let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
        let name = plain(&self.name);
        !name.is_empty() && plain(function).contains(&name)
    }
}
