//! Object files: opening them without risk, and what they say about themselves.
//!
//! Only regular files are opened (a FIFO would block, a device might act). How the bytes are reached is [`Access`].

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use object::read::{ReadCache, ReadRef};
use object::{Object, ObjectSection, ObjectSegment};

use crate::sys::mapped_file::MappedFile;

/// A parsed ELF file.
pub(super) type Elf<'d> = object::File<'d, &'d Data>;

/// How the bytes of a file are reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Mapped: nothing is copied. Truncation by others while it is used kills the process.
    Map,
    /// Read: what is looked at is copied to the heap. Safe whatever others do to the file.
    Read,
}

/// An open object file.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) path: PathBuf,
    data: Data,
}

/// The bytes of a file, for the parser.
#[derive(Debug)]
pub(super) enum Data {
    Mapped(MappedFile),
    Read(ReadCache<File>),
}

impl<'d> ReadRef<'d> for &'d Data {
    fn len(self) -> Result<u64, ()> {
        match self {
            Data::Mapped(map) => Ok(map.bytes().len() as u64),
            Data::Read(cache) => cache.len(),
        }
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'d [u8], ()> {
        match self {
            Data::Mapped(map) => map.bytes().read_bytes_at(offset, size),
            Data::Read(cache) => cache.read_bytes_at(offset, size),
        }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'d [u8], ()> {
        match self {
            Data::Mapped(map) => map.bytes().read_bytes_at_until(range, delimiter),
            Data::Read(cache) => cache.read_bytes_at_until(range, delimiter),
        }
    }
}

/// Opens a regular file for reading; never blocks.
pub(super) fn open_regular(path: &Path) -> Result<File, String> {
    let not_regular = || "not a regular file".to_owned();
    let said = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => e.to_string(),
    };
    if !std::fs::metadata(path).map_err(said)?.is_file() {
        return Err(not_regular());
    }
    // The file may have been replaced since: open without waiting for a writer, and look again.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(said)?;
    if !file.metadata().map_err(said)?.is_file() {
        return Err(not_regular());
    }
    Ok(file)
}

impl Image {
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, String> {
        let file = open_regular(path)?;
        if file.metadata().map_or(0, |m| m.size()) == 0 {
            return Err("empty file".into());
        }
        let data = match access {
            Access::Map => {
                Data::Mapped(MappedFile::new(&file).map_err(|e| format!("cannot be mapped: {e}"))?)
            }
            Access::Read => Data::Read(ReadCache::new(file)),
        };
        Ok(Self { path: path.to_owned(), data })
    }

    pub(super) fn elf(&self) -> Result<Elf<'_>, String> {
        object::File::parse(&self.data).map_err(|e| format!("not a readable ELF file: {e}"))
    }

    /// Takes what was looked at out of resident memory, if it is mapped.
    pub(super) fn give_back(&self) {
        if let Data::Mapped(map) = &self.data {
            map.give_back();
        }
    }

    pub(super) fn access(&self) -> Access {
        match self.data {
            Data::Mapped(_) => Access::Map,
            Data::Read(_) => Access::Read,
        }
    }

    /// Bytes on the heap that using a section costs: none if it is mapped and not compressed, or beyond the file's end, where nothing is
    /// read.
    pub(super) fn section_cost(&self, elf: &Elf<'_>, name: &str) -> u64 {
        let range = elf.section_by_name(name).and_then(|s| s.compressed_file_range().ok());
        let within = |end: u64| (&self.data).len().is_ok_and(|length| end <= length);
        let is_whole =
            |r: &object::CompressedFileRange| r.offset.checked_add(r.compressed_size).is_some_and(within);
        let Some(range) = range.filter(is_whole) else { return 0 };
        let is_compressed = range.format != object::CompressionFormat::None;
        let unpacked = if is_compressed { range.uncompressed_size } else { 0 };
        let read = if self.access() == Access::Read { range.compressed_size } else { 0 };
        unpacked.saturating_add(read)
    }
}

/// Build id in lower-case hex, or empty.
pub(super) fn build_id(elf: &Elf<'_>) -> String {
    elf.build_id().ok().flatten().map(hex).unwrap_or_default()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether there is DWARF with functions and lines, be it in a separate part (`.dwo`).
pub(super) fn has_dwarf(elf: &Elf<'_>) -> bool {
    section_size(elf, ".debug_info") > 0
}

/// Size in memory of a section: uncompressed.
pub(super) fn section_size(elf: &Elf<'_>, name: &str) -> u64 {
    let Some(section) = elf.section_by_name(name) else { return 0 };
    match section.compressed_file_range() {
        Ok(range) => range.uncompressed_size,
        Err(_) => 0,
    }
}

/// A section, uncompressed; empty when there is none or it is damaged.
pub(super) fn section<'d>(elf: &Elf<'d>, name: &str) -> Cow<'d, [u8]> {
    // A section header may claim any size, a compressed section any expansion: both are bounded before by the caller's
    // budget, which asks section_cost.
    elf.section_by_name(name).and_then(|s| s.uncompressed_data().ok()).unwrap_or_default()
}

/// Where the parts of a file go in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    loads: Vec<Load>,
}

#[derive(Clone, Copy, Debug)]
struct Load {
    address: u64,
    size: u64,
    offset: u64,
    file_size: u64,
    is_code: bool,
}

impl Layout {
    pub(super) fn of(elf: &Elf<'_>) -> Self {
        let loads = elf.segments().map(|s| {
            let (offset, file_size) = s.file_range();
            let is_code =
                matches!(s.flags(), object::SegmentFlags::Elf { p_flags, .. } if p_flags.contains(object::elf::PF_X));
            Load { address: s.address(), size: s.size(), offset, file_size, is_code }
        });
        Self { loads: loads.collect() }
    }

    /// The address, as stated in the file, of the byte at `offset` of the file. Code first: the last page of a segment
    /// may show the beginning of the next.
    pub(super) fn address_of(&self, offset: u64) -> Option<u64> {
        let holds = |l: &&Load| offset.checked_sub(l.offset).is_some_and(|o| o < l.file_size);
        let load =
            self.loads.iter().filter(|l| l.is_code).find(holds).or_else(|| self.loads.iter().find(holds))?;
        load.address.checked_add(offset - load.offset)
    }

    /// The same from a file that holds debug information only, whose offsets mean nothing: by the one code segment that
    /// has the size of the mapping.
    pub(super) fn address_by_mapping(&self, offset: u64, map_offset: u64, map_size: u64) -> Option<u64> {
        const PAGE: u64 = 4096;
        let within = offset.checked_sub(map_offset)?;
        let starts_in_page = |l: &Load| l.address % PAGE;
        let mut fitting = self.loads.iter().filter(|l| {
            l.is_code
                && (map_size == l.size
                    || map_size == (l.size + starts_in_page(l)).next_multiple_of(PAGE)
                    || map_size == 0)
        });
        let load = fitting.next()?;
        if fitting.next().is_some() {
            return None;
        }
        // A mapping begins either at the segment or at the page it is in.
        let from_page = if map_offset.is_multiple_of(PAGE) { starts_in_page(load) } else { 0 };
        (load.address - from_page).checked_add(within)
    }
}

/// CRC-32 of a whole file, as `.gnu_debuglink` states it.
pub(super) fn crc32(path: &Path) -> Result<u32, String> {
    let mut file = open_regular(path)?;
    let mut crc = flate2::Crc::new();
    let mut buffer = vec![0u8; 64 << 10];
    file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(crc.sum()),
            Ok(n) => crc.update(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.to_string()),
        }
    }
}
