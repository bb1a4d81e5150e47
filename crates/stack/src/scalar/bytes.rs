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

/// CPUs → billionths, exactly: a decimal number with or without exponent, or a fraction such as `1/2` (Go's `Rat`, which
/// docker reads them with). `Err` says why not.
pub fn nano_cpus(text: &str) -> Result<i64, &'static str> {
    const FORM: &str = "it is neither a decimal number nor a fraction of two whole ones";
    const PRECISE: &str = "it is too precise: no whole number of billionths";
    const LARGE: &str = "it is too large";
    let whole = |text: &str| -> Result<i128, &'static str> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse().map_err(|_| LARGE) } else { Err(FORM) }
    };
    let (numerator, denominator) = match text.split_once('/') {
        Some((numerator, denominator)) => (whole(numerator)?, whole(denominator)?),
        None => decimal(text).ok_or(FORM)?,
    };
    let billions = numerator.checked_mul(1_000_000_000).ok_or(LARGE)?;
    match (billions.checked_rem(denominator), billions.checked_div(denominator)) {
        (Some(0), Some(nanos)) => i64::try_from(nanos).map_err(|_| LARGE),
        (Some(_), _) => Err(PRECISE),
        (None, _) => Err("it divides by nothing"),
    }
}

/// Numerator and denominator of a decimal number.
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = fraction.trim_end_matches('0');
    let number: i128 = format!("0{whole}{kept}").parse().ok()?;
    let power = exponent.checked_sub(i32::try_from(kept.len()).ok()?)?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    if power < 0 { Some((number, scale)) } else { Some((number.checked_mul(scale)?, 1)) }
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
        assert_eq!(nano_cpus("0.50000000000000"), Ok(500_000_000));
        assert_eq!(nano_cpus("1/2"), Ok(500_000_000));
        assert_eq!(nano_cpus("15e-1"), Ok(1_500_000_000));
        for text in ["", "-1", "1/3", "1/0", "1/", "1/.5", "1e99", "0.0000000001", "99999999999999999999", "."] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }
}
