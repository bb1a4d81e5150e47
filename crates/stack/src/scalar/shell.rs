//! Shell-like words for `command` and `entrypoint` given as one string: quotes, backslashes and comments, nothing else.

/// Splits a text into words; a `#` at the start of a word begins a comment. `Err` says which quote stays open.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("it ends in a backslash"),
            },
            '\'' => quoted(&mut chars, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut chars, '"', word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(chars: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), &'static str> {
    loop {
        match chars.next() {
            Some(c) if c == quote => return Ok(()),
            Some('\\') if quote == '"' => match chars.next() {
                Some(c) => word.push(c),
                None => return Err("a double quote is not closed"),
            },
            Some(c) => word.push(c),
            None if quote == '"' => return Err("a double quote is not closed"),
            None => return Err("a single quote is not closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn table() {
        for (text, words) in [
            ("", vec![]),
            ("a  b\tc", vec!["a", "b", "c"]),
            (r#"sh -c "echo \"x\" y""#, vec!["sh", "-c", "echo \"x\" y"]),
            (r"a'b c'd e\ f", vec!["ab cd", "e f"]),
            ("a #b\nc#d", vec!["a", "c#d"]),
            ("'' \"\"", vec!["", ""]),
            (r"'a\b'", vec![r"a\b"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
