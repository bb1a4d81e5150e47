//! Static records from text: presentation form, as in the federation document and in master files.

use super::TTL_MAX;
use super::lexer::{self, Entry, Token};
use crate::name::wire_of;
use crate::request::rtype;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, NameEncoding};
use hickory_proto::serialize::txt::{Parser, parse_ttl};
use std::str::FromStr;
use waggle_model::DomainName;
use waggle_model::fleet::Record;

/// One record, ready for the wire; names in it are not compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Static {
    pub(super) owner: Vec<u8>,
    pub(super) kind: u16,
    pub(super) ttl: u32,
    pub(super) data: Vec<u8>,
}

/// The records of one entry of `zones.*.records`. `ttl`: what the zone gives to records without one.
pub(super) fn listed(zone: &DomainName, record: &Record, ttl: u32) -> Result<Vec<Static>, String> {
    let origin = absolute(zone.as_str())?;
    let owner = wire_of(&absolute(record.name.as_str())?);
    let kind = kind(&record.kind)?;
    let ttl = record.ttl.unwrap_or(ttl).min(TTL_MAX);
    let one = |value: &String| {
        let mut entries = lexer::entries(value).map_err(|bad| bad.why.to_owned())?;
        let (Some(entry), true) = (entries.pop(), entries.is_empty()) else {
            return Err(format!("{value:?} is not the data of one record"));
        };
        let data = data(kind, &entry.tokens, &origin).map_err(|why| format!("{value:?}: {why}"))?;
        Ok(Static { owner: owner.clone(), kind, ttl, data })
    };
    record.values.iter().map(one).collect()
}

/// A master file. Errors carry the line, counted from 1.
pub(super) fn master(zone: &DomainName, text: &str, ttl: u32) -> Result<Vec<(usize, Static)>, (usize, String)> {
    let start = absolute(zone.as_str()).map_err(|why| (0, why))?;
    let mut state = State { origin: start, owner: None, default: None, last: ttl };
    let mut records = Vec::new();
    for entry in lexer::entries(text).map_err(|bad| (bad.line, bad.why.to_owned()))? {
        match state.entry(&entry) {
            Ok(Some(record)) => records.push((entry.line, record)),
            Ok(None) => {}
            Err(why) => return Err((entry.line, why)),
        }
    }
    Ok(records)
}

/// What one entry leaves to the next (RFC 1035 §5.1, RFC 2308 §4).
struct State {
    origin: Name,
    owner: Option<Vec<u8>>,
    default: Option<u32>,
    last: u32,
}

impl State {
    fn entry(&mut self, entry: &Entry) -> Result<Option<Static>, String> {
        let mut tokens = entry.tokens.as_slice();
        if !entry.indented {
            let Some((first, rest)) = tokens.split_first() else { return Ok(None) };
            if first.text.starts_with('$') && !first.quoted {
                return self.directive(&first.text, rest).map(|()| None);
            }
            self.owner = Some(wire_of(&name(&first.text, &self.origin)?));
            tokens = rest;
        }
        let owner = self.owner.clone().ok_or("the first record has no owner name")?;
        let mut ttl = None;
        let kind = loop {
            let (token, rest) = tokens.split_first().ok_or("the record has no type")?;
            tokens = rest;
            if token.text.eq_ignore_ascii_case("IN") {
                continue;
            }
            match parse_ttl(&token.text) {
                Ok(seconds) if ttl.is_none() => ttl = Some(seconds),
                _ => break kind(&token.text)?,
            }
        };
        self.last = ttl.unwrap_or(self.default.unwrap_or(self.last)).min(TTL_MAX);
        let data = data(kind, tokens, &self.origin)?;
        Ok(Some(Static { owner, kind, ttl: self.last, data }))
    }

    fn directive(&mut self, directive: &str, rest: &[Token]) -> Result<(), String> {
        match (directive, rest) {
            ("$ORIGIN", [origin]) => self.origin = name(&origin.text, &self.origin)?,
            ("$TTL", [ttl]) => {
                self.default = Some(parse_ttl(&ttl.text).map_err(|error| error.to_string())?.min(TTL_MAX))
            }
            ("$ORIGIN" | "$TTL", _) => return Err(format!("{directive} takes one value")),
            _ => return Err(format!("{directive} is not supported")),
        }
        Ok(())
    }
}

fn absolute(text: &str) -> Result<Name, String> {
    name(text, &Name::root())
}

