//! The object files mapped into this process, from `dl_iterate_phdr`.
//!
//! Takes the dynamic loader's lock: never called inside an allocation. Addresses are those of the running process.

use std::ops::Range;
use std::sync::Arc;

use super::region::Region;

/// An object file of this process.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// Path as the loader knows it; of the main program, the target of /proc/self/exe.
    pub(crate) path: String,
    /// Build id in lower-case hex, or empty.
    pub(crate) build_id: String,
    /// What the loader added to the addresses stated in the file.
    pub(crate) bias: u64,
    /// From the lowest to the highest loaded address.
    pub(crate) range: Range<u64>,
    /// The executable segments.
    pub(crate) code: Vec<Segment>,
    /// What the unwinder reads.
    pub(crate) unwind_tables: Option<UnwindTables>,
}

/// A loaded segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) range: Range<u64>,
    pub(crate) file_offset: u64,
}

/// `.eh_frame_hdr` and `.eh_frame`, at their addresses in the process.
#[derive(Clone, Debug)]
pub(crate) struct UnwindTables {
    pub(crate) header_at: u64,
    pub(crate) header: Bytes,
    pub(crate) frames_at: u64,
    pub(crate) frames: Bytes,
}

/// Bytes that stay readable as long as somebody holds them: in place for the main program, which is never unloaded;
/// copied for every other file, which may be.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    InPlace(&'static [u8]),
    Copied(Arc<Region<u8>>, usize),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::InPlace(&[])
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Copied(region, len) => region.get(..*len).unwrap_or_default(),
        }
    }
}

/// How often files were loaded and unloaded so far. Changes exactly when [`loaded`] would.
pub(crate) fn generation() -> (u64, u64) {
    let mut generation = (0u64, 0u64);
    each(&mut |info| {
        generation = (info.dlpi_adds, info.dlpi_subs);
        false
    });
    generation
}

/// All modules, the main program first. Tables of modules in `known` are shared instead of copied again.
/// `copy_budget_bytes` bounds what is copied; modules beyond it come without tables.
pub(crate) fn loaded(known: &[Module], copy_budget_bytes: usize) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    let mut budget = copy_budget_bytes;
    each(&mut |info| {
        let is_main = modules.is_empty();
        if let Some(module) = read_module(info, is_main, known, &mut budget) {
            modules.push(module);
        }
        true
    });
    modules
}

fn each(visit: &mut dyn FnMut(&libc::dl_phdr_info) -> bool) {
    unsafe extern "C" fn callback(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        data: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: `data` is the closure reference passed below, alive during the call; `info` is valid for it as well.
        let (visit, info) =
            unsafe { (&mut *data.cast::<&mut dyn FnMut(&libc::dl_phdr_info) -> bool>(), &*info) };
        i32::from(!visit(info))
    }
    let mut visit = visit;
    // SAFETY: the callback does not unwind: it reads headers and copies bytes.
    unsafe { libc::dl_iterate_phdr(Some(callback), (&raw mut visit).cast()) };
}

fn read_module(
    info: &libc::dl_phdr_info,
    is_main: bool,
    known: &[Module],
    budget: &mut usize,
) -> Option<Module> {
    if info.dlpi_phdr.is_null() {
        return None;
    }
    // SAFETY: the loader keeps `dlpi_phnum` program headers there while the module is loaded, and it cannot be unloaded
    // during the callback.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let bias = info.dlpi_addr;
    let at = |h: &libc::Elf64_Phdr| bias.wrapping_add(h.p_vaddr)..bias.wrapping_add(h.p_vaddr + h.p_memsz);
    let loads = || headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
    let range = loads().map(|h| at(h).start).min()?..loads().map(|h| at(h).end).max()?;
    let path = if is_main {
        std::fs::read_link("/proc/self/exe").map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
    } else if info.dlpi_name.is_null() {
        String::new()
    } else {
        // SAFETY: the loader's zero-terminated name of the module.
        unsafe { std::ffi::CStr::from_ptr(info.dlpi_name) }.to_string_lossy().into_owned()
    };
    let build_id = headers
        .iter()
        .filter(|h| h.p_type == libc::PT_NOTE)
        // SAFETY: a note segment lies inside a loaded segment, readable while the module is loaded.
        .find_map(|h| build_id(unsafe { memory(at(h), &range) }?))
        .unwrap_or_default();
    let code = loads()
        .filter(|h| h.p_flags & libc::PF_X != 0)
        .map(|h| Segment { range: at(h), file_offset: h.p_offset })
        .collect();
    let unwind_tables = known
        .iter()
        .find(|m| m.range == range && m.build_id == build_id && m.path == path)
        .map(|m| m.unwind_tables.clone())
        .unwrap_or_else(|| {
            let header = headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME).map(at)?;
            let loaded: Vec<_> = loads().map(at).collect();
            read_tables(header, &loaded, is_main, budget)
        });
    Some(Module { path, build_id, bias, range, code, unwind_tables })
}

/// The process's memory at `range`, if it lies inside `within`.
///
/// # Safety
/// `within` must be loaded and stay so while the result is used.
unsafe fn memory<'a>(range: Range<u64>, within: &Range<u64>) -> Option<&'a [u8]> {
    if range.start < within.start || range.end > within.end || range.start >= range.end {
        return None;
    }
    // SAFETY: by the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(range.start as *const u8, (range.end - range.start) as usize) })
}

