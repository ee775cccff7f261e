//! pprof, with prost as the oracle.

use std::collections::HashSet;

use diag::profile::pprof::{DecodeLimits, decode, decode_within, encode, encode_gz};
use diag::profile::{
    Function, LabelSetId, Line, PprofFault, Profile, ProfileBuilder, ProfileError, StrId, ValueType,
};
use proptest::prelude::*;
use prost::Message;

use crate::plan::plan;
use crate::{canon, proto};

proptest! {
    #![proptest_config(crate::cases(400))]

    #[test]
    fn what_is_written_is_read_back(plan in plan()) {
        let profile = plan.profile();
        let bytes = encode(&profile);
        prop_assert_eq!(canon::of(&decode(&bytes).unwrap()), canon::of(&profile));
        prop_assert_eq!(canon::of(&decode(&encode_gz(&profile)).unwrap()), canon::of(&profile));
    }

    #[test]
    fn prost_reads_the_same_from_what_is_written(plan in plan()) {
        let profile = plan.profile();
        let message = proto::Profile::decode(&encode(&profile)[..]).unwrap();
        // The test's own statement of what tagged addresses mean.
        let original = |a: u64| match a >> 56 { 0x40 => 0, 0x41..=0x5f => a & ((1 << 56) - 1), 0x60..=0x7f => a | (0xff << 56), _ => a };
        prop_assert_eq!(canon::of_proto(&message, original), canon::of(&profile));
        obeys_the_conventions(&message);
    }

    #[test]
    fn what_prost_writes_is_read(plan in plan(), spread in prop::sample::select(vec![1u64, 7, 1 << 33, u64::MAX / 16])) {
        let message = plan.message(|i| (i as u64 + 1).wrapping_mul(spread));
        let profile = decode(&message.encode_to_vec()).unwrap();
        let samples = canon::of(&profile);
        let mut expected = canon::of_proto(&message, |a| a);
        // Equal mappings become one.
        let mut seen = HashSet::new();
        expected.mappings.retain(|m| seen.insert(format!("{m:?}")));
        prop_assert_eq!(samples, expected);
    }

    #[test]
    fn lists_need_not_be_packed(plan in plan()) {
        let mut message = plan.message(|i| i as u64 + 1);
        let packed = decode(&message.encode_to_vec()).unwrap();
        let sample = std::mem::take(&mut message.sample).into_iter().map(|s| proto::UnpackedSample {
            location_id: s.location_id, value: s.value, label: s.label,
        }).collect();
        let mut bytes = message.encode_to_vec();
        bytes.extend(proto::UnpackedSamples { sample }.encode_to_vec());
        prop_assert_eq!(canon::of(&decode(&bytes).unwrap()), canon::of(&packed));
    }

    #[test]
    fn encoding_is_deterministic(plan in plan()) {
        let profile = plan.profile();
        prop_assert_eq!(encode(&plan.profile()), encode(&profile));
        prop_assert_eq!(encode(&profile), encode(&profile));
        prop_assert_eq!(encode_gz(&profile), encode_gz(&profile));
    }

    #[test]
    fn what_was_read_is_written_as_it_was(plan in plan()) {
        let first = encode(&plan.profile());
        let again = encode(&decode(&first).unwrap());
        prop_assert_eq!(encode(&decode(&again).unwrap()), again);
    }
}

/// What pprof, Alloy and Parca rely on.
fn obeys_the_conventions(m: &proto::Profile) {
    let counts_up = |ids: Vec<u64>| assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    counts_up(m.mapping.iter().map(|m| m.id).collect());
    counts_up(m.location.iter().map(|l| l.id).collect());
    counts_up(m.function.iter().map(|f| f.id).collect());
    assert_eq!(m.string_table[0], "");
    let addresses: HashSet<u64> = m.location.iter().map(|l| l.address).collect();
    assert_eq!(addresses.len(), m.location.len());
    assert!(!addresses.contains(&0));
    for f in &m.function {
        assert!(
            f.system_name == 0 || m.string_table[f.name as usize] != m.string_table[f.system_name as usize]
        );
    }
    let used: HashSet<u64> = m.sample.iter().flat_map(|s| s.location_id.clone()).collect();
    assert_eq!(used.len(), m.location.len(), "locations that no sample uses");
}