fn name(text: &str, origin: &Name) -> Result<Name, String> {
    if text == "@" {
        return Ok(origin.clone());
    }
    let mut name = Name::parse(text, Some(origin)).map_err(|error| format!("name {text:?}: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// Mnemonics, and `TYPE123` (RFC 3597 §5).
fn kind(text: &str) -> Result<u16, String> {
    let upper = text.to_ascii_uppercase();
    let number = upper.strip_prefix("TYPE").and_then(|number| number.parse().ok());
    let kind = match number {
        Some(number) => number,
        None => RecordType::from_str(&upper).map(u16::from).map_err(|_| format!("{text:?} is not a record type"))?,
    };
    match kind {
        0 | rtype::OPT | 128..=255 => Err(format!("{text} is not a type of data")),
        rtype::DNAME => Err("DNAME is not supported; use a wildcard or a delegation".into()),
        65305 => Err("ANAME is not supported; use a route".into()),
        kind => Ok(kind),
    }
}

/// Record data in wire form.
fn data(kind: u16, tokens: &[Token], origin: &Name) -> Result<Vec<u8>, String> {
    match tokens {
        [mark, rest @ ..] if mark.text == "\\#" && !mark.quoted => generic(kind, rest),
        _ if kind == rtype::TXT => strings(tokens),
        _ if kind == rtype::DS => delegation_signer(tokens),
        _ => known(kind, tokens, origin),
    }
}

/// `\# length hex…` (RFC 3597 §5), checked where the type is known.
fn generic(kind: u16, tokens: &[Token]) -> Result<Vec<u8>, String> {
    let (length, digits) = tokens.split_first().ok_or("`\\#` without a length")?;
    let bytes = hex(digits)?;
    if length.text.parse() != Ok(bytes.len()) {
        return Err(format!("`\\# {}` is followed by {} octets", length.text, bytes.len()));
    }
    let size = u16::try_from(bytes.len()).map_err(|_| "longer than 65535 octets")?;
    // The decoder only accepts complete records: owner root, class IN, TTL 0.
    let [k0, k1] = kind.to_be_bytes();
    let [s0, s1] = size.to_be_bytes();
    let mut record = vec![0, k0, k1, 0, 1, 0, 0, 0, 0, s0, s1];
    record.extend_from_slice(&bytes);
    let mut decoder = BinDecoder::new(&record);
    match hickory_proto::rr::Record::<RData>::read(&mut decoder) {
        Ok(_) if decoder.is_empty() => Ok(bytes),
        Ok(_) => Err("more octets than the type has".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn hex(tokens: &[Token]) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = tokens.iter().flat_map(|token| token.text.bytes()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect::<Option<Vec<u8>>>();
    bytes.filter(|_| rest.is_empty()).ok_or_else(|| "not hexadecimal octets".into())
}

fn strings(tokens: &[Token]) -> Result<Vec<u8>, String> {
    if tokens.is_empty() {
        return Err("no text".into());
    }
    let mut data = Vec::new();
    for token in tokens {
        let bytes = unescape(&token.text)?;
        let size = u8::try_from(bytes.len()).map_err(|_| "a string is longer than 255 octets; write it as several")?;
        data.push(size);
        data.extend_from_slice(&bytes);
    }
    Ok(data)
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return Ok(bytes),
            [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', tail @ ..] => {
                let value = [a, b, c].iter().fold(0u16, |value, digit| value * 10 + u16::from(**digit - b'0'));
                bytes.push(u8::try_from(value).map_err(|_| format!("\\{value} is above 255"))?);
                rest = tail;
            }
            [b'\\', other, tail @ ..] | [other, tail @ ..] => {
                bytes.push(*other);
                rest = tail;
            }
        }
    }
}

/// RFC 4034 §5.3; hickory-proto reads it only with its signing features.
fn delegation_signer(tokens: &[Token]) -> Result<Vec<u8>, String> {
    let [tag, algorithm, digest, rest @ ..] = tokens else {
        return Err("key tag, algorithm, digest type, digest".into());
    };
    let tag: u16 = tag.text.parse().map_err(|_| "the key tag is not a number up to 65535")?;
    let small =
        |token: &Token| token.text.parse::<u8>().map_err(|_| format!("{} is not a number up to 255", token.text));
    let mut data = tag.to_be_bytes().to_vec();
    data.extend([small(algorithm)?, small(digest)?]);
    data.extend(hex(rest)?);
    Ok(data)
}

fn known(kind: u16, tokens: &[Token], origin: &Name) -> Result<Vec<u8>, String> {
    let mut line = format!("@ 0 IN {}", RecordType::from(kind));
    for token in tokens {
        line.push(' ');
        match (token.quoted, token.text.as_str()) {
            (true, text) => line.extend(["\"", text, "\""]),
            (false, "@") => line.push_str(&origin.to_ascii()),
            (false, text) if text.starts_with('$') || text.contains([';', '(', ')', '\n']) => {
                return Err(format!("{text:?} cannot be read here"));
            }
            (false, text) => line.push_str(text),
        }
    }
    line.push('\n');
    let (_, sets) = Parser::new(line, None, Some(origin.clone())).parse().map_err(|error| error.to_string())?;
    let mut records = sets.values().flat_map(|set| set.records_without_rrsigs());
    let (Some(record), None) = (records.next(), records.next()) else {
        return Err("not the data of one record".into());
    };
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    record.data.emit(&mut encoder).map_err(|error| error.to_string())?;
    Ok(bytes)
}
