//! What reading JSON into types loses: Serde passes over fields it does not know, and a field that is passed over is
//! gone at the next write without anybody having decided so.
//!
//! Found by writing what was read and comparing, for all types at once; a flattened map per type was rejected, because it
//! would take part in what is written and needs a line in each of forty types.

use serde_json::Value;
use std::collections::BTreeMap;

/// What `given` holds and `read` (the same, read and written again) does not, by path. Zero values do not count: Go
/// leaves them out or writes them as it likes.
pub(super) fn unknown_fields(given: &Value, read: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(String::new(), given, Some(read), &mut found);
    found
}

fn collect(path: String, given: &Value, read: Option<&Value>, found: &mut BTreeMap<String, Value>) {
    match (given, read) {
        (Value::Object(given), Some(Value::Object(read))) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(path, value, read.get(key), found);
            }
        }
        (Value::Array(given), Some(Value::Array(read))) if given.len() == read.len() => {
            for (index, (given, read)) in given.iter().zip(read).enumerate() {
                collect(format!("{path}[{index}]"), given, Some(read), found);
            }
        }
        (given, None) if !is_zero(given) => {
            found.insert(path, given.clone());
        }
        _ => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(values) => values.iter().all(is_zero),
        Value::Object(values) => values.values().all(is_zero),
    }
}

/// All of `given` is in `kept`, zero values too. Numbers are equal by value.
pub(super) fn is_kept(given: &Value, kept: &Value) -> bool {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            given.iter().all(|(key, value)| kept.get(key).is_some_and(|kept| is_kept(value, kept)))
        }
        (Value::Array(given), Value::Array(kept)) => {
            given.len() == kept.len() && given.iter().zip(kept).all(|(given, kept)| is_kept(given, kept))
        }
        (Value::Number(given), Value::Number(kept)) => given == kept || given.as_f64() == kept.as_f64(),
        _ => given == kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zero_is_not_unknown_and_the_rest_has_its_path() {
        let given = json!({"A": {"B": 1, "New": {"X": [0, ""], "Y": null}}, "L": [{"N": 2}, {}], "M": {"Z": [3]}});
        let read = json!({"A": {"B": 1}, "L": [{}, {}]});
        let found: Vec<_> = unknown_fields(&given, &read).into_iter().collect();
        assert_eq!(found, [("L[0].N".to_owned(), json!(2)), ("M".to_owned(), json!({"Z": [3]}))]);
    }

    #[test]
    fn kept_means_all_of_it() {
        assert!(is_kept(&json!({"A": 0.0, "L": [1]}), &json!({"A": 0, "L": [1], "More": 1})));
        assert!(!is_kept(&json!({"A": 0}), &json!({})));
        assert!(!is_kept(&json!([1]), &json!([1, 2])));
        assert!(!is_kept(&json!("a"), &json!("b")));
    }
}
