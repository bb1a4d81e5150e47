//! Master files (RFC 1035 §5.1) cut into entries: one line, or several joined by parentheses, each a list of tokens.
//!
//! hickory-proto's zone parser was not used for this step: it gives no line numbers, follows `$INCLUDE` into the file
//! system, and does not know quotes within parentheses. Record data are still parsed by it (see `records`).

/// One logical line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counted from 1; where the entry starts.
    pub(super) line: usize,
    /// It began with white space: the owner is that of the entry before.
    pub(super) indented: bool,
    pub(super) tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Without the outer quotes; escapes are left as written.
    pub(super) text: String,
    pub(super) quoted: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadText {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

pub(super) fn entries(text: &str) -> Result<Vec<Entry>, BadText> {
    let mut entries = Vec::new();
    let mut chars = text.chars().peekable();
    let mut line = 1;
    let mut depth = 0u32;
    let mut entry: Option<Entry> = None;
    let mut fresh = true;
    while let Some(next) = chars.next() {
        match next {
            '\n' => {
                line += 1;
                if depth == 0 {
                    entries.extend(entry.take());
                    fresh = true;
                    continue;
                }
            }
            ' ' | '\t' | '\r' => {
                if fresh {
                    entry = Some(Entry { line, indented: true, tokens: Vec::new() });
                }
            }
            ';' => while chars.next_if(|c| *c != '\n').is_some() {},
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or(BadText { line, why: "`)` without `(`" })?,
            first => {
                let start = line;
                let token = if first == '"' {
                    quoted(&mut chars, &mut line).ok_or(BadText { line: start, why: "the quote is not closed" })?
                } else {
                    plain(first, &mut chars)
                };
                let entry = entry.get_or_insert(Entry { line: start, indented: false, tokens: Vec::new() });
                entry.tokens.push(token);
            }
        }
        fresh = false;
    }
    if depth != 0 {
        return Err(BadText { line: entry.map_or(line, |entry| entry.line), why: "`(` is not closed" });
    }
    entries.extend(entry);
    entries.retain(|entry| !entry.tokens.is_empty());
    Ok(entries)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn quoted(chars: &mut Chars<'_>, line: &mut usize) -> Option<Token> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(Token { text, quoted: true }),
            '\\' => text.extend(['\\', chars.next()?]),
            other => {
                *line += usize::from(other == '\n');
                text.push(other);
            }
        }
    }
}

/// Quotes inside a token, as in `alpn="h2,h3"`, belong to it.
fn plain(first: char, chars: &mut Chars<'_>) -> Token {
    let mut text = String::from(first);
    let mut escaped = first == '\\';
    let mut inside = false;
    while let Some(next) = chars
        .next_if(|c| *c != '\n' && (escaped || inside || !(c.is_ascii_whitespace() || matches!(*c, ';' | '(' | ')'))))
    {
        inside ^= next == '"' && !escaped;
        escaped = next == '\\' && !escaped;
        text.push(next);
    }
    Token { text, quoted: false }
}
