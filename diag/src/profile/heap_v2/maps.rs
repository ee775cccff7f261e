//! The mappings at the end of a dump: `/proc/self/maps`, or the shorter lines of gperftools.
//!
//! Only executable ones are kept, since only code is looked up. Neighbours that are one piece of one file (the kernel
//! splits a segment where its protection or its huge pages change) become one mapping, and a resolver finds the offset
//! in the file of any address as `address - start + file_offset`. The program itself comes first.

use crate::profile::builder::ProfileBuilder;
use crate::profile::ids::{MappingId, StrId};
use crate::profile::model::{Mapping, MappingSymbols};

/// Executable mappings: the main binary, then in the order of addresses.
pub(super) struct Maps {
    /// In the order in which they are interned.
    segments: Vec<Segment>,
    /// Start, end and index of each, by address.
    by_address: Vec<(u64, u64, usize)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Segment {
    start: u64,
    limit: u64,
    file_offset: u64,
    file: String,
}

impl Maps {
    pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        for segment in lines.filter_map(parse_line) {
            match segments.last_mut() {
                Some(last) if last.continues_in(&segment) => last.limit = segment.limit,
                _ => segments.push(segment),
            }
        }
        // The kernel maps the program below its libraries, also at random addresses.
        if let Some(main) = segments.iter().position(|s| s.is_file() && !s.is_library())
            && let Some(first) = segments.get_mut(..=main)
        {
            first.rotate_right(1);
        }
        let mut by_address: Vec<_> = segments.iter().zip(0..).map(|(s, i)| (s.start, s.limit, i)).collect();
        by_address.sort_unstable();
        Self { segments, by_address }
    }

    /// The index of the mapping that holds `address`.
    pub(super) fn find(&self, address: u64) -> Option<usize> {
        let after = self.by_address.partition_point(|&(start, ..)| start <= address);
        let &(_, limit, index) = self.by_address.get(after.checked_sub(1)?)?;
        (address < limit).then_some(index)
    }

    /// Adds all to a profile; the ids by index.
    pub(super) fn intern(&self, builder: &mut ProfileBuilder) -> Vec<MappingId> {
        let mut ids = Vec::with_capacity(self.segments.len());
        for s in &self.segments {
            let file = builder.str(&s.file);
            let symbols = MappingSymbols::default();
            let (start, limit, file_offset) = (s.start, s.limit, s.file_offset);
            let build_id = StrId::EMPTY;
            ids.push(builder.mapping(Mapping { start, limit, file_offset, file, build_id, symbols }));
        }
        ids
    }
}

impl Segment {
    fn continues_in(&self, next: &Segment) -> bool {
        self.limit == next.start
            && self.file == next.file
            && self.start.wrapping_sub(self.file_offset) == next.start.wrapping_sub(next.file_offset)
    }

    /// Not `[vdso]`.
    fn is_file(&self) -> bool {
        !self.file.starts_with('[')
    }

    fn is_library(&self) -> bool {
        let name = self.file.rsplit('/').next().unwrap_or(&self.file);
        name.ends_with(".so") || name.contains(".so.")
    }
}

/// `55d0-55e0 r-xp 00001000 08:01 42   /path with blanks`, or `55d0-55e0: /path`; `None` for all that is not
/// executable or has no name.
fn parse_line(line: &str) -> Option<Segment> {
    let (range, rest) = line.split_once([' ', ':'])?;
    let (start, limit) = range.split_once('-')?;
    let (start, limit) = (hex(start)?, hex(limit)?);
    let rest = rest.trim_start();
    let (file_offset, path) = if rest.starts_with(['/', '[']) {
        (0, rest)
    } else {
        let mut rest = rest;
        let mut field = || {
            let (field, tail) = rest.split_once(' ')?;
            rest = tail.trim_start();
            Some(field)
        };
        let permissions = field()?;
        let offset = hex(field()?)?;
        let (_device, _inode) = (field()?, field()?);
        if permissions.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        (offset, rest)
    };
    (start < limit && !path.is_empty()).then(|| Segment {
        start,
        limit,
        file_offset,
        file: path.replace("\\012", "\n"),
    })
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<(u64, u64, u64, String)> {
        let maps = Maps::parse(text.lines());
        maps.segments.into_iter().map(|s| (s.start, s.limit, s.file_offset, s.file)).collect()
    }

    #[test]
    fn only_executable_files_are_kept_and_the_program_comes_first() {
        let found = parse(
            "555000-556000 r--p 00000000 08:01 42      /usr/bin/my service\n\
             556000-558000 r-xp 00001000 08:01 42      /usr/bin/my service\n\
             7f0000-7f1000 r-xp 00026000 08:01 43      /lib/libc.so.6\n\
             7f1000-7f2000 r-xp 00000000 00:00 0 \n\
             7f3000-7f4000 r-xp 00000000 00:00 0       [vdso]\n",
        );
        assert_eq!(
            found,
            [
                (0x556000, 0x558000, 0x1000, "/usr/bin/my service".to_owned()),
                (0x7f0000, 0x7f1000, 0x26000, "/lib/libc.so.6".to_owned()),
                (0x7f3000, 0x7f4000, 0, "[vdso]".to_owned()),
            ]
        );
    }

    #[test]
    fn a_program_above_its_libraries_still_comes_first() {
        let found = parse("1000-2000 r-xp 0 08:01 1 /lib/a.so\n3000-4000 r-xp 0 08:01 2 /bin/main\n");
        assert_eq!(found.iter().map(|s| s.3.as_str()).collect::<Vec<_>>(), ["/bin/main", "/lib/a.so"]);
    }

    #[test]
    fn pieces_of_a_segment_are_joined_and_segments_are_not() {
        let found = parse(
            "1000-2000 r-xp 00001000 08:01 1 /bin/main\n\
             2000-3000 rwxp 00002000 08:01 1 /bin/main\n\
             3000-4000 r-xp 00008000 08:01 1 /bin/main\n\
             5000-6000 r-xp 0000a000 08:01 1 /bin/main\n",
        );
        let main = || "/bin/main".to_owned();
        assert_eq!(
            found,
            [
                (0x1000, 0x3000, 0x1000, main()),
                (0x3000, 0x4000, 0x8000, main()),
                (0x5000, 0x6000, 0xa000, main())
            ]
        );
    }

    #[test]
    fn addresses_find_their_mapping() {
        let maps = Maps::parse("3000-4000 r-xp 0 08:01 1 /lib/b.so\n1000-2000: /bin/main\n".lines());
        let file = |address| maps.find(address).map(|i| maps.segments[i].file.as_str());
        assert_eq!(file(0xfff), None);
        assert_eq!(file(0x1000), Some("/bin/main"));
        assert_eq!(file(0x1fff), Some("/bin/main"));
        assert_eq!(file(0x2000), None);
        assert_eq!(file(0x3000), Some("/lib/b.so"));
        assert_eq!(file(u64::MAX), None);
    }

    #[test]
    fn other_lines_are_skipped() {
        let text = "build=/x\nzz-yy r-xp 0 0 0 /a\n4000-3000 r-xp 0 0:0 1 /a\n\n1000-2000 r-xp\n-";
        assert!(parse(text).is_empty());
    }
}
