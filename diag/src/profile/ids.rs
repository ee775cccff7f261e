//! Typed indices into a profile's tables. An id is only meaningful for the profile that gave it.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(u32);

        impl $name {
            /// The position in the table, from 0.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The id of the entry at `index`. Tables hold at most `u32::MAX` entries; the builder checks that.
            #[inline]
            pub(crate) fn from_index(index: usize) -> Self {
                Self(index as u32)
            }
        }
    };
}

id!(
    /// A string of the profile.
    StrId
);
id!(
    /// A mapped object file.
    MappingId
);
id!(
    /// A function.
    FunctionId
);
id!(
    /// A code address, or a place in the source when the address is not known.
    LocationId
);
id!(
    /// A call stack.
    StackId
);
id!(
    /// A set of labels.
    LabelSetId
);

impl StrId {
    /// The empty string, in every profile.
    pub const EMPTY: StrId = StrId(0);
}

impl LabelSetId {
    /// The empty set, in every profile.
    pub const EMPTY: LabelSetId = LabelSetId(0);
}

impl StackId {
    /// The stack without frames, in every profile.
    pub const EMPTY: StackId = StackId(0);
}
