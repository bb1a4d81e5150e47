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
    let too_long = || format!("{text:?} is too long");
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(end(rest, |b| b.is_ascii_digit() || b == b'.'));
        let (unit, tail) = tail.split_at(end(tail, |b| !b.is_ascii_digit() && b != b'.'));
        rest = tail;
        let scale: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("{text:?} lacks a unit")),
            _ => return Err(format!("{text:?} has the unknown unit {unit:?}")),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(bad());
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
        let whole = whole.checked_mul(scale).filter(|whole| *whole <= LONGEST).ok_or_else(too_long)?;
        total = total.checked_add(whole + part(fraction, scale)).filter(|t| *t <= LONGEST).ok_or_else(too_long)?;
    }
    match i64::try_from(total) {
        Ok(total) => Ok(if negative { -total } else { total }),
        Err(_) if negative => Ok(i64::MIN),
        Err(_) => Err(too_long()),
    }
}

/// Also the negative one.
const LONGEST: u64 = 1 << 63;

/// A decimal fraction of `scale`, cut towards zero, with Go's precision: digits beyond 63 bits are not read.
fn part(fraction: &str, scale: u64) -> u64 {
    let (mut value, mut divisor) = (0_u64, 1_f64);
    for digit in fraction.bytes().map(|b| u64::from(b - b'0')) {
        if value > (LONGEST - 1) / 10 || value * 10 + digit > LONGEST {
            break;
        }
        value = value * 10 + digit;
        divisor *= 10.0;
    }
    (value as f64 * (scale as f64 / divisor)) as u64
}

/// Go's `Duration.String`: `1h2m0s`, `1.5s`, `500ms`, `0s`.
pub fn show(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let decimal = |whole: u64, fraction: u64, digits: usize| {
        let fraction = format!("{fraction:0digits$}");
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
    };
    let (seconds, below) = (total / 1_000_000_000, total % 1_000_000_000);
    let text = match (seconds, below) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1_000) => format!("{below}ns"),
        (0, 1_000..1_000_000) => decimal(below / 1_000, below % 1_000, 3) + "µs",
        (0, _) => decimal(below / 1_000_000, below % 1_000_000, 6) + "ms",
        (1..60, _) => decimal(seconds, below, 9) + "s",
        (60..3_600, _) => format!("{}m{}s", seconds / 60, decimal(seconds % 60, below, 9)),
        _ => format!("{}h{}m{}s", seconds / 3_600, seconds / 60 % 60, decimal(seconds % 60, below, 9)),
    };
    format!("{sign}{text}")
}

fn end(text: &str, inside: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !inside(b)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::{nanos, show};

    #[test]
    fn shown_as_go_shows_them() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (500_000_000, "500ms"),
            (1_000_000_001, "1.000000001s"),
            (90_000_000_000, "1m30s"),
            (3_720_000_000_000, "1h2m0s"),
            (-5_400_000_000_000, "-1h30m0s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(show(nanos), text);
        }
    }

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
