//! What a scalar means: yaml.v3's resolution (`resolve.go`) for untyped values, and Go's way of printing numbers.
//!
//! Differences to YAML 1.2 that matter in Compose files: a leading zero means octal, `_` is allowed in numbers, `0b` is
//! binary. Unlike YAML 1.1, `yes`, `on` and `22:22` are strings.

use super::Value;
use super::time::Time;

/// Resolves a plain (unquoted) scalar without a tag.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !numeric {
        return Value::String(text.to_owned());
    }
    let time = || Time::parse(text).map(Value::Time);
    time().or_else(|| number(text)).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// An integer or float in yaml.v3's syntax.
pub fn number(text: &str) -> Option<Value> {
    if text.starts_with('.') {
        return float(text);
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    integer(&plain).map(Value::Int).or_else(|| float(&plain))
}

fn float(text: &str) -> Option<Value> {
    let value = text.parse::<f64>().ok().filter(|value| is_float(text) && value.is_finite())?;
    Some(Value::Float(value))
}

/// Go's `ParseInt` with base 0, then `ParseUint`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let signed = text.starts_with(['-', '+']);
    let value = if negative { -value } else { value };
    (value >= i128::from(i64::MIN) && (!signed || value <= i128::from(i64::MAX))).then_some(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_ok && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

/// How Go's `fmt.Sprint` and yaml.v3 print a float64: shortest digits, with an exponent from 1e6 on and below 1e-4.
pub fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    exponential(&format!("{value:e}")).unwrap_or_else(|| value.to_string())
}

/// How Go's `fmt.Sprint` prints a value that was read without a type.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => go_float(*value),
        Value::String(text) => text.clone(),
        Value::Time(time) => time.go_string(),
        Value::Seq(items) => {
            let items: Vec<String> = items.iter().map(|item| go_text(&item.value)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().map(|entry| (&entry.key, &entry.value.value)).collect();
            sorted.sort_by_key(|(key, _)| *key);
            let pairs: Vec<String> = sorted.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// [`go_float`] of a float32.
pub fn go_float32(value: f32) -> String {
    if !value.is_finite() {
        return go_float(f64::from(value));
    }
    exponential(&format!("{value:e}")).unwrap_or_else(|| value.to_string())
}

/// Rust's shortest `d.ddde±x` → Go's, if Go prints an exponent.
fn exponential(scientific: &str) -> Option<String> {
    const PLAIN: std::ops::Range<i32> = -4..6;
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if PLAIN.contains(&exponent) {
        return None;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{mantissa}e{sign}{:02}", exponent.abs()))
}
