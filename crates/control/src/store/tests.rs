use super::*;

#[test]
fn values_are_not_shown() {
    let op = Op::Put { key: Key::new("payload/1"), value: Bytes::from_static(b"hunter2"), lease: None };
    assert_eq!(format!("{op:?}"), "put payload/1 (7 bytes)");
}
