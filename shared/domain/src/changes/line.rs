//! The lines of a file, read from its bytes.

use std::{cmp::Ordering, str};

use jiff::Timestamp;

use super::Figures;
use crate::{ModelId, OrgId};

/// The first line of a file.
pub const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n";

/// The maximum length of a line; the longest of an export has about 300 bytes.
const MAX_LINE_LENGTH: usize = 1024;

/// What a line is of, in the order of a file: by bucket, then by model; no model comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The start of the bucket.
    pub bucket: Timestamp,
    /// The model; `None` for usage without a model.
    pub model: Option<ModelId>,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |key: &Self| (key.bucket, key.model.is_none(), key.model);
        place(self).cmp(&place(other))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: Key,
    pub(super) figures: Figures,
}

/// Bytes that are not an export's file of the organization, or whose lines are not in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a line of the organization's file, or not in its order")]
pub struct NotAFile {
    /// The line; the header is the first.
    pub line: u64,
}

/// Reads lines from bytes in pieces of any size, and holds at most one piece and the beginning of a line.
#[derive(Debug)]
pub(super) struct LineReader {
    org: String,
    buffer: Vec<u8>,
    /// The number of bytes of the buffer that were read.
    read: usize,
    has_header: bool,
    /// Lines that were read, without the header.
    pub(super) lines: u64,
    last: Option<Key>,
    /// The text and the value of the last bucket, which most lines share with the one before.
    bucket: Option<(Vec<u8>, Timestamp)>,
}

impl LineReader {
    pub(super) fn new(org: OrgId) -> Self {
        let org = org.to_string();
        Self { org, buffer: Vec::new(), read: 0, has_header: false, lines: 0, last: None, bucket: None }
    }

    /// Adds the next bytes. Those before must have been read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next whole line; `None` if its end has not arrived.
    pub(super) fn next(&mut self) -> Result<Option<Line>, NotAFile> {
        loop {
            let rest = self.buffer.get(self.read..).unwrap_or_default();
            let Some(length) = rest.iter().take(MAX_LINE_LENGTH).position(|byte| *byte == b'\n') else {
                return if rest.len() < MAX_LINE_LENGTH { Ok(None) } else { Err(self.bad_line()) };
            };
            let line = self.read..self.read + length;
            self.read += length + 1;
            if !self.has_header {
                self.has_header = self.buffer.get(line).is_some_and(|line| line == HEADER.trim_end().as_bytes());
                if !self.has_header {
                    return Err(self.bad_line());
                }
                continue;
            }
            let text = self.buffer.get(line).and_then(|line| str::from_utf8(line).ok());
            let found = text.and_then(|text| read(text, &self.org, &mut self.bucket));
            let found = found.filter(|line| self.last.is_none_or(|last| last <= line.key));
            let found = found.ok_or_else(|| self.bad_line())?;
            self.last = Some(found.key);
            self.lines += 1;
            return Ok(Some(found));
        }
    }

    /// Checks that the bytes ended with a line.
    pub(super) fn end(&self) -> Result<(), NotAFile> {
        if self.has_header && self.read == self.buffer.len() { Ok(()) } else { Err(self.bad_line()) }
    }

    const fn bad_line(&self) -> NotAFile {
        NotAFile { line: self.lines + if self.has_header { 2 } else { 1 } }
    }
}

/// Reads a line. No field is ever quoted, since none holds a comma or a quote.
fn read(line: &str, org: &str, last: &mut Option<(Vec<u8>, Timestamp)>) -> Option<Line> {
    let mut fields = line.split(',');
    let mut field = || fields.next();
    let bucket = bucket(field()?, last)?;
    if field()? != org {
        return None;
    }
    let model = match field()? {
        "" => None,
        model => Some(model.parse().ok()?),
    };
    let counts = [count(field()?)?, count(field()?)?, count(field()?)?];
    let cost = ten_thousandths(field()?)?;
    fields.next().is_none().then(|| Line { key: Key { bucket, model }, figures: Figures::new(counts, cost) })
}

fn bucket(text: &str, last: &mut Option<(Vec<u8>, Timestamp)>) -> Option<Timestamp> {
    match last {
        Some((known, bucket)) if known == text.as_bytes() => Some(*bucket),
        _ => {
            let bucket = text.parse().ok()?;
            *last = Some((text.as_bytes().to_vec(), bucket));
            Some(bucket)
        }
    }
}

fn count(text: &str) -> Option<i128> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// Reads a cost with exactly four decimals.
fn ten_thousandths(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix('-');
    let (whole, decimals) = unsigned.unwrap_or(text).split_once('.')?;
    let is_plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(whole) || !is_plain(decimals) || decimals.len() != 4 {
        return None;
    }
    // As a negative number, whose range is the greater one.
    let size = whole.parse::<i128>().ok()?.checked_neg()?.checked_mul(10_000)?;
    let negative = size.checked_sub(decimals.parse().ok()?)?;
    if unsigned.is_some() { Some(negative) } else { negative.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_exactly() {
        for (text, value) in [
            ("0.0000", Some(0)),
            ("-0.0001", Some(-1)),
            ("10.5000", Some(105_000)),
            ("-17014118346046923173168730371588410.5728", Some(i128::MIN)),
            ("17014118346046923173168730371588410.5727", Some(i128::MAX)),
            ("17014118346046923173168730371588410.5728", None),
            ("1.5", None),
            ("1.50000", None),
            ("1", None),
            (".5000", None),
            ("+1.5000", None),
            ("--1.5000", None),
            ("1.-500", None),
            ("", None),
        ] {
            assert_eq!(ten_thousandths(text), value, "{text}");
        }
    }

    #[test]
    fn no_model_comes_last() {
        let key = |bucket: i64, model: Option<u128>| Key {
            bucket: Timestamp::from_second(bucket).unwrap(),
            model: model.map(|model| uuid::Uuid::from_u128(model).into()),
        };
        let ordered = [key(0, Some(1)), key(0, Some(2)), key(0, None), key(1, Some(0)), key(1, None)];
        assert!(ordered.is_sorted() && ordered.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
