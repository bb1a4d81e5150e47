//! Numbers as Docker's structs take them: JSON's view decides what is an integer, Go's conversions what becomes of it.

use crate::read::At;
use crate::schema::Number;
use crate::yaml::{Node, Value};

/// What Go makes of a float beyond `uint64`, on the machines that docker is built for first.
const U64_OF_TOO_LARGE: u64 = 1 << 63;

/// An integer may be written as a float without a fraction. Too large ones become what Go makes of them.
pub(super) fn number(kind: Number, at: &At<'_>) -> Option<Node> {
    let integer = match kind {
        Number::U64 { integer, .. } | Number::I64 { integer } => integer,
        Number::U32 | Number::Size => true,
        Number::Mode | Number::F32 => false,
    };
    let wanted = if integer { "an integer" } else { "a number" };
    let whole = match at.node.value {
        Value::Int(int) => int,
        Value::Float(float) if float.is_finite() && (!integer || float.fract() == 0.0) => float.trunc() as i128,
        _ => return at.wrong(wanted),
    };
    let unsigned = matches!(kind, Number::U64 { .. } | Number::U32 | Number::Mode | Number::Size);
    let negative = match at.node.value {
        Value::Float(float) => float < 0.0,
        _ => whole < 0,
    };
    if unsigned && negative {
        at.error(format!("{} must not be negative", at.place.key));
        return None;
    }
    let value = match (kind, &at.node.value) {
        (Number::F32, Value::Float(float)) => Value::Float(single(*float as f32)),
        (Number::F32, _) => Value::Float(single(whole as f32)),
        (Number::U64 { .. }, _) => Value::Int(i128::from(u64::try_from(whole).unwrap_or(U64_OF_TOO_LARGE))),
        (Number::U32 | Number::Mode, _) => {
            Value::Int(i128::from(u64::try_from(whole).unwrap_or(U64_OF_TOO_LARGE) as u32))
        }
        (Number::I64 { .. } | Number::Size, Value::Float(_)) => {
            Value::Int(i128::from(i64::try_from(whole).unwrap_or(i64::MIN)))
        }
        (Number::I64 { .. } | Number::Size, _) => Value::Int(i128::from(whole as i64)),
    };
    if !matches!(kind, Number::F32) && value != Value::Int(whole) {
        at.report.warn(&at.place, format!("{whole} is too large here; Docker makes {} of it", shown(&value)));
    }
    Some(at.put(value))
}

/// The float64 with the decimal digits of a float32.
fn single(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int(int) => int.to_string(),
        _ => String::new(),
    }
}
