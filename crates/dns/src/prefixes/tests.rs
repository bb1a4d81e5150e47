use super::*;
use proptest::prelude::*;

/// Prefixes of an address space of which only the first byte is interesting.
fn prefixes() -> impl Strategy<Value = Vec<(u8, u8, u32)>> {
    let one = (any::<u8>(), 0u8..=8, 1u32..5).prop_map(|(byte, len, value)| (byte & mask(len), len, value));
    prop::collection::vec(one, 0..12).prop_map(|mut list| {
        list.sort();
        list.dedup_by_key(|(byte, len, _)| (*byte, *len));
        list
    })
}

fn mask(len: u8) -> u8 {
    (0xff00u16 >> len) as u8
}

fn spans(list: &[(u8, u8, u32)]) -> Vec<Span<u32>> {
    let span = |(byte, len, value): &(u8, u8, u32)| {
        let start = u32::from(*byte) << 24;
        Span { start, end: start | (u32::from(!mask(*len)) << 24) | 0x00ff_ffff, value: *value }
    };
    list.iter().map(span).collect()
}

/// Longest prefix match, slowly.
fn naive(list: &[(u8, u8, u32)], byte: u8) -> Option<u32> {
    let hits = list.iter().filter(|(net, len, _)| byte & mask(*len) == *net);
    hits.max_by_key(|(_, len, _)| *len).map(|(_, _, value)| *value)
}

proptest! {
    #[test]
    fn flat_overlay_equals_longest_match(base in prefixes(), top in prefixes()) {
        let all = [Span { start: 0, end: u32::MAX, value: 0 }];
        let flat = overlay(&overlay(&all, &flatten(spans(&base))), &flatten(spans(&top)));
        for pair in flat.windows(2) {
            prop_assert_eq!(pair[0].end.checked_add(1), Some(pair[1].start));
        }
        let table = Ranges::new(&flat);
        let expected: Vec<u32> =
            (0..=255).map(|byte| naive(&top, byte).or(naive(&base, byte)).unwrap_or(0)).collect();
        for byte in 0..=255u8 {
            let (value, scope) = table.at(u32::from(byte) << 24 | 77);
            prop_assert_eq!(value, expected[usize::from(byte)]);
            prop_assert!(scope <= 8);
            let inside = |other: u8| other & mask(scope) == byte & mask(scope);
            prop_assert!((0..=255).filter(|o| inside(*o)).all(|o| expected[usize::from(o)] == value));
            if scope > 0 {
                let wider = |other: u8| other & mask(scope - 1) == byte & mask(scope - 1);
                prop_assert!((0..=255).filter(|o| wider(*o)).any(|o| expected[usize::from(o)] != value));
            }
        }
    }
}

#[test]
fn the_index_of_large_tables_changes_nothing() {
    let spans: Vec<Span<u32>> =
        (0..4096u32).map(|n| Span { start: n << 20, end: (n << 20) | 0xf_ffff, value: n % 7 }).collect();
    let table = Ranges::new(&spans);
    assert!(!table.index.is_empty());
    for n in 0..4096u32 {
        for address in [n << 20, n << 20 | 1, n << 20 | 0xf_ffff] {
            assert_eq!(table.at(address).0, n % 7);
        }
    }
}
