//! What does not depend on how tokio is built; `diag/tests/console.rs` has the rest.

use super::*;

#[test]
fn other_addresses_than_loopback_want_to_be_allowed() {
    let address: SocketAddr = "192.0.2.1:6669".parse().unwrap();
    let options = ConsoleOptions::new().listen(address);
    assert_eq!(start(&options).err(), Some(ConsoleError::Remote(address)));
}

#[test]
fn a_taken_port_is_an_error_with_its_address() {
    let (_holder, address) = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = server::bind(address).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ConsoleError::Listen { .. }), "{text}");
    assert!(text.contains(&address.to_string()) && text.contains("; "), "{text}");
}
