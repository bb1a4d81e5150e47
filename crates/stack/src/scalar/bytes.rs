//! Sizes and CPU counts.

/// docker/go-units `RAMInBytes`: 1024-based, `b k m g t p` with optional `i` and `b`, any case.
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
    let value: f64 = number.parse().ok().filter(|_| starts_with_digit)?;
    let total = value * 1024_f64.powi(power);
    (total < i64::MAX as f64).then_some(total as i64)
}

/// CPUs as a decimal number → billionths, exactly. `Err` says why not.
pub fn nano_cpus(text: &str) -> Result<i64, &'static str> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return Err("it is not a decimal number");
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err("it is too precise: more than nine decimals");
    }
    let text = format!("{whole}{fraction:0<9}");
    text.parse().map_err(|_| "it is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("50M", 52_428_800), ("1.5g", 1_610_612_736), ("64 kb", 65_536), ("2GiB", 2_147_483_648)]
        {
            assert_eq!(ram(text), Some(bytes), "{text}");
        }
        for text in ["", "M", "-1M", "1x", ".5M", "1..5M", "99999999P"] {
            assert_eq!(ram(text), None, "{text}");
        }
    }

    #[test]
    fn cpus() {
        assert_eq!(nano_cpus("0.001"), Ok(1_000_000));
        assert_eq!(nano_cpus(".5"), Ok(500_000_000));
        assert_eq!(nano_cpus("2"), Ok(2_000_000_000));
        for text in ["", "-1", "1e3", "0.0000000001", "99999999999999999999", "."] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }
}
