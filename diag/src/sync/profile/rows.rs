//! A row for each stack and context in a table.

use std::ops::Range;

use crate::code::add_mappings;
use crate::context::ContextLabels;
use crate::profile::{Function, Line, LocationId, MappingId, ProfileBuilder, StackId, StrId};
use crate::sites::Sites;
use crate::sync::record::{Kind, Tables};

/// In place of a stack that found no place.
const NO_ROOM: &str = "[stack dropped: table full]";

pub(super) fn add(builder: ProfileBuilder, tables: &Tables, kind: Kind) -> ProfileBuilder {
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
