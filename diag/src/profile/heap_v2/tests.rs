use super::*;
use crate::profile::Mapping;

const DUMP: &str = "heap_v2/524288
  t*: 3: 1049600 [5: 2098176]
  t0: 3: 1049600 [5: 2098176] main
@ 0x556011 0x556101 0x7f0fff
  t*: 1: 1024 [2: 2048]
  t0: 1: 1024 [2: 2048]
@ 0x557001
  t*: 2: 1048576 [3: 2096128]
  t0: 1: 524288 [1: 524288]
  t1: 1: 524288 [2: 1571840]

MAPPED_LIBRARIES:
555000-556000 r--p 00000000 08:01 42      /bin/service
556000-558000 r-xp 00001000 08:01 42      /bin/service
7f0000-7f1000 r-xp 00026000 08:01 43      /lib/libc.so.6
";

fn kinds(p: &Profile) -> Vec<&str> {
    p.sample_types().iter().map(|t| t.kind.as_str()).collect()
}

fn line_of(e: &ProfileError) -> usize {
    match e {
        ProfileError::Text { line, .. } => *line,
        other => panic!("{other}"),
    }
}

#[test]
fn values_are_scaled_by_the_mean_size_of_the_stack() {
    let p = parse(DUMP.as_bytes()).unwrap();
    assert_eq!(kinds(&p), ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    let values: Vec<&[i64]> = p.samples().map(|s| s.values).collect();
    // 1/(1-exp(-1024/524288)) = 512.500163; 1/(1-exp(-1)) = 1.581977; 2096128/3/524288 : 1.358269.
    assert_eq!(values[0], [1025, 1_049_600, 513, 524_800]);
    assert_eq!(values[1], [4, 2_847_106, 3, 1_658_823]);
}

#[test]
fn addresses_point_into_the_call_and_know_their_file() {
    let p = parse(DUMP.as_bytes()).unwrap();
    let first = p.samples().next().unwrap();
    let frames: Vec<(u64, &str)> = p
        .stack(first.stack)
        .iter()
        .map(|&id| {
            let location = p.location(id);
            let mapping: &Mapping = p.mapping(location.mapping.unwrap());
            (location.address - mapping.start + mapping.file_offset, p.str(mapping.file))
        })
        .collect();
    let main = "/bin/service";
    assert_eq!(frames, [(0x1010, main), (0x1100, main), (0x26ffe, "/lib/libc.so.6")]);
}

#[test]
fn period_and_default_type_are_stated() {
    let p = parse(DUMP.as_bytes()).unwrap();
    let period = p.meta().period.clone().unwrap();
    assert_eq!((period.value_type, period.value), (ValueType::new("space", "bytes"), 524_288));
    assert_eq!(p.sample_types()[p.default_sample_type()].kind, "inuse_space");
    assert!(p.meta().losses.is_empty());
}

#[test]
fn without_accumulated_counts_there_are_two_columns() {
    let text: String = DUMP.lines().map(|l| l.replace("[2: 2048]", "[0: 0]")).collect::<Vec<_>>().join("\n");
    let text = text.replace("[3: 2096128]", "[0: 0]");
    assert_eq!(kinds(&parse(text.as_bytes()).unwrap()), ["inuse_objects", "inuse_space"]);
}

#[test]
fn a_dump_without_stacks_is_a_profile_without_samples() {
    let p = parse(b"heap_v2/524288\n  t*: 0: 0 [0: 0]\n\nMAPPED_LIBRARIES:\n").unwrap();
    assert_eq!((p.sample_count(), p.sample_types().len()), (0, 2));
}

#[test]
fn a_dump_without_mappings_is_read_and_the_loss_counted() {
    let (text, _) = DUMP.split_once("MAPPED").unwrap();
    let p = parse(text.as_bytes()).unwrap();
    assert_eq!(p.sample_count(), 2);
    assert_eq!(p.meta().losses, [Loss { what: "no_mapped_libraries".to_owned(), count: 1 }]);
}

#[test]
fn bad_lines_are_errors_with_their_number() {
    let cases = [
        ("heap_v2/x\n", 1, "heap_v2/"),
        ("\nheap_v3/1\n", 2, "heap_v2/"),
        ("heap_v2/1\n  t*: 1 [2: 3]\n", 2, "counts"),
        ("heap_v2/1\n  t*: 1: -2 [2: 3]\n", 2, "counts"),
        ("heap_v2/1\n@ 0x1 nope\n  t*: 1: 2 [0: 0]\n", 2, "addresses"),
        ("heap_v2/1\n@ 0x1\n@ 0x2\n", 2, "no counts"),
        ("heap_v2/1\n@ 0x1\n", 2, "cut off"),
        ("heap_v2/1\n@ 0x1\n\nMAPPED_LIBRARIES:\n", 2, "no counts"),
        ("heap_v2/1\n@ 0x1\n  t*: 1: 2 [0: 0]\n  t*: 1: 2 [0: 0]\n", 4, "without a stack"),
        ("heap_v2/1\nhello\n", 2, "counts"),
        ("heap profile: 1: 2 [3: 4] @ heapprofile\n 1: 2 [3: 4]\n", 2, "@ 0x"),
    ];
    for (text, line, what) in cases {
        let e = parse(text.as_bytes()).unwrap_err();
        assert_eq!(line_of(&e), line, "{e}");
        assert!(e.to_string().contains(what), "{e}");
    }
    assert!(matches!(parse(b" \n\n"), Err(ProfileError::Empty)));
}

#[test]
fn the_older_layout_is_read_with_the_period_of_its_kind() {
    let body = "  2: 2048 [4: 4096] @ 0x1001 0x2001\n\nMAPPED_LIBRARIES:\n1000-3000: /bin/main\n";
    for (kind, expected) in [
        ("heapprofile", [4, 4096, 2, 2048]),
        ("heap_v2/524288", [2050, 2_099_201, 1025, 1_049_600]),
        ("heap/1048576", [2050, 2_099_201, 1025, 1_049_600]),
    ] {
        let p = parse(format!("heap profile:  2: 2048 [4: 4096] @ {kind}\n{body}").as_bytes()).unwrap();
        let values: Vec<&[i64]> = p.samples().map(|s| s.values).collect();
        assert_eq!(values, [expected], "{kind}");
        assert_eq!(p.mappings().len(), 1);
    }
}

#[test]
fn huge_numbers_saturate() {
    let huge = format!("heap_v2/524288\n@ 0x1\n  t*: 1: {} [0: 0]\n", u64::MAX);
    assert_eq!(parse(huge.as_bytes()).unwrap().total(1), i64::MAX);
}
