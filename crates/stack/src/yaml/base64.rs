//! Base64 of `!!binary` scalars: the standard alphabet with padding, as Go's `base64.StdEncoding` reads it.

/// `None` if the text is not base64. Line breaks inside are allowed.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut buffer = 0_u32;
    for (index, digit) in text[..text.len() - padding].iter().enumerate() {
        buffer = buffer << 6 | u32::from(value(*digit)?);
        if index % 4 != 0 {
            bytes.push((buffer >> (6 - 2 * (index % 4))) as u8);
        }
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn table() {
        for (text, bytes) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc"), ("YW\nJjZA==", "abcd")] {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Y", "YQ", "YQ=", "Y===", "Y Q=", "=YQ="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
