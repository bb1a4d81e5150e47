//! The form of a document on disk: one line of header, then the content as it is, so that a person can still read it.
//!
//! `waggle-document 1 <sha-256 of the content, hex> <length of the content, bytes>\n`

use ring::digest::{SHA256, digest};

const MAGIC: &str = "waggle-document 1";

/// Bytes of the longest header: magic, checksum, length, two spaces and the line end.
pub(super) const MAX_HEADER: usize = MAGIC.len() + 64 + 20 + 3;

pub(super) fn seal(content: &[u8]) -> Vec<u8> {
    let mut sealed = header(content).into_bytes();
    sealed.extend_from_slice(content);
    sealed
}

/// The content, or what is wrong.
pub(super) fn open(sealed: &[u8]) -> Result<&[u8], &'static str> {
    if !sealed.starts_with(MAGIC.as_bytes()) {
        return Err("it does not start like a document");
    }
    let end = sealed.iter().take(MAX_HEADER).position(|byte| *byte == b'\n').ok_or("its header is torn")?;
    let (header_line, content) = sealed.split_at(end + 1);
    if header_line != header(content).as_bytes() {
        return Err("its checksum or its length is wrong");
    }
    Ok(content)
}

fn header(content: &[u8]) -> String {
    let sum: String = digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{MAGIC} {sum} {}\n", content.len())
}
