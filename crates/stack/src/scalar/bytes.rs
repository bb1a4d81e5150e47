//! Sizes.

/// What Go makes of a size beyond `i64`.
pub const TOO_LARGE: i64 = i64::MIN;

/// docker/go-units `RAMInBytes`: a number as Go reads it, perhaps a blank, and `b k m g t p` with optional `b` or `ib`,
/// any case, 1024-based. What is beyond `i64` is [`TOO_LARGE`], as on the machines that docker is built for first.
pub fn ram(text: &str) -> Option<i64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = (&text[..=end], text[end + 1..].to_ascii_lowercase());
    let value = float(number.strip_suffix(' ').unwrap_or(number)).filter(|value| value.is_nan() || *value >= 0.0)?;
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let total = value * 1024_f64.powi(power);
    Some(if total < i64::MAX as f64 { total as i64 } else { TOO_LARGE })
}

/// Go's `ParseFloat`: also `inf` and `nan`, `_` between digits, and base 16 with an exponent of 2.
fn float(text: &str) -> Option<f64> {
    let (sign, plain) = match text.strip_prefix('-') {
        Some(plain) => (-1.0, plain),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if plain.starts_with(['+', '-']) || !separated(plain) {
        return None;
    }
    let plain = plain.replace('_', "").to_ascii_lowercase();
    if let Some(digits) = plain.strip_prefix("0x") {
        return hexadecimal(digits).map(|value| sign * value);
    }
    let written_as_number = plain.bytes().any(|b| b.is_ascii_digit());
    plain.parse().ok().filter(|value: &f64| value.is_finite() || !written_as_number).map(|value| sign * value)
}

/// Whether every `_` stands between digits, or between a prefix and a digit.
fn separated(text: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit());
    let after_prefix = |head: &str| head.eq_ignore_ascii_case("0x");
    text.match_indices('_').all(|(at, _)| {
        let (head, tail) = (&text[..at], &text[at + 1..]);
        (digit(head.chars().next_back()) || after_prefix(head)) && digit(tail.chars().next())
    })
}

fn hexadecimal(text: &str) -> Option<f64> {
    const EXPONENT_MAX: i32 = 10_000;
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() < EXPONENT_MAX)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u32> = whole.chars().chain(fraction.chars()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let number = digits.iter().fold(0.0, |sum, digit| sum * 16.0 + f64::from(*digit));
    let power = exponent - 4 * i32::try_from(fraction.len()).ok()?;
    (!digits.is_empty()).then(|| number * 2_f64.powi(power)).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("50M", 52_428_800),
            ("1.5g", 1_610_612_736),
            ("64 kb", 65_536),
            ("2GiB", 2_147_483_648),
            ("99999999P", TOO_LARGE),
        ] {
            assert_eq!(ram(text), Some(bytes), "{text}");
        }
        for text in [
            "", "M", "-1M", "1x", "1..5M", " 1", "1  m", "1e400", "inf", "64E", "64bb", "64Mb ", "1__0", "_1", "1_",
            "0x1", "++1", "é1",
        ] {
            assert_eq!(ram(text), None, "{text}");
        }
    }
}
