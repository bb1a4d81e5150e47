//! The order in which yaml.v3 prints the keys of a mapping: numbers inside of names by value, letters after all others.

use std::cmp::Ordering;

/// Sorts entries by key. A merge sort of our own: the order of yaml.v3 is not a total one for all keys, and the library's
/// sort may panic then.
pub(super) fn sort<T>(entries: &mut Vec<(String, T)>) {
    let mut runs: Vec<Vec<(String, T)>> = entries.drain(..).map(|entry| vec![entry]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(first) = pairs.next() {
            merged.push(match pairs.next() {
                Some(second) => merge(first, second),
                None => first,
            });
        }
        runs = merged;
    }
    entries.extend(runs.into_iter().flatten());
}

fn merge<T>(first: Vec<(String, T)>, second: Vec<(String, T)>) -> Vec<(String, T)> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        merged.extend(if less(&b.0, &a.0) { second.next() } else { first.next() });
    }
    merged.extend(first);
    merged.extend(second);
    merged
}

fn less(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for index in 0..a.len().min(b.len()) {
        let (x, y) = (a[index], b[index]);
        if x == y {
            digits = x.is_numeric();
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x < y,
            (true, false) => digits,
            (false, true) => !digits,
            (false, false) => numbers(&a, &b, index) == Ordering::Less,
        };
    }
    a.len() < b.len()
}

/// Digits from `index` on, by value, then by count.
fn numbers(a: &[char], b: &[char], index: usize) -> Ordering {
    let zero = a[index] == '0' || b[index] == '0';
    let before = a[..index].iter().rev().take_while(|c| c.is_numeric());
    let start = i64::from(zero && before.into_iter().any(|c| *c != '0'));
    let number = |text: &[char]| {
        let digits: Vec<char> = text[index..].iter().copied().take_while(|c| c.is_numeric()).collect();
        let add = |value: i64, c: &char| value.wrapping_mul(10).wrapping_add(i64::from(u32::from(*c)) - 48);
        (digits.iter().fold(start, add), digits.len())
    };
    number(a).cmp(&number(b)).then(a[index].cmp(&b[index]))
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn numbers_by_value() {
        let keys = ["b", "a10", "a2", "a", "A", "a_b", "ab", "a.b", "2", "10", "01", "a02", "a-1", "é"];
        let mut entries: Vec<(String, ())> = keys.iter().map(|key| ((*key).to_owned(), ())).collect();
        sort(&mut entries);
        let sorted: Vec<&str> = entries.iter().map(|(key, ())| key.as_str()).collect();
        assert_eq!(sorted, ["01", "2", "10", "A", "a", "a-1", "a.b", "a_b", "a2", "a02", "a10", "ab", "b", "é"]);
    }
}
