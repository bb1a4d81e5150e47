//! Numbers as people write them in a Compose file.

/// Nanoseconds as Go prints a duration, without zero parts: `1m30s`, `1.5s`, `500ms`.
pub(super) fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (unit, name) = match nanos {
        0 => return "0s".into(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let mut text = String::new();
            for (count, name) in [(seconds / 3600, "h"), (seconds / 60 % 60, "m")] {
                if count > 0 {
                    text += &format!("{count}{name}");
                }
            }
            let rest = nanos % 60_000_000_000;
            if rest > 0 {
                text += &format!("{}s", decimal(rest, 1_000_000_000));
            }
            return sign.to_owned() + &text;
        }
    };
    format!("{sign}{}{name}", decimal(nanos, unit))
}

/// Bytes in the greatest unit that leaves no fraction: `64M`.
pub(super) fn memory(bytes: i64) -> String {
    for (unit, name) in [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")] {
        if bytes != 0 && bytes % unit == 0 {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}")
}

/// Billionths of a CPU: `0.5`.
pub(super) fn cpus(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    sign.to_owned() + &decimal(nanos.unsigned_abs(), 1_000_000_000)
}

/// `number / unit` (a power of ten), exactly.
fn decimal(number: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::cpus::{Nanos, nano_cpus};
    use crate::scalar::{bytes, duration as read};
    use proptest::prelude::*;

    #[test]
    fn texts() {
        let second = 1_000_000_000;
        for (nanos, text) in [
            (0, "0s"),
            (90 * second, "1m30s"),
            (3600 * second, "1h"),
            (second * 3 / 2, "1.5s"),
            (second / 2, "500ms"),
            (1_500, "1.5µs"),
            (7, "7ns"),
            (-second, "-1s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
        assert_eq!([memory(64 << 20), memory(3 << 30), memory(1025), memory(0)], ["64M", "3G", "1025", "0"]);
        assert_eq!([cpus(500_000_000), cpus(2_000_000_000), cpus(1)], ["0.5", "2", "0.000000001"]);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(number in 0..i64::MAX / 4, shift in 0..60) {
            let number = number >> shift;
            prop_assert_eq!(read::nanos(&duration(number)), Ok(number));
            prop_assert_eq!(nano_cpus(&cpus(number)), Ok(Nanos { value: number, cut: false }));
            let exact = number >> 12;
            prop_assert_eq!(bytes::ram(&memory(exact)), Some(exact));
        }
    }
}
