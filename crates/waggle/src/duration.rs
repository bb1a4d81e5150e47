//! Durations as people write them: `900ms`, `3.5s`, `5m`, `1h30m`.

use std::time::Duration;

/// Longest accepted: a year of 366 days.
const MILLIS_MAX: f64 = 366.0 * 86_400_000.0;

/// Numbers with a unit each, added up; units are ms, s, m, h and d.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 900ms, 3.5s, 5m or 1h30m");
    let mut millis = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        millis += number
            * match unit {
                "ms" => 1.0,
                "s" => 1000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                "d" => 86_400_000.0,
                _ => return Err(wrong()),
            };
        rest = tail;
    }
    if millis > MILLIS_MAX {
        return Err(format!("{text:?} is longer than a year"));
    }
    Ok(Duration::from_millis(millis.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_people_write() {
        for (text, millis) in
            [("900ms", 900), ("3.5s", 3500), ("5m", 300_000), ("1h30m", 5_400_000), ("0s", 0), ("2d", 172_800_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1.2.3s", "-1s", "5 m", "1y", "9999999d", "1e3s"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
