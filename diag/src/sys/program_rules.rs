//! The unwind rules of the whole main program, in one sorted table: for signal handlers, which follow rules that are known and compile
//! none.
//!
//! The program is never unloaded and its tables never change, so neither does this one: it is made once, piece by piece, by the thread
//! that needs it, and never freed. Eight bytes a row. Source of the order of entries: Linux Standard Base 5.0, 10.6.2 (`.eh_frame_hdr`).

use std::time::{Duration, Instant};

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, UnwindSection, X86_64};

use super::cfi::{self, Rule, Scratch};
use super::modules::UnwindTables;

/// 4 MiB; of a larger program, the rules of what lies first.
const MOST_ROWS: usize = 1 << 19;
/// The clock is looked at after so many entries.
const ENTRIES_AT_ONCE: usize = 32;

/// See the module.
pub(crate) struct ProgramRules {
    base: u64,
    /// Ascending; each holds up to the next.
    rows: Box<[Row]>,
}

#[derive(Clone, Copy)]
struct Row {
    /// The first address, less `base`.
    from: u32,
    /// Packed; 0 where there is none.
    rule: u32,
}

impl ProgramRules {
    /// The rule at a look-up address. For handlers: reads memory that never changes.
    #[inline]
    pub(crate) fn get(&self, address: u64) -> Option<Rule> {
        let at = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let next = self.rows.partition_point(|row| row.from <= at);
        cfi::unpack(u64::from(self.rows.get(next.checked_sub(1)?)?.rule))
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        size_of_val(&*self.rows) as u64
    }
}

/// Makes a table, a piece at a time.
pub(crate) struct Making {
    tables: UnwindTables,
    scratch: Box<Scratch>,
    /// Of the next entry of `.eh_frame_hdr`, which lists them by address.
    next: usize,
    /// Where the code of the last one ended.
    end: u64,
    table: Growing,
}

/// Rows so far.
struct Growing {
    base: u64,
    /// Has room for `most` from the start, of which pages become resident as they are used: growing would hold two copies for a moment.
    rows: Vec<Row>,
    most: usize,
}

impl Making {
    /// Of a module that begins at `base`.
    pub(crate) fn new(tables: UnwindTables, base: u64) -> Self {
        let table = Growing { base, rows: Vec::with_capacity(MOST_ROWS), most: MOST_ROWS };
        Self { tables, scratch: Box::default(), next: 0, end: base, table }
    }

    /// Goes on for about so long. Says whether there is more to be made.
    pub(crate) fn go_on(&mut self, time: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < time {
            for _ in 0..ENTRIES_AT_ONCE {
                if self.table.rows.len() >= self.table.most || self.entry().is_none() {
                    return false;
                }
            }
        }
        true
    }

    /// The table of what was made. Where a damaged entry ended it, what comes after has no rules here.
    pub(crate) fn finish(mut self) -> ProgramRules {
        self.table.push(self.end, 0);
        ProgramRules { base: self.table.base, rows: self.table.rows.into_boxed_slice() }
    }

    /// Takes over the next entry. `None` at the end.
    fn entry(&mut self) -> Option<()> {
        let tables = self.tables.clone();
        let bases =
            BaseAddresses::default().set_eh_frame_hdr(tables.header_at).set_eh_frame(tables.frames_at);
        let header = EhFrameHdr::new(&tables.header, LittleEndian).parse(&bases, 8).ok()?;
        let frames: EhFrame<EndianSlice<'_, LittleEndian>> = EhFrame::new(&tables.frames, LittleEndian);
        let table = header.table()?;
        let (_, pointer) = table.iter(&bases).nth(self.next).ok()??;
        let offset = table.pointer_to_offset(pointer).ok()?;
        let fde = frames.fde_from_offset(&bases, offset, EhFrame::cie_from_offset).ok()?;
        self.next += 1;
        let start = fde.initial_address();
        if start < self.end {
            // The same code once more.
            return Some(());
        }
        self.table.push(self.end, 0);
        self.end = fde.end_address();
        if fde.cie().return_address_register() != X86_64::RA {
            return Some(());
        }
        let mut known_to = start;
        if let Ok(mut rows) = fde.rows(&frames, &bases, &mut self.scratch) {
            while let Ok(Some(row)) = rows.next_row() {
                let rule = cfi::rule_of(row).map_or(0, cfi::pack);
                known_to = row.end_address();
                self.table.push(row.start_address(), rule as u32);
            }
        }
        self.table.push(known_to, 0);
        Some(())
    }
}

