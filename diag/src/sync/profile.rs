//! From the tables to a [`Profile`]: `contentions/count` and `delay/nanoseconds`, a row for each stack and context.

use std::ops::Range;

use super::record::{self, Kind, Tables};
use super::switch;
use crate::code::add_mappings;
use crate::context::ContextLabels;
use crate::profile::{
    Function, Line, LocationId, Loss, MappingId, Period, Profile, ProfileBuilder, ProfileError, StackId,
    StrId, ValueType,
};
use crate::sites::Sites;
use crate::sys::clock;

/// In place of a stack that found no place.
const NO_ROOM: &str = "[stack dropped: table full]";

pub(super) fn build(kind: Kind) -> Result<Profile, ProfileError> {
    let types = vec![ValueType::new("contentions", "count"), ValueType::new("delay", "nanoseconds")];
    let mut builder = ProfileBuilder::new(types);
    if let Some(tables) = record::tables() {
        builder = rows(builder, tables, kind);
    }
    let meta = builder.meta_mut();
    meta.default_sample_type = Some(1);
    meta.time_unix_ns = i64::try_from(clock::unix_ns()).ok();
    meta.period = period(kind);
    meta.comments.push(comment(kind));
    meta.losses = record::losses().into_iter().map(|(what, count)| Loss { what, count }).collect();
    builder.finish()
}

fn period(kind: Kind) -> Option<Period> {
    let (value_type, value) = match kind {
        Kind::Mutex => (ValueType::new("contentions", "count"), u64::from(switch::mutex_profile_fraction())),
        Kind::Block => (ValueType::new("delay", "nanoseconds"), switch::block_profile_rate()),
    };
    (value > 0).then(|| Period { value_type, value: i64::try_from(value).unwrap_or(i64::MAX) })
}

fn comment(kind: Kind) -> String {
    match kind {
        Kind::Mutex => match switch::mutex_profile_fraction() {
            0 => "mutex_profile=off: DIAG_MUTEX_FRACTION=10, Builder::mutex_profile_fraction(10) or \
                  diag::sync::set_mutex_profile_fraction(10) switches it on; it sees the locks of diag::sync"
                .to_owned(),
            fraction => format!("mutex_profile=on: one in {fraction} contentions of the locks of diag::sync"),
        },
        Kind::Block => match switch::block_profile_rate() {
            0 => "block_profile=off: DIAG_BLOCK_RATE_NS=1000000, Builder::block_profile_rate_ns(1000000) or \
                  diag::sync::set_block_profile_rate(1000000) switches it on; it sees the locks of diag::sync"
                .to_owned(),
            rate => format!("block_profile=on: one sample a {rate} ns waited for the locks of diag::sync"),
        },
    }
}

fn rows(builder: ProfileBuilder, tables: &Tables, kind: Kind) -> ProfileBuilder {
    tables.code.refresh();
    let sites = tables.of(kind);
    // Ahead of the contexts: every site here has a known one.
    let count = sites.len() as u32;
    let mut rows = Rows::new(builder, tables, sites);
    let mut contexts = ContextLabels::new(&mut rows.builder);
    for position in 0..count {
        let Some(site) = sites.get(position).filter(|site| site.samples > 0) else { continue };
        let stack = if position == Sites::OVERFLOW { rows.no_room() } else { rows.stack(site.stack) };
        let labels = contexts.of(&mut rows.builder, u32::try_from(site.variant).unwrap_or(0)).to_vec();
        let labels = rows.builder.labels(&labels);
        let values = [site.total.count, site.total.amount].map(|v| v.round() as i64);
        rows.builder.sample(stack, labels, &values);
    }
    rows.builder
}

struct Rows<'a> {
    builder: ProfileBuilder,
    sites: &'a Sites,
    mappings: Vec<(Range<u64>, MappingId)>,
    /// By frame of the table.
    locations: Vec<Option<LocationId>>,
}

impl<'a> Rows<'a> {
    fn new(mut builder: ProfileBuilder, tables: &Tables, sites: &'a Sites) -> Self {
        let mut mappings = Vec::new();
        for module in &tables.code.modules().list {
            add_mappings(&mut builder, module, &mut mappings);
        }
        Self { builder, sites, mappings, locations: vec![None; sites.frame_count()] }
    }

    fn stack(&mut self, position: u32) -> StackId {
        let sites = self.sites;
        let locations: Vec<LocationId> = sites.stack(position).map(|frame| self.location(frame)).collect();
        self.builder.stack(&locations)
    }

    fn location(&mut self, frame: u32) -> LocationId {
        if let Some(Some(known)) = self.locations.get(frame as usize) {
            return *known;
        }
        let address = self.sites.frame_address(frame);
        let mapping = self.mappings.iter().find(|(range, _)| range.contains(&address)).map(|(_, id)| *id);
        let location = self.builder.location(mapping, address, &[]);
        if let Some(place) = self.locations.get_mut(frame as usize) {
            *place = Some(location);
        }
        location
    }

    fn no_room(&mut self) -> StackId {
        let name = self.builder.str(NO_ROOM);
        let words = Function { name, system_name: StrId::EMPTY, file: StrId::EMPTY, start_line: 0 };
        let function = self.builder.function(words);
        let location = self.builder.location(None, 0, &[Line { function, line: 0 }]);
        self.builder.stack(&[location])
    }
}
