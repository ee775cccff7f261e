//! The profile model, its codecs and its operations. Pure: no clock, no IO, no globals.
//!
//! [`Profile`] is the one type in the middle. Collectors and parsers make one through [`ProfileBuilder`]; everything
//! else borrows it. Conventions of order, units and addresses are stated once, in the documentation of [`Profile`]'s
//! module file `model.rs`.

mod builder;
pub mod cohorts;
mod copy;
pub mod detect;
pub mod diff;
mod error;
pub mod estimate;
mod filter;
pub mod firefox;
pub mod folded;
pub mod frames;
mod gzip;
pub mod heap_v2;
mod ids;
pub(crate) mod intern;
mod keys;
mod merge;
mod model;
mod pattern;
pub mod pprof;
#[cfg(test)]
mod properties;
mod regroup;
pub mod sampling;
mod select;
pub mod slabs;
pub mod speedscope;
pub mod symbolize;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
pub mod tree;
pub mod units;

pub use builder::ProfileBuilder;
pub use error::{GzipFault, PprofFault, ProfileError};
pub use filter::{Filter, LabelMatch};
pub use ids::{FunctionId, LabelSetId, LocationId, MappingId, StackId, StrId};
pub use keys::Grouping;
pub use merge::{delta, merge};
pub use model::{
    Function, Label, LabelValue, Line, Location, Loss, Mapping, MappingSymbols, Meta, Period, Profile,
    Sample, ValueType,
};
pub use pattern::Pattern;
pub use regroup::regroup;