fn build_id(notes: &[u8]) -> Option<String> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let word = |at: usize| Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?));
    let mut at = 0usize;
    loop {
        let (name_len, desc_len, kind) = (word(at)? as usize, word(at + 4)? as usize, word(at + 8)?);
        let name = notes.get(at + 12..(at + 12).checked_add(name_len)?)?;
        let desc_at = (at + 12 + name_len).next_multiple_of(4);
        let desc = notes.get(desc_at..desc_at.checked_add(desc_len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(desc.iter().map(|b| format!("{b:02x}")).collect());
        }
        at = (desc_at + desc_len).next_multiple_of(4);
    }
}

/// Finds `.eh_frame` through the pointer in `.eh_frame_hdr`; it runs at most to the end of its segment.
fn read_tables(
    header: Range<u64>,
    loaded: &[Range<u64>],
    is_main: bool,
    budget: &mut usize,
) -> Option<UnwindTables> {
    const VERSION: u8 = 1;
    const PCREL_SDATA4: u8 = 0x1b;
    let segment_of = |address: u64| loaded.iter().find(|s| s.contains(&address));
    // SAFETY: inside a segment of a module that the loader cannot unload during the callback.
    let header_bytes = unsafe { memory(header.clone(), segment_of(header.start)?) }?;
    if *header_bytes.first()? != VERSION || *header_bytes.get(1)? != PCREL_SDATA4 {
        return None;
    }
    let offset = i32::from_le_bytes(header_bytes.get(4..8)?.try_into().ok()?);
    let frames_at = (header.start + 4).wrapping_add_signed(i64::from(offset));
    let segment = segment_of(frames_at)?;
    // SAFETY: as above.
    let frames_bytes = unsafe { memory(frames_at..segment.end, segment) }?;
    let (header_bytes, frames_bytes) = if is_main {
        (Bytes::InPlace(header_bytes), Bytes::InPlace(frames_bytes))
    } else {
        let len = header_bytes.len() + frames_bytes.len();
        *budget = budget.checked_sub(len)?;
        (copy(header_bytes)?, copy(frames_bytes)?)
    };
    Some(UnwindTables { header_at: header.start, header: header_bytes, frames_at, frames: frames_bytes })
}

fn copy(bytes: &[u8]) -> Option<Bytes> {
    let mut region = Region::<u8>::reserve(bytes.len()).ok()?;
    region.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Bytes::Copied(Arc::new(region), bytes.len()))
}

impl Module {
    /// Bytes of unwind tables copied for this module.
    pub(crate) fn copied_bytes(&self) -> usize {
        let copied = |b: &Bytes| if let Bytes::Copied(_, len) = b { *len } else { 0 };
        self.unwind_tables.as_ref().map_or(0, |t| copied(&t.header) + copied(&t.frames))
    }

    /// The addresses of the function around `address`, from the table in `.eh_frame_hdr` (DWARF 5 6.4, LSB 10.6.2);
    /// it ends where the next one starts. Works without symbols.
    pub(crate) fn function_around(&self, address: u64) -> Option<Range<u64>> {
        const UDATA4: u8 = 0x03;
        const DATAREL_SDATA4: u8 = 0x3b;
        let tables = self.unwind_tables.as_ref()?;
        let header: &[u8] = &tables.header;
        if *header.get(2)? != UDATA4 || *header.get(3)? != DATAREL_SDATA4 {
            return None;
        }
        let count = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?) as usize;
        let start = |i: usize| {
            let at = 12 + i * 8;
            let offset = i32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?);
            Some(tables.header_at.wrapping_add_signed(i64::from(offset)))
        };
        let (mut low, mut high) = (0usize, count);
        while low < high {
            let middle = low.midpoint(high);
            if start(middle)? <= address { low = middle + 1 } else { high = middle }
        }
        let found = start(low.checked_sub(1)?)?;
        let segment = self.code.iter().find(|s| s.range.contains(&address))?;
        let end = if low < count { start(low)? } else { segment.range.end };
        Some(found..end.min(segment.range.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function() -> u64 {
        std::hint::black_box(41) + 1
    }

    #[test]
    fn sees_this_program_and_libc() {
        let modules = loaded(&[], 16 << 20);
        let main = &modules[0];
        assert_eq!(main.path, std::env::current_exe().unwrap().to_str().unwrap());
        let address = a_function as *const () as u64;
        assert!(main.code.iter().any(|s| s.range.contains(&address)));
        assert!(main.build_id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(main.unwind_tables.is_some());
        let function = main.function_around(address).unwrap();
        assert_eq!(function.start, address);
        assert!(function.end > address && function.end - address < 4096);
        let libc = modules.iter().find(|m| m.path.contains("libc.so")).expect("libc is loaded");
        assert!(libc.copied_bytes() > 0 && !libc.build_id.is_empty());
    }

    #[test]
    fn a_spent_budget_leaves_modules_without_tables() {
        let modules = loaded(&[], 0);
        assert!(modules[0].unwind_tables.is_some(), "in place, no copy");
        assert!(modules.iter().skip(1).all(|m| m.unwind_tables.is_none()));
    }

    #[test]
    fn build_id_notes() {
        let mut notes = vec![];
        for (kind, desc) in [(1u32, vec![1u8, 2, 3]), (3, vec![0xab, 0x0c])] {
            notes.extend(4u32.to_le_bytes());
            notes.extend((desc.len() as u32).to_le_bytes());
            notes.extend(kind.to_le_bytes());
            notes.extend(b"GNU\0");
            notes.extend(&desc);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_id(&notes).as_deref(), Some("ab0c"));
        for cut in 0..notes.len() - 4 {
            assert_eq!(build_id(&notes[..cut]), None, "cut at {cut}");
        }
    }
}
