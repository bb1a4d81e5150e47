//! Sizes.

/// What Go makes of a size beyond `i64`.
pub const TOO_LARGE: i64 = i64::MIN;

/// docker/go-units `RAMInBytes`: 1024-based, `b k m g t p` with optional `i` and `b`, any case. What is beyond `i64` is
/// [`TOO_LARGE`], as on the machines that docker is built for first.
pub fn ram(text: &str) -> Option<i64> {
    let digits = text.bytes().position(|b| !(b.is_ascii_digit() || b == b'.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let starts_with_digit = number.bytes().next().is_some_and(|b| b.is_ascii_digit());
    let value: f64 = number.parse().ok().filter(|value: &f64| starts_with_digit && value.is_finite())?;
    let total = value * 1024_f64.powi(power);
    Some(if total < i64::MAX as f64 { total as i64 } else { TOO_LARGE })
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
        for text in ["", "M", "-1M", "1x", ".5M", "1..5M"] {
            assert_eq!(ram(text), None, "{text}");
        }
    }
}
