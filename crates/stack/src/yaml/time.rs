//! Timestamps: yaml.v3 makes a Go `time.Time` of a plain scalar that looks like one, and Go prints it in its own ways.

use std::fmt::Write as _;

/// A moment as written, with the offset as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    date: (u16, u8, u8),
    clock: (u8, u8, u8),
    nanos: u32,
    /// Minutes east of UTC.
    offset: i32,
}

impl Time {
    /// The four forms of yaml.v3: a date; date and clock with `T` or `t` and an offset or `Z`; with a blank and neither.
    pub fn parse(text: &str) -> Option<Time> {
        let year = text.get(..4).filter(|year| year.bytes().all(|b| b.is_ascii_digit()))?;
        let mut rest = Rest(text[4..].strip_prefix('-')?);
        let month = rest.number(1..=12)?;
        rest.word("-")?;
        let day = rest.number(1..=31)?;
        let year: u16 = year.parse().ok()?;
        let date = (day <= days(year, month)).then_some((year, month, day))?;
        let (separator, clock) = match rest.0.chars().next() {
            None => return Some(Time { date, clock: (0, 0, 0), nanos: 0, offset: 0 }),
            Some(c @ ('T' | 't' | ' ')) => (c, &rest.0[1..]),
            Some(_) => return None,
        };
        rest = Rest(clock);
        let hour = rest.number(0..=23)?;
        rest.word(":")?;
        let minute = rest.number(0..=59)?;
        rest.word(":")?;
        let second = rest.number(0..=59)?;
        let nanos = rest.fraction();
        let offset = if separator == ' ' { Some(0) } else { rest.offset() };
        rest.0.is_empty().then_some(Time { date, clock: (hour, minute, second), nanos, offset: offset? })
    }

    /// As Go's `fmt.Sprint` prints it, on a machine whose own zone is UTC.
    pub fn go_string(&self) -> String {
        let zone = if self.offset == 0 { "UTC".to_owned() } else { self.zone("") };
        format!("{} {}{} {} {zone}", self.day(), self.clock(), self.fraction(), self.zone(""))
    }

    /// RFC 3339 with as many decimals as needed.
    pub fn rfc3339(&self) -> String {
        let zone = if self.offset == 0 { "Z".to_owned() } else { self.zone(":") };
        format!("{}T{}{}{zone}", self.day(), self.clock(), self.fraction())
    }

    fn day(&self) -> String {
        let (year, month, day) = self.date;
        format!("{year:04}-{month:02}-{day:02}")
    }

    fn clock(&self) -> String {
        let (hour, minute, second) = self.clock;
        format!("{hour:02}:{minute:02}:{second:02}")
    }

    fn fraction(&self) -> String {
        let mut text = String::new();
        if self.nanos > 0 {
            let _ = write!(text, ".{:09}", self.nanos);
        }
        text.trim_end_matches('0').to_owned()
    }

    fn zone(&self, between: &str) -> String {
        let minutes = self.offset.unsigned_abs();
        let sign = if self.offset < 0 { '-' } else { '+' };
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}

fn days(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// One or two digits.
    fn number(&mut self, range: std::ops::RangeInclusive<u8>) -> Option<u8> {
        let digits = self.0.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let value = self.0[..digits].parse().ok().filter(|value| range.contains(value))?;
        self.0 = &self.0[digits..];
        Some(value)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    /// Nanoseconds after a point or comma; further digits are cut off.
    fn fraction(&mut self) -> u32 {
        let Some(after) = self.0.strip_prefix(['.', ',']) else { return 0 };
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return 0;
        }
        self.0 = &after[digits..];
        format!("{:0<9.9}", &after[..digits]).parse().unwrap_or(0)
    }

    /// `Z` or `±hh:mm`, in minutes.
    fn offset(&mut self) -> Option<i32> {
        if self.word("Z").is_some() {
            return Some(0);
        }
        let sign = if self.0.starts_with('-') { -1 } else { 1 };
        self.0 = self.0.strip_prefix(['+', '-'])?;
        let (hours, minutes) = (self.0.get(..2)?, self.0.get(3..5)?);
        let number = |text: &str, max| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<i32>().ok().filter(|value| digits && *value <= max)
        };
        let offset = number(hours, 24)? * 60 + number(minutes, 60)?;
        self.0 = self.0[2..].strip_prefix(':')?.get(2..)?;
        Some(sign * offset)
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn forms() {
        for (text, go, rfc) in [
            ("2024-2-9", "2024-02-09 00:00:00 +0000 UTC", "2024-02-09T00:00:00Z"),
            ("2024-01-02 10:00:00", "2024-01-02 10:00:00 +0000 UTC", "2024-01-02T10:00:00Z"),
            ("2024-01-02T1:2:3Z", "2024-01-02 01:02:03 +0000 UTC", "2024-01-02T01:02:03Z"),
            ("2024-01-02t10:00:00.50+02:00", "2024-01-02 10:00:00.5 +0200 +0200", "2024-01-02T10:00:00.5+02:00"),
            ("2024-01-02T10:00:00-07:30", "2024-01-02 10:00:00 -0730 -0730", "2024-01-02T10:00:00-07:30"),
        ] {
            let time = Time::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((time.go_string().as_str(), time.rfc3339().as_str()), (go, rfc), "{text}");
        }
        for text in
            ["2024-02-30", "2024-13-01", "2024-1", "24-1-1", "2024-01-01T10:00:00", "2024-01-01 10:00", "é024-1-1"]
        {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
