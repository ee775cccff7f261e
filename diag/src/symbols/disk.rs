//! Resolved addresses kept on disk, one file a build id, so that a file of 100 MB is not read again for each profile.
//!
//! Only answers from debug information are kept: what a symbol table says is quickly read again, and may be improved by
//! a debug file that turns up later. Files are written whole or not at all, and checked when read; a damaged one, or one
//! of another version, counts as absent and is written anew. The directory is bounded: the files unused for longest go.
//!
//! Layout, little-endian: magic and version; length and text of the build id; number of texts, rows, spans and bytes of
//! text; ends of the texts (u32); text; rows (5 u32); spans (u64 offset, u32 first row, u32 rows), ascending; CRC-32.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::image::open_regular;
use super::table::Table;
use crate::profile::symbolize::Frame;

/// The answers depend on the demanglers, so the version of this crate is part of it.
const MAGIC: &[u8] = concat!("diag.names/1 ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
const SUFFIX: &str = "names";
/// Largest file read or written.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The cache file of a build id. `None` when it is not fit for a file name.
pub(super) fn path_of(dir: &Path, build_id: &str) -> Option<PathBuf> {
    let fit = (4..=128).contains(&build_id.len()) && build_id.bytes().all(|b| b.is_ascii_hexdigit());
    fit.then(|| dir.join(build_id).with_extension(SUFFIX))
}

/// What is kept; empty when there is nothing, or nothing usable.
pub(super) fn load(path: &Path, build_id: &str) -> Table<u64> {
    read(path).and_then(|bytes| decode(&bytes, build_id)).unwrap_or_else(Table::new)
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = open_regular(path).ok()?;
    if file.metadata().ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    // Used now: the last to be removed.
    let _ = file.set_modified(SystemTime::now());
    let mut bytes = Vec::new();
    (&mut file).take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes a file whole or not at all, then removes the oldest files until the directory holds at most `max_bytes`.
pub(super) fn save(path: &Path, build_id: &str, table: &Table<u64>, max_bytes: u64) -> std::io::Result<()> {
    let bytes = encode(table, build_id);
    if bytes.len() as u64 > MAX_FILE_BYTES.min(max_bytes) {
        return Err(std::io::Error::other(format!("{} MiB are too many to keep", bytes.len() >> 20)));
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&unfinished).and_then(|mut file| file.write_all(&bytes));
    if let Err(e) = written.and_then(|()| fs::rename(&unfinished, path)) {
        let _ = fs::remove_file(&unfinished);
        return Err(e);
    }
    trim(dir, path, max_bytes);
    Ok(())
}

/// Removes the oldest files, but not `keep`.
fn trim(dir: &Path, keep: &Path, max_bytes: u64) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == SUFFIX))
        .filter_map(|e| e.metadata().ok().map(|m| (m.modified().ok(), m.len(), e.path())))
        .filter_map(|(time, size, path)| Some((time?, size, path)))
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|f| f.1).sum();
    for (_, size, path) in files.iter().filter(|f| f.2 != keep) {
        if total <= max_bytes {
            break;
        }
        if fs::remove_file(path).is_ok() {
            total -= size;
        }
    }
}

fn encode(table: &Table<u64>, build_id: &str) -> Vec<u8> {
    let mut copy = Parts::default();
    let mut offsets: Vec<u64> = table.keys().collect();
    offsets.sort_unstable();
    let mut texts = hashbrown::HashMap::new();
    for offset in offsets {
        let first = copy.rows.len() as u32 / 5;
        for frame in table.get(offset).into_iter().flatten() {
            for text in [frame.name, frame.system_name, frame.file] {
                let next = texts.len() as u32;
                let id = *texts.entry(text).or_insert(next);
                if id == next {
                    copy.text.push_str(text);
                    copy.ends.push(copy.text.len() as u32);
                }
                copy.rows.push(id);
            }
            copy.rows.extend([frame.line, frame.start_line]);
        }
        copy.spans.push((offset, first, copy.rows.len() as u32 / 5 - first));
    }
    let mut out = MAGIC.to_vec();
    let number = |out: &mut Vec<u8>, n: usize| out.extend((n as u32).to_le_bytes());
    number(&mut out, build_id.len());
    out.extend(build_id.as_bytes());
    for count in [copy.ends.len(), copy.rows.len() / 5, copy.spans.len(), copy.text.len()] {
        number(&mut out, count);
    }
    out.extend(copy.ends.iter().flat_map(|n| n.to_le_bytes()));
    out.extend(copy.text.as_bytes());
    out.extend(copy.rows.iter().flat_map(|n| n.to_le_bytes()));
    for (offset, first, count) in &copy.spans {
        out.extend(offset.to_le_bytes());
        out.extend(first.to_le_bytes());
        out.extend(count.to_le_bytes());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&out);
    out.extend(crc.sum().to_le_bytes());
    out
}

#[derive(Default)]
struct Parts {
    ends: Vec<u32>,
    text: String,
    rows: Vec<u32>,
    spans: Vec<(u64, u32, u32)>,
}

