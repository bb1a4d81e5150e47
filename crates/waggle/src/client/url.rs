//! Where control is: `https://HOST[:PORT]`, and how names are put into paths.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Port of the API when the URL names none.
pub const DEFAULT_PORT: u16 = 7440;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// IPv6 without brackets.
    host: String,
    port: u16,
}

impl Address {
    /// `HOST:PORT`, as it is dialled.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host alone, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = |why: &str| format!("{text:?} is not the URL of a control service: {why}; write https://HOST:PORT");
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest,
            Some((scheme, _)) => return Err(wrong(&format!("it speaks https, not {scheme}"))),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("it has more than a host and a port"));
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => {
                host.parse::<Ipv6Addr>().map_err(|_| wrong("the address in brackets is not IPv6"))?;
                (
                    host,
                    port.strip_prefix(':')
                        .or(port.is_empty().then_some(""))
                        .ok_or_else(|| wrong("no : before the port"))?,
                )
            }
            None => rest.rsplit_once(':').unwrap_or((rest, "")),
        };
        if host.is_empty() || (host.contains(':') && !rest.starts_with('[')) {
            return Err(wrong("the host is missing, or IPv6 without brackets"));
        }
        let port =
            if port.is_empty() { DEFAULT_PORT } else { port.parse().map_err(|_| wrong("the port is not a number"))? };
        Ok(Address { host: host.to_owned(), port })
    }
}

/// Percent-encodes one path segment or query value (RFC 3986 §2.3: unreserved characters stay).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let cases = [
            ("https://control.example:1234", "https://control.example:1234"),
            ("control.example", "https://control.example:7440"),
            ("https://[2001:db8::1]/", "https://[2001:db8::1]:7440"),
            ("[::1]:9", "https://[::1]:9"),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(want.to_owned()), "{text}");
        }
        for text in
            ["http://a:1", "https://", "https://a:b", "https://u@a:1", "https://a/v1", "2001:db8::1", "[x]:1", "[::1]9"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn encoding() {
        assert_eq!(encode("*.shop.example"), "%2A.shop.example");
        assert_eq!(encode("2001:db8::1/x y"), "2001%3Adb8%3A%3A1%2Fx%20y");
    }
}
