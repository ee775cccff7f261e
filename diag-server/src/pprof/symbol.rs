//! `/debug/pprof/symbol`: pprof's symbolz protocol. GET answers `num_symbols: 1`, which means that names can be had;
//! POST takes `0xADDRESS+0xADDRESS` and answers a line `0xADDRESS<tab>name` for each that has one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::Response;
use diag::Diag;
use diag::profile::{Mapping, MappingId, MappingSymbols, Profile, ProfileBuilder, ProfileError, ValueType};

use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;

/// About 50,000 addresses.
const MOST_BODY_BYTES: usize = 1 << 20;
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// A process with more mappings has its later ones unnamed.
const MOST_MAPS_BYTES: u64 = 8 << 20;

pub(crate) async fn symbol_count() -> Response {
    content::answer(content::TEXT, "num_symbols: 1\n")
}

pub(crate) async fn symbol(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response, Failure> {
    let body = tokio::time::timeout(BODY_PATIENCE, to_bytes(body, MOST_BODY_BYTES))
        .await
        .map_err(|_| Failure::bad_request("the addresses did not arrive within 10 seconds"))?
        .map_err(|_| Failure::bad_request("more than 1 MiB of addresses; ask in parts"))?;
    let addresses = parse(&String::from_utf8_lossy(&body))?;
    let text = shared.heavy(move |diag| names(diag, &addresses)).await?;
    Ok(content::answer(content::TEXT, text))
}

fn parse(text: &str) -> Result<Vec<u64>, Failure> {
    let one = |word: &str| {
        let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        u64::from_str_radix(digits, 16).map_err(|_| {
            let word: String = word.chars().take(40).collect();
            Failure::bad_request(format!("{word:?} is not an address; post 0x55d0c0ffee00+0x55d0c0ffee10"))
        })
    };
    text.trim().split('+').filter(|w| !w.is_empty()).map(|w| one(w.trim())).collect()
}

fn names(diag: &Diag, addresses: &[u64]) -> Result<String, Failure> {
    let maps = read_maps().map_err(|e| Failure::internal(format!("cannot read /proc/self/maps: {e}")))?;
    let unnamed = profile_of(addresses, &maps).map_err(|e| Failure::internal(e.to_string()))?;
    diag.symbolize(&unnamed).map(|named| lines(&named)).map_err(|e| Failure::internal(e.to_string()))
}

fn read_maps() -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open("/proc/self/maps")?.take(MOST_MAPS_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A profile whose samples are the addresses.
fn profile_of(addresses: &[u64], maps: &str) -> Result<Profile, ProfileError> {
    let mut builder = ProfileBuilder::new(vec![ValueType::new("addresses", "count")]);
    let none = builder.str("");
    let mut mappings: Vec<(u64, u64, MappingId)> = Vec::new();
    for map in maps.lines().filter_map(parse_map) {
        let file = builder.str(map.file);
        let id = builder.mapping(Mapping {
            start: map.start,
            limit: map.limit,
            file_offset: map.offset,
            file,
            build_id: none,
            symbols: MappingSymbols::default(),
        });
        mappings.push((map.start, map.limit, id));
    }
    let labels = builder.labels(&[]);
    for &address in addresses {
        let after = mappings.partition_point(|(start, ..)| *start <= address);
        let mapping = after
            .checked_sub(1)
            .and_then(|i| mappings.get(i))
            .filter(|(_, limit, _)| address < *limit)
            .map(|(.., id)| *id);
        let location = builder.location(mapping, address, &[]);
        let stack = builder.stack(&[location]);
        builder.sample(stack, labels, &[1]);
    }
    builder.finish()
}

struct Map<'a> {
    start: u64,
    limit: u64,
    offset: u64,
    file: &'a str,
}

/// An executable mapping of a file: `start-limit r-xp offset device inode   /path`.
fn parse_map(line: &str) -> Option<Map<'_>> {
    let mut words = line.splitn(6, ' ');
    let (start, limit) = words.next()?.split_once('-')?;
    let executable = words.next()?.contains('x');
    let offset = words.next()?;
    let file = words.nth(2)?.trim_start();
    let hex = |text| u64::from_str_radix(text, 16).ok();
    (executable && file.starts_with('/')).then_some(Map {
        start: hex(start)?,
        limit: hex(limit)?,
        offset: hex(offset)?,
        file,
    })
}

/// The function that the machine code belongs to, which is the last line of a location. By its linker name, where there
/// is one: pprof demangles that well, but takes a name like `<T as Trait>::f` for C++ and cuts it to `::f`.
fn lines(profile: &Profile) -> String {
    let mut out = String::new();
    for id in profile.location_ids() {
        let location = profile.location(id);
        if let Some(line) = location.lines.last() {
            let function = profile.function(line.function);
            let name = match profile.str(function.system_name) {
                "" => profile.str(function.name),
                linker_name => linker_name,
            };
            let name = name.replace(['\n', '\r'], " ");
            out.push_str(&format!("{:#x}\t{name}\n", location.address));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_pprof_posts_them() {
        assert_eq!(parse("0x10+0xfF\n").unwrap(), [0x10, 0xff]);
        assert_eq!(parse("").unwrap(), [0u64; 0]);
        assert!(parse("0x10+main").is_err() && parse("0x1ffffffffffffffff").is_err());
    }

    #[test]
    fn only_code_of_files_is_a_mapping() {
        let maps = "1000-2000 r--p 00000000 fe:00 7   /bin/a b\n\
                    2000-3000 r-xp 00001000 fe:00 7                          /bin/a b\n\
                    3000-4000 rwxp 00000000 00:00 0 \n\
                    7000-8000 r-xp 00000000 00:00 0   [vdso]\n\
                    half a line";
        let profile = profile_of(&[0x1fff, 0x2000, 0x2fff, 0x3000], maps).unwrap();
        assert_eq!(profile.mappings().len(), 1);
        assert_eq!(profile.str(profile.mappings()[0].file), "/bin/a b");
        let inside: Vec<bool> =
            profile.location_ids().map(|l| profile.location(l).mapping.is_some()).collect();
        assert_eq!(inside, [false, true, true, false]);
    }
}
