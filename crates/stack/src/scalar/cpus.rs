//! Numbers of CPUs as docker reads them: with Go's `big.Rat`, which takes decimal numbers with exponents, numbers in base
//! 2, 8 and 16, binary exponents, `_` between digits, and fractions of two whole numbers.
//!
//! Of more than 64 bits of billionths docker sends the lowest ones. Numbers of any length were rejected: 128 bits hold
//! every number of CPUs that people write, and lowest bits come from multiplication modulo 2^128.

const FORM: &str = "it is neither a number nor a fraction of two whole ones";
const PRECISE: &str = "it is too precise: no whole number of billionths";
const LARGE: &str = "it is too large";
const NEGATIVE: &str = "it is negative";

/// Powers of 2 and of 5 in a billion.
const BILLION_POWERS: i64 = 9;
/// Largest powers that Go's library computes.
const FIVES_MAX: i64 = 1_000_000;
const TWOS_MAX: i64 = 10_000_000;
const BILLION: u128 = 1_000_000_000;

type Why = &'static str;

/// Billionths of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nanos {
    /// The lowest 64 bits.
    pub value: i64,
    /// They are not all of it.
    pub cut: bool,
}

/// CPUs → billionths, exactly. `Err` says why not.
pub fn nano_cpus(text: &str) -> Result<Nanos, Why> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let nanos = match rest.split_once('/') {
        Some((numerator, denominator)) => ratio(whole(numerator)?, whole(denominator)?)?,
        None => decimal(rest)?,
    };
    match nanos {
        (0, false) => Ok(Nanos { value: 0, cut: false }),
        _ if negative => Err(NEGATIVE),
        (nanos, cut) => Ok(Nanos { value: nanos as i64, cut: cut || i64::try_from(nanos).is_err() }),
    }
}

/// A number modulo 2^128, and whether it is more than that.
type Wrapped = (u128, bool);

fn ratio(numerator: u128, denominator: u128) -> Result<Wrapped, Why> {
    let billions = numerator.checked_mul(BILLION).ok_or(LARGE)?;
    match (billions.checked_rem(denominator), billions.checked_div(denominator)) {
        (Some(0), Some(nanos)) => Ok((nanos, false)),
        (Some(_), _) => Err(PRECISE),
        (None, _) => Err("it divides by nothing"),
    }
}

fn whole(text: &str) -> Result<u128, Why> {
    let (mantissa, rest) = mantissa(text, false)?;
    if rest.is_empty() { Ok(mantissa.number) } else { Err(FORM) }
}

/// `mantissa × 2^a × 5^b`, in billionths.
fn decimal(text: &str) -> Result<Wrapped, Why> {
    let (mantissa, rest) = mantissa(text, true)?;
    let (exponent, binary) = exponent(rest)?;
    let (mut twos, mut fives) = (BILLION_POWERS, BILLION_POWERS);
    match mantissa.base {
        10 => (twos, fives) = (twos - mantissa.fraction, fives - mantissa.fraction),
        base => twos -= mantissa.fraction * i64::from(base.trailing_zeros()),
    }
    twos = twos.saturating_add(exponent);
    if !binary {
        fives = fives.saturating_add(exponent);
    }
    if mantissa.number == 0 {
        return Ok((0, false));
    }
    if fives.abs() > FIVES_MAX || twos.abs() > TWOS_MAX {
        return Err(LARGE);
    }
    // What divides comes first: it needs all of the number.
    let mut number = mantissa.number;
    for (factor, power) in [(2, twos), (5, fives)] {
        for _ in 0..(-power).clamp(0, i64::from(u128::BITS)) {
            if number % factor != 0 {
                return Err(PRECISE);
            }
            number /= factor;
        }
    }
    let mut cut = false;
    for (factor, power) in [(2_u128, twos), (5, fives)] {
        let power = u32::try_from(power.max(0)).unwrap_or(u32::MAX);
        let exact = factor.checked_pow(power).and_then(|scale| number.checked_mul(scale));
        cut |= exact.is_none();
        number = exact.unwrap_or_else(|| number.wrapping_mul(factor.wrapping_pow(power)));
    }
    Ok((number, cut))
}

struct Mantissa {
    number: u128,
    base: u32,
    /// Digits after the point.
    fraction: i64,
}