/// `None` for everything that is not exactly what [`encode`] writes for this build id.
fn decode(bytes: &[u8], build_id: &str) -> Option<Table<u64>> {
    let (body, crc_stated) = bytes.split_last_chunk::<4>()?;
    let mut crc = flate2::Crc::new();
    crc.update(body);
    if crc.sum() != u32::from_le_bytes(*crc_stated) {
        return None;
    }
    let mut rest = Rest(body.strip_prefix(MAGIC)?);
    let id_len = rest.number()?;
    if rest.bytes(id_len)? != build_id.as_bytes() {
        return None;
    }
    let (texts, rows, spans, text) = (rest.number()?, rest.number()?, rest.number()?, rest.number()?);
    let ends = rest.numbers(texts)?;
    let text = std::str::from_utf8(rest.bytes(text)?).ok()?;
    let rows = rest.numbers(rows.checked_mul(5)?)?;
    let mut strings = Vec::with_capacity(ends.len());
    let mut from = 0usize;
    for end in ends {
        strings.push(text.get(from..end as usize)?);
        from = end as usize;
    }
    let string = |id: &u32| strings.get(*id as usize).copied();
    let mut table = Table::new();
    for _ in 0..spans {
        let offset = u64::from_le_bytes(rest.bytes(8)?.try_into().ok()?);
        let (first, count) = (rest.number()?, rest.number()?);
        let rows = rows.get(first.checked_mul(5)?..first.checked_add(count)?.checked_mul(5)?)?;
        let mut frames = Vec::with_capacity(count);
        for row in rows.chunks_exact(5) {
            let [name, system_name, file, line, start_line] = row else { return None };
            let (name, system_name, file) = (string(name)?, string(system_name)?, string(file)?);
            frames.push(Frame { name, system_name, file, line: *line, start_line: *start_line });
        }
        table.insert(offset, frames.into_iter());
    }
    rest.0.is_empty().then_some(table)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?) as usize)
    }

    fn numbers(&mut self, count: usize) -> Option<Vec<u32>> {
        let (words, _) = self.bytes(count.checked_mul(4)?)?.as_chunks::<4>();
        Some(words.iter().map(|w| u32::from_le_bytes(*w)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef";

    fn table(from: u64, to: u64) -> Table<u64> {
        let mut table = Table::new();
        for offset in from..to {
            let name = format!("shop::function_{}", offset % 97);
            let outer = Frame { name: "main", file: "src/main.rs", line: 3, ..Frame::default() };
            let inner =
                Frame { name: &name, system_name: "_R", file: "", line: offset as u32, start_line: 1 };
            // Some without any name.
            table.insert(offset, [inner, outer].into_iter().take(offset as usize % 3));
        }
        table
    }

    fn assert_same(a: &Table<u64>, b: &Table<u64>) {
        assert_eq!(a.len(), b.len());
        for key in a.keys() {
            assert!(a.get(key).unwrap().eq(b.get(key).unwrap()), "{key}");
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_of(&dir.path().join("deeper"), ID).unwrap();
        assert_eq!(load(&path, ID).len(), 0);
        save(&path, ID, &table(0, 1000), 1 << 20).unwrap();
        assert_same(&load(&path, ID), &table(0, 1000));
        assert_eq!(load(&path, "ffff").len(), 0, "another build");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing half-written stays");
        assert_eq!(
            encode(&table(0, 50), ID),
            encode(&load_of(&encode(&table(0, 50), ID)), ID),
            "deterministic"
        );
    }

    fn load_of(bytes: &[u8]) -> Table<u64> {
        decode(bytes, ID).unwrap()
    }

    #[test]
    fn damage_counts_as_absence() {
        let good = encode(&table(0, 20), ID);
        assert!(decode(&good, ID).is_some());
        for cut in 0..good.len() {
            assert!(decode(&good[..cut], ID).is_none(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode(&bad, ID).is_none(), "byte {at}");
            // Even with a fitting checksum nothing is read out of bounds.
            let body = bad.len() - 4;
            let mut crc = flate2::Crc::new();
            crc.update(&bad[..body]);
            bad[body..].copy_from_slice(&crc.sum().to_le_bytes());
            let _ = decode(&bad, ID);
        }
    }

    #[test]
    fn the_directory_is_bounded_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let size = encode(&table(0, 100), ID).len() as u64;
        let path = |i: u32| path_of(dir.path(), &format!("{i:08x}")).unwrap();
        for i in 0..6 {
            save(&path(i), &format!("{i:08x}"), &table(0, 100), 4 * size).unwrap();
            let age = std::time::Duration::from_secs(1000 - u64::from(i));
            fs::File::options()
                .write(true)
                .open(path(i))
                .unwrap()
                .set_modified(SystemTime::now() - age)
                .unwrap();
            if i >= 3 {
                assert_ne!(load(&path(0), "00000000").len(), 0, "still in use");
            }
        }
        let left: Vec<bool> = (0..6).map(|i| path(i).exists()).collect();
        assert_eq!(left, [true, false, false, true, true, true]);
        assert!(save(&path(9), "00000009", &table(0, 100), 10).is_err());
        assert!(!path(9).exists());
    }

    #[test]
    fn only_build_ids_become_file_names() {
        for bad in ["", "../../x", "abc", "abcd/ef", "zzzz"] {
            assert_eq!(path_of(Path::new("/c"), bad), None, "{bad}");
        }
        assert_eq!(path_of(Path::new("/c"), "abcd").unwrap(), Path::new("/c/abcd.names"));
    }
}
