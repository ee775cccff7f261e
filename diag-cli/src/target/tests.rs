use super::*;

fn live(text: &str) -> Endpoint {
    match Target::parse(text).unwrap() {
        Target::Live(e) => e,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn addresses() {
    assert_eq!(live("localhost:6060").url("/x"), "http://localhost:6060/x");
    assert_eq!(live(":6060").url("/x"), "http://127.0.0.1:6060/x");
    assert_eq!(live("[::1]:6060").url("/x"), "http://[::1]:6060/x");
    assert_eq!(live("https://svc.example").url("/x"), "https://svc.example/x");
    assert_eq!(live("HTTP://svc.example/").path(), None);
    assert_eq!(live("h:1/debug/pprof/heap?seconds=2").path(), Some("/debug/pprof/heap?seconds=2"));
    assert_eq!(live("http://h?x=1").path(), Some("/?x=1"));
    assert_eq!(live("http://h/p#frag").path(), Some("/p"));
}

#[test]
fn credentials_are_taken_and_never_shown() {
    let e = live("http://me:s%3Acret@h:1/p");
    assert_eq!(e.credentials(), Some(&Credentials { user: "me".into(), password: "s:cret".into() }));
    assert_eq!(e.to_string(), "http://h:1/p");
    assert_eq!(format!("{e:?}"), "Endpoint(http://h:1/p)");
    assert_eq!(live("tok@h:1").credentials().unwrap().password, "tok");
    let error = Target::parse("http://me:secret@h:99999").unwrap_err().to_string();
    assert!(!error.contains("secret") && error.contains("port"), "{error}");
}

#[test]
fn what_is_not_a_target() {
    for (text, code, says) in [
        ("", 2, "empty"),
        ("ftp://x", 2, "ftp://"),
        ("http://", 2, "no host"),
        ("http://h:0", 2, "port"),
        ("http://h:x", 2, "port"),
        ("http://h:70000/p", 2, "port"),
        ("http://a b:1", 2, "host name"),
        ("h:1/a b", 2, "percent-encoding"),
        ("no/such/file.pb.gz", 3, "no such file"),
        ("localhost", 3, "host:port"),
    ] {
        let e = Target::parse(text).unwrap_err();
        assert_eq!(e.exit_code(), code, "{text}: {e}");
        assert!(e.to_string().contains(says), "{text}: {e}");
    }
}

#[test]
fn files_win_over_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a:1");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(Target::parse(file.to_str().unwrap()).unwrap(), Target::File(file));
    assert_eq!(Target::parse(dir.path().to_str().unwrap()).unwrap(), Target::Dir(dir.path().into()));
    assert_eq!(Target::parse("-").unwrap(), Target::Stdin);
}

#[test]
fn loopback() {
    for (text, is) in [
        ("localhost:1", true),
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        (":1", true),
        ("h:1", false),
        ("10.0.0.1:1", false),
    ] {
        assert_eq!(live(text).is_loopback(), is, "{text}");
    }
}