/// What stands before an exponent, and the rest. A leading zero means base 8 where there can be no point.
fn mantissa(text: &str, point: bool) -> Result<(Mantissa, &str), Why> {
    let prefix = text.get(..2).map(str::to_ascii_lowercase);
    let (base, start) = match prefix.as_deref() {
        Some("0b") => (2, 2),
        Some("0o") => (8, 2),
        Some("0x") => (16, 2),
        Some(other) if other.starts_with('0') && !point => (8, 1),
        _ => (10, 0),
    };
    let mut found = Mantissa { number: 0, base, fraction: 0 };
    let (mut digits, mut zeros, mut in_fraction) = (usize::from(start == 1), 0, false);
    // A `_` stands between two digits, or between prefix and digit.
    let mut after_digit = start > 0;
    let mut end = text.len();
    for (at, c) in text.char_indices().skip(start) {
        match c.to_digit(base) {
            Some(digit) => {
                (digits, after_digit) = (digits + 1, true);
                if in_fraction && digit == 0 {
                    zeros += 1;
                    continue;
                }
                for digit in std::iter::repeat_n(0, std::mem::take(&mut zeros)).chain([digit]) {
                    found.number = found.number.checked_mul(base.into()).ok_or(LARGE)?;
                    found.number = found.number.checked_add(digit.into()).ok_or(LARGE)?;
                    found.fraction += i64::from(in_fraction);
                }
            }
            None if c == '_' && after_digit => after_digit = false,
            None if c == '.' && point && !in_fraction && (after_digit || at == 0) => {
                (in_fraction, after_digit) = (true, false);
            }
            None if c == '_' || c == '.' => return Err(FORM),
            None => {
                end = at;
                break;
            }
        }
    }
    let rest = &text[end..];
    let ends_with_separator = text[..end].ends_with('_');
    if digits == 0 || ends_with_separator { Err(FORM) } else { Ok((found, rest)) }
}

/// The exponent, and whether it is one of 2; 0 if there is none.
fn exponent(text: &str) -> Result<(i64, bool), Why> {
    let binary = match text.as_bytes().first() {
        None => return Ok((0, false)),
        Some(b'e' | b'E') => false,
        Some(b'p' | b'P') => true,
        _ => return Err(FORM),
    };
    let digits = text[1..].strip_prefix(['+', '-']).unwrap_or(&text[1..]);
    let separated = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !separated {
        return Err(FORM);
    }
    let number: i64 = digits.replace('_', "").parse().map_err(|_| LARGE)?;
    Ok((if text[1..].starts_with('-') { -number } else { number }, binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for (text, nanos) in [
            ("0.001", 1_000_000),
            (".5", 500_000_000),
            ("2", 2_000_000_000),
            ("2.", 2_000_000_000),
            ("+2", 2_000_000_000),
            ("010", 10_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("0e99999", 0),
            ("1/2", 500_000_000),
            ("010/0x10", 500_000_000),
            ("15e-1", 1_500_000_000),
            ("1_0", 10_000_000_000),
            ("0x10", 16_000_000_000),
            ("0X_1.8", 1_500_000_000),
            ("0b1.1", 1_500_000_000),
            ("0o17", 15_000_000_000),
            ("0x1p-2", 250_000_000),
            ("1p-2", 250_000_000),
            ("1e0_1", 10_000_000_000),
        ] {
            assert_eq!(nano_cpus(text), Ok(Nanos { value: nanos, cut: false }), "{text}");
        }
        let half = Nanos { value: 500_000_000, cut: false };
        assert_eq!(nano_cpus(&format!("0.5{}", "0".repeat(60))), Ok(half));
        assert_eq!(nano_cpus("1e400"), Ok(Nanos { value: 0, cut: true }));
        let lowest = (99_999_999_999_999_999_999_u128 * BILLION) as i64;
        assert_eq!(nano_cpus("99999999999999999999"), Ok(Nanos { value: lowest, cut: true }));
    }

    #[test]
    fn refused() {
        for text in ["", "-1", "1/3", "1/0", "1/", "1/.5", "1/-2", "0.0000000001", "."] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
        for text in ["_1", "1_", "1__0", "1_.5", "1._5", "0x", "1e", "1e+", "1e_1", "1 ", "1f", "0b2", "09/1", "--1"] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
        for text in ["1p99999999999", "1e-99999999999", "1e99999999999999999999", &"9".repeat(60)] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }
}
