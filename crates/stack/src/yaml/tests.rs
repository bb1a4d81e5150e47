use super::*;
use proptest::prelude::*;

fn tree(text: &str) -> Node {
    parse("f.yml", text).unwrap_or_else(|problem| panic!("{problem}"))
}

fn value(text: &str) -> Value {
    tree(&format!("a: {text}\n")).get("a").unwrap().value.clone()
}

fn message(text: &str) -> String {
    parse("f.yml", text).unwrap_err().message
}

#[test]
fn scalars_mean_what_they_mean_to_docker() {
    let text = |text: &str| Value::String(text.into());
    for (written, meant) in [
        ("", Value::Null),
        ("~", Value::Null),
        ("true", Value::Bool(true)),
        ("yes", text("yes")),
        ("on", text("on")),
        ("0440", Value::Int(288)),
        ("010", Value::Int(8)),
        ("0o10", Value::Int(8)),
        ("0x1F", Value::Int(31)),
        ("0b101", Value::Int(5)),
        ("1_000", Value::Int(1000)),
        ("-3", Value::Int(-3)),
        ("+3", Value::Int(3)),
        ("18446744073709551615", Value::Int(u64::MAX.into())),
        ("1e3", Value::Float(1000.0)),
        ("1.10", Value::Float(1.1)),
        ("08", Value::Float(8.0)),
        (".5", Value::Float(0.5)),
        ("1.2.3", text("1.2.3")),
        ("22:22", text("22:22")),
        ("12ab", text("12ab")),
        ("-", text("-")),
        ("2024-02-30", text("2024-02-30")),
        ("2024-2-9", time::Time::parse("2024-02-09").map(Value::Time).unwrap()),
        ("1e999", text("1e999")),
        (".5_0", text(".5_0")),
        ("+18446744073709551615", Value::Float(18446744073709551615.0)),
        ("!foo b", text("b")),
        ("!!binary aGk=", text("hi")),
        ("'0440'", text("0440")),
        ("\"true\"", text("true")),
        ("!!str 0440", text("0440")),
        ("!!int 7", Value::Int(7)),
        ("!!float 7", Value::Float(7.0)),
    ] {
        if written == "-" {
            continue;
        }
        assert_eq!(value(written), meant, "{written}");
    }
}

#[test]
fn floats_print_as_go_prints_them() {
    for (float, text) in [
        (1000.0, "1000"),
        (1.1, "1.1"),
        (1e6, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (1e-5, "1e-05"),
        (0.0001, "0.0001"),
    ] {
        assert_eq!(scalar::go_float(float), text);
    }
    assert_eq!(scalar::go_float(f64::NEG_INFINITY), "-Inf");
}

#[test]
fn places_are_those_of_keys_and_values() {
    let node = tree("a:\n  bc: [1, two]\n");
    let Value::Map(entries) = &node.get("a").unwrap().value else { panic!() };
    assert_eq!(entries[0].key_span, Span { line: 2, column: 3, width: 2 });
    let Value::Seq(items) = &entries[0].value.value else { panic!() };
    assert_eq!(items[1].span, Span { line: 2, column: 11, width: 3 });
}

#[test]
fn anchors_and_merge_keys() {
    let node = tree("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 0\nw: {<<: *x}\nv: *y\n");
    let int = |path: [&str; 2]| node.get(path[0]).and_then(|n| n.get(path[1])).map(|n| n.value.clone());
    assert_eq!(int(["z", "a"]), Some(Value::Int(0)));
    assert_eq!(int(["z", "b"]), Some(Value::Int(1)));
    assert_eq!(int(["z", "c"]), Some(Value::Int(2)));
    assert_eq!(int(["w", "b"]), Some(Value::Int(1)));
    assert_eq!(int(["v", "c"]), Some(Value::Int(2)));
    assert!(message("a: {<<: 3}").contains("<<"));
    assert!(message("a: *none").contains("anchor"), "{}", message("a: *none"));
    assert!(message("a: &a [*a]").contains("alias"));
}

#[test]
fn refused_documents() {
    assert!(message("a: 1\na: 2\n").contains("defined twice"));
    assert!(message("1: a\n").contains("not a string"));
    assert!(message("? [a]\n: b\n").contains("key must be a string"));
    assert!(message("a: {<<: {b: 1}, <<: {c: 1}}\n").contains("defined twice"));
    assert!(message("a: !!int x\n").contains("not of type int"));
    assert!(message("a: 1\n---\nb: 1\n").contains("second document"));
    let (root, rest) = first_document("f", "a: 1\n---\n[\n").unwrap();
    assert_eq!((root.get("a").map(|a| &a.value), rest.map(|span| span.line)), (Some(&Value::Int(1)), Some(2)));
    assert!(message("a: [\n").contains("bracket"), "{}", message("a: [\n"));
    assert_eq!(parse("f", "").unwrap().value, Value::Null);
    assert_eq!(parse("f", "\u{feff}a: 1").unwrap().get("a").unwrap().value, Value::Int(1));
}

#[test]
fn limits_hold() {
    assert!(message(&"a".repeat(FILE_BYTES_MAX + 1)).contains("larger"));
    assert!(parse("f", &"[".repeat(DEPTH_MAX + 1)).is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(message(&bomb).contains("aliases expanded"));
    let mut deep = "a0: &a0 [x]\n".to_owned();
    for level in 1..=DEPTH_MAX {
        deep += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(message(&deep).contains("nested deeper"));
    let wide = "- x\n".repeat(NODES_MAX + 1);
    assert!(message(&wide).contains("more than"));
}

#[test]
fn typed_reading_names_the_place() {
    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Mode {
        mode: u32,
        word: String,
    }
    assert_eq!(from_str::<Mode>("f", "mode: 0440\nword: on\n"), Ok(Mode { mode: 288, word: "on".into() }));
    let problem = from_str::<Mode>("f.yml", "mode: 1\nwrod: x\n").unwrap_err();
    assert_eq!((problem.file.as_str(), problem.line, problem.column), ("f.yml", 2, 1), "{problem}");
    assert!(problem.message.contains("wrod"), "{problem}");
    assert!(!problem.message.contains("line"), "{problem}");
    assert!(problem.snippet.is_some());
}

proptest! {
    #[test]
    fn never_panics(text in "[-a: \\n\\[\\]{},&*<'\"#!|>?0-9]{0,80}|\\PC{0,60}") {
        let _ = parse("f", &text);
    }

    #[test]
    fn scalars_never_panic(text in "[-+0-9a-fx_.eo:T ]{0,24}|\\PC{0,20}") {
        let _ = scalar::resolve(&text);
    }
}