fn small() -> proto::Profile {
    proto::Profile {
        sample_type: vec![proto::ValueType { kind: 1, unit: 2 }],
        sample: vec![proto::Sample { location_id: vec![1], value: vec![5], label: vec![] }],
        mapping: vec![],
        location: vec![proto::Location {
            id: 1,
            address: 0x1000,
            line: vec![proto::Line { function_id: 1, line: 3, column: 0 }],
            ..Default::default()
        }],
        function: vec![proto::Function { id: 1, name: 3, ..Default::default() }],
        string_table: ["", "space", "bytes", "main"].map(str::to_owned).to_vec(),
        ..Default::default()
    }
}

fn fault(change: impl FnOnce(&mut proto::Profile)) -> (PprofFault, u64, String) {
    let mut message = small();
    change(&mut message);
    match decode(&message.encode_to_vec()) {
        Err(e @ ProfileError::Pprof { fault, offset }) => {
            assert!(offset < message.encoded_len() as u64 + 1);
            (fault, offset, e.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_broken_rule_has_its_own_error() {
    use PprofFault as F;
    let f = fault(|m| m.sample[0].location_id = vec![1, 9]).0;
    assert_eq!(f, F::DanglingId { from: "sample", table: "location", id: 9 });
    let f = fault(|m| m.sample[0].location_id = vec![0]).0;
    assert_eq!(f, F::DanglingId { from: "sample", table: "location", id: 0 });
    let f = fault(|m| m.sample[0].location_id = vec![u64::MAX]).0;
    assert_eq!(f, F::DanglingId { from: "sample", table: "location", id: u64::MAX });
    let f = fault(|m| m.location[0].mapping_id = 4).0;
    assert_eq!(f, F::DanglingId { from: "location", table: "mapping", id: 4 });
    let f = fault(|m| m.location[0].line[0].function_id = 2).0;
    assert_eq!(f, F::DanglingId { from: "line", table: "function", id: 2 });
    assert_eq!(fault(|m| m.location[0].id = 0).0, F::ZeroId { table: "location" });
    assert_eq!(fault(|m| m.function[0].id = 0).0, F::ZeroId { table: "function" });
    let f = fault(|m| m.location.push(m.location[0].clone())).0;
    assert_eq!(f, F::DuplicateId { table: "location", id: 1 });
    let f = fault(|m| {
        m.function[0].id = 1 << 40;
        m.function.push(m.function[0].clone());
    });
    assert_eq!(f.0, F::DuplicateId { table: "function", id: 1 << 40 });
    assert_eq!(fault(|m| m.function[0].name = 4).0, F::StringIndex { index: 4, count: 4 });
    assert_eq!(fault(|m| m.function[0].name = -1).0, F::StringIndex { index: u64::MAX, count: 4 });
    assert_eq!(fault(|m| m.string_table[0] = "x".into()).0, F::FirstString);
    assert_eq!(fault(|m| m.sample[0].value = vec![]).0, F::ValueCount { expected: 1, found: 0 });
    assert_eq!(fault(|m| m.sample[0].value = vec![1, 2]).0, F::ValueCount { expected: 1, found: 2 });
    assert_eq!(fault(|m| m.sample_type.clear()).0, F::NoSampleType);
}

#[test]
fn an_error_says_what_where_and_what_to_do() {
    let (_, offset, text) = fault(|m| m.sample[0].location_id = vec![9]);
    // The first field is the sample type, six bytes; the sample's first field follows its tag and length.
    assert_eq!(offset, 8);
    assert_eq!(
        text,
        "not a readable pprof profile: a sample refers to location 9, which does not exist, at byte 8 of the \
         decompressed data; the file is damaged or not a profile: capture it again"
    );
}

#[test]
fn two_profiles_in_one_file_are_told() {
    let one = proto::Profile { time_nanos: 5, ..small() }.encode_to_vec();
    let both = [one.clone(), one].concat();
    let e = decode(&both).unwrap_err();
    assert!(matches!(e, ProfileError::Pprof { fault: PprofFault::Concatenated, .. }), "{e}");
}

#[test]
fn names_that_are_not_utf8_are_repaired_and_counted() {
    let mut bytes = small().encode_to_vec();
    let at = bytes.windows(4).position(|w| w == b"main").unwrap();
    bytes[at + 1] = 0xff;
    let profile = decode(&bytes).unwrap();
    let names: Vec<&str> = profile.functions().iter().map(|f| profile.str(f.name)).collect();
    assert_eq!(names, ["m\u{fffd}in"]);
    assert_eq!(canon::of(&profile).losses, [("non_utf8_strings".to_owned(), 1)]);
    // The loss is still known after another round.
    assert_eq!(canon::of(&decode(&encode(&profile)).unwrap()).losses, [("non_utf8_strings".to_owned(), 1)]);
}

#[test]
fn unknown_fields_are_skipped() {
    let mut bytes = small().encode_to_vec();
    // Field 100 as varint, fixed64, bytes and fixed32.
    bytes.extend([0xa0, 0x06, 0x2a, 0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]);
    bytes.extend([0xa2, 0x06, 2, 9, 9, 0xa5, 0x06, 1, 2, 3, 4]);
    assert_eq!(canon::of(&decode(&bytes).unwrap()), canon::of(&decode(&small().encode_to_vec()).unwrap()));
}

#[test]
fn a_line_without_function_keeps_its_number() {
    let mut message = small();
    message.location[0].line = vec![
        proto::Line { function_id: 0, line: 7, column: 0 },
        proto::Line { function_id: 0, line: 0, column: 0 },
    ];
    let profile = decode(&message.encode_to_vec()).unwrap();
    let lines = profile.location(profile.location_ids().next().unwrap()).lines;
    assert_eq!(lines.iter().map(|l| l.line).collect::<Vec<_>>(), [7]);
}

#[test]
fn a_limit_on_size_is_kept_and_stated() {
    let bytes = small().encode_to_vec();
    let limits = DecodeLimits { decompressed_bytes: bytes.len() as u64 - 1, ..DecodeLimits::default() };
    let e = decode_within(&bytes, &limits).unwrap_err();
    assert!(matches!(e, ProfileError::TooLarge { .. }), "{e}");
    let exact = DecodeLimits { decompressed_bytes: bytes.len() as u64, ..DecodeLimits::default() };
    assert!(decode_within(&bytes, &exact).is_ok());
}

#[test]
fn tables_and_lists_are_limited() {
    let bytes = small().encode_to_vec();
    let all = DecodeLimits::default();
    // A sample with a frame, and a location with a line.
    assert!(decode_within(&bytes, &DecodeLimits { table_entries: 4, list_items: 2, ..all }).is_ok());
    for (limits, what) in [
        (DecodeLimits { table_entries: 3, ..all }, "strings"),
        (DecodeLimits { table_entries: 0, ..all }, "samples"),
        (DecodeLimits { list_items: 1, ..all }, "frames"),
    ] {
        let e = decode_within(&bytes, &limits).unwrap_err();
        assert!(matches!(e, ProfileError::TooMany { .. }) && e.to_string().contains(what), "{e}");
    }
}

#[test]
fn one_enormous_stack_is_refused_before_it_is_read() {
    let mut message = small();
    message.sample[0].location_id = vec![1; 17 << 20];
    let e = decode(&message.encode_to_vec()).unwrap_err();
    assert!(matches!(e, ProfileError::TooMany { .. }), "{e}");
}

#[test]
fn many_tiny_entries_are_refused() {
    // Two bytes each: empty strings, in a gzip file of some ten kilobytes.
    let mut bytes = small().encode_to_vec();
    bytes.extend([0x32, 0].repeat((16 << 20) + 1));
    let e = decode(&bytes).unwrap_err();
    assert_eq!(e.to_string().split(" strings").next(), Some("the file has more than 16777216"));
}

/// A profile whose locations have no addresses, as folded stacks give.
fn without_addresses() -> Profile {
    let mut b = ProfileBuilder::new(vec![ValueType::new("samples", "count")]);
    let stack: Vec<_> = ["leaf", "middle", "root"]
        .iter()
        .map(|name| {
            let name = b.str(name);
            let (none, start_line) = (StrId::EMPTY, 0);
            let function = b.function(Function { name, system_name: none, file: none, start_line });
            b.location(None, 0, &[Line { function, line: 0 }])
        })
        .collect();
    let stack = b.stack(&stack);
    b.sample(stack, LabelSetId::EMPTY, &[3]);
    b.finish().unwrap()
}

#[test]
fn locations_without_address_get_unique_ones_in_the_file_and_none_when_read() {
    let profile = without_addresses();
    obeys_the_conventions(&proto::Profile::decode(&encode(&profile)[..]).unwrap());
    let read = decode(&encode(&profile)).unwrap();
    assert!(read.location_ids().all(|id| read.location(id).address == 0));
}
