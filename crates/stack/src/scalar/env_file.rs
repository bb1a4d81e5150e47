//! Files named by `env_file`: one `KEY=value` per line, no quotes, no escapes, no expansion (docker/cli pkg/kvfile).

use std::collections::BTreeMap;

/// Longest line; Docker's reader stops at longer ones.
const LINE_BYTES_MAX: usize = 64 * 1024 - 1;

/// Reads the lines in order. A key without `=` takes its value from `env` or is left out. `Err` names the line.
pub fn parse(bytes: &[u8], env: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pairs = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.len() > LINE_BYTES_MAX {
            return Err(format!("line {} is longer than {LINE_BYTES_MAX} bytes", index + 1));
        }
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line, env.get(line).cloned()),
        };
        if key.is_empty() {
            return Err(format!("line {} has no name before =", index + 1));
        }
        if key.contains([' ', '\t']) {
            return Err(format!("line {}: the name {key:?} holds white space", index + 1));
        }
        pairs.extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lines() {
        let env = [("HOST".to_owned(), "h".to_owned())].into();
        let text = "\u{feff}# c\n  A=1 \nB=\"x\"\nHOST\nUNSET\n\nC=a=b\nD=\n";
        let pairs = parse(text.as_bytes(), &env).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("A", "1 "), ("B", "\"x\""), ("HOST", "h"), ("C", "a=b"), ("D", "")]);
        assert!(parse(b"A B=1", &env).unwrap_err().contains("line 1"));
        assert!(parse(b"=1", &env).is_err());
        assert!(parse(&[0xff], &env).is_err());
    }
}
