//! Go's duration texts (`time.ParseDuration`): `1h30m`, `1.5s`, `500ms`. No `d` unit.

/// Nanoseconds. `Err` says what is wrong.
pub fn nanos(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(end(rest, |b| b.is_ascii_digit() || b == b'.'));
        let (unit, tail) = tail.split_at(end(tail, |b| !b.is_ascii_digit() && b != b'.'));
        rest = tail;
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("{text:?} lacks a unit")),
            _ => return Err(format!("{text:?} has the unknown unit {unit:?}")),
        };
        total += scaled(number, scale).ok_or_else(bad)?;
        if total > i128::from(i64::MAX) {
            return Err(format!("{text:?} is too long"));
        }
    }
    let total = total as i64;
    Ok(if negative { -total } else { total })
}

fn end(text: &str, inside: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !inside(b)).unwrap_or(text.len())
}

/// `number` (digits with at most one point) times `scale`, cut towards zero.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    const DIGITS_MAX: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    if whole.len() > DIGITS_MAX + 1 {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? * scale };
    let fraction = &fraction[..fraction.len().min(DIGITS_MAX)];
    if !fraction.is_empty() {
        total += fraction.parse::<i128>().ok()? * scale / 10_i128.pow(fraction.len() as u32);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn table() {
        for (text, expected) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("500ms", 500_000_000),
            (".5s", 500_000_000),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("-2ns", -2),
            ("2540400h10m10s", 9_145_440_610_000_000_000),
        ] {
            assert_eq!(nanos(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "s", "1d", "1.2.3s", "-", "1s2", "x", "9999999999999h", ".s", "é"] {
            assert!(nanos(text).is_err(), "{text}");
        }
    }
}