impl Growing {
    /// From this address on. One below the last is not taken: only damaged tables have any.
    fn push(&mut self, address: u64, rule: u32) {
        let Some(from) = address.checked_sub(self.base).and_then(|from| u32::try_from(from).ok()) else {
            return;
        };
        if self.rows.len() >= self.most {
            return;
        }
        // The last one says where the table ends.
        let has_room = self.rows.len() + 1 < self.most;
        match self.rows.last_mut() {
            Some(last) if last.from == from => last.rule = rule,
            Some(last) if last.rule == rule || last.from > from => {}
            _ => self.rows.push(Row { from, rule: if has_room { rule } else { 0 } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::modules::{self, Bytes};

    fn program() -> (UnwindTables, std::ops::Range<u64>) {
        let modules = modules::loaded(&[], 0);
        let of = |m: modules::Module| Some((m.unwind_tables?, m.range));
        modules.into_iter().filter_map(of).find(|(t, _)| matches!(t.frames, Bytes::InPlace(_))).unwrap()
    }

    #[test]
    fn the_rule_of_each_address_is_that_of_a_single_look_up() {
        let (tables, range) = program();
        let mut making = Making::new(tables.clone(), range.start);
        let mut pieces = 1;
        while making.go_on(Duration::from_micros(100)) {
            pieces += 1;
        }
        let rules = making.finish();
        let mut scratch = Scratch::default();
        // A prime number of bytes apart, and both sides of each row's beginning.
        let spread = (range.start..range.end).step_by(97);
        let edges = rules.rows.iter().step_by(7).flat_map(|row| {
            let at = range.start + u64::from(row.from);
            [at.saturating_sub(1), at]
        });
        let (mut known, mut all) = (0, 0);
        for address in spread.chain(edges) {
            let single = cfi::compile(&tables, address, &mut scratch).map(|(rule, _)| rule);
            assert_eq!(rules.get(address), single, "{address:#x}");
            known += usize::from(single.is_some());
            all += 1;
        }
        println!("{} rows in {pieces} pieces, {known} of {all} addresses", rules.rows.len());
        assert!(known > all / 4, "{known} of {all}");
        assert_eq!((rules.get(0), rules.get(range.end), rules.get(u64::MAX)), (None, None, None));
    }

    #[test]
    fn a_table_that_is_full_ends_and_stays_as_large() {
        const MOST: usize = 1000;
        let (tables, range) = program();
        let mut making = Making::new(tables.clone(), range.start);
        making.table.most = MOST;
        while making.go_on(Duration::from_millis(10)) {}
        let rules = making.finish();
        assert_eq!((rules.rows.len(), rules.memory_bytes()), (MOST, 8 * MOST as u64));
        let end = range.start + u64::from(rules.rows[MOST - 1].from);
        let mut scratch = Scratch::default();
        for address in (range.start..end).step_by(13) {
            assert_eq!(
                rules.get(address),
                cfi::compile(&tables, address, &mut scratch).map(|(rule, _)| rule)
            );
        }
        assert!((end..range.end).step_by(997).all(|address| rules.get(address).is_none()));
    }

    #[test]
    fn what_is_cut_off_has_no_rules() {
        let (tables, range) = program();
        let Bytes::InPlace(frames) = tables.frames else { panic!("in place") };
        let half = UnwindTables { frames: Bytes::InPlace(&frames[..frames.len() / 2]), ..tables };
        let mut making = Making::new(half.clone(), range.start);
        while making.go_on(Duration::from_millis(10)) {}
        let rules = making.finish();
        let mut scratch = Scratch::default();
        for address in (range.start..range.end).step_by(997) {
            if let Some(rule) = rules.get(address) {
                assert_eq!(Some(rule), cfi::compile(&half, address, &mut scratch).map(|(rule, _)| rule));
            }
        }
    }
}
