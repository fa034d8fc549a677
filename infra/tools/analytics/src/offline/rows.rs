//! The lines of a CSV, each against what the manifest says of all of them.

use domain::{Granularity, ModelId, measures::COST_SCALE};
use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{finding::Finding, manifest::Manifest};

/// The number of columns.
const COLUMNS: usize = 7;

/// The maximum length of a line; the longest of an export has about 300 bytes.
const MAX_LINE_LENGTH: usize = 1024;

/// Reads bytes in pieces of any size, and holds at most one line of them.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    manifest: &'a Manifest,
    organization: String,
    /// The beginning of a line whose end has not arrived yet.
    rest: Vec<u8>,
    /// The number of the line that is read next, from 1, and the byte at which it begins.
    line: u64,
    byte: u64,
    /// The bucket of the line before.
    last: Option<Timestamp>,
}

impl<'a> Rows<'a> {
    /// Begins a file of this manifest.
    pub(super) fn of(manifest: &'a Manifest) -> Self {
        let organization = manifest.org_id.to_string();
        Self { manifest, organization, rest: Vec::new(), line: 1, byte: 0, last: None }
    }

    /// Adds the next bytes. The first line that is wrong ends it.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            let mut whole = std::mem::take(&mut self.rest);
            whole.extend_from_slice(line);
            self.check(&whole)?;
            self.line += 1;
            self.byte += whole.len() as u64 + 1;
            // Keeps the buffer.
            whole.clear();
            self.rest = whole;
        }
        self.rest.extend_from_slice(last);
        if self.rest.len() > MAX_LINE_LENGTH {
            Err(self.wrong("the line is longer than any of an export"))
        } else {
            Ok(())
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<(), Finding> {
        if self.line == 1 || !self.rest.is_empty() { Err(self.wrong("the file ends within this line")) } else { Ok(()) }
    }

    fn check(&mut self, line: &[u8]) -> Result<(), Finding> {
        let Ok(text) = str::from_utf8(line) else { return Err(self.wrong("the line is not text")) };
        if self.line == 1 {
            let is_header = text.split(',').eq(self.manifest.columns.iter().map(String::as_str));
            return if is_header { Ok(()) } else { Err(self.wrong("the header has not the columns of the manifest")) };
        }
        let fields: Vec<&str> = text.split(',').collect();
        let Ok(fields) = <[&str; COLUMNS]>::try_from(fields) else {
            return Err(self.wrong(&format!("the line has not {COLUMNS} fields")));
        };
        let [bucket, organization, model, .., cost] = fields;
        let bucket = self.bucket(bucket).map_err(|reason| self.wrong_field(&fields, 0, reason))?;
        if organization != self.organization {
            return Err(self.wrong_field(&fields, 1, "is not the organization of the manifest"));
        }
        self.model(model).map_err(|reason| self.wrong_field(&fields, 2, reason))?;
        for index in 3..6 {
            if !is_count(fields[index]) {
                return Err(self.wrong_field(&fields, index, "is not a count"));
            }
        }
        if !is_cost(cost) {
            return Err(self.wrong_field(&fields, 6, "is not an amount with four decimals"));
        }
        self.last = Some(bucket);
        Ok(())
    }

    fn bucket(&self, text: &str) -> Result<Timestamp, &'static str> {
        let bucket: Timestamp = text.parse().map_err(|_| "is not a time")?;
        if bucket.to_string() != text {
            return Err("is not a time in the form of an export");
        }
        let range = self.manifest.request.time_range;
        // The bucket of a month begins before a range that begins within it.
        let is_early = self.manifest.request.granularity != Granularity::Monthly && bucket < range.start();
        if is_early || bucket >= range.end() {
            return Err("is not in the range of the manifest");
        }
        if self.last.is_some_and(|last| bucket < last) { Err("is before that of the line before") } else { Ok(bucket) }
    }

    fn model(&self, text: &str) -> Result<(), &'static str> {
        let models = self.manifest.request.models.as_ref();
        if text.is_empty() {
            return if models.is_none() { Ok(()) } else { Err("is not one of the models of the manifest") };
        }
        let model: ModelId = text.parse().map_err(|_| "is not a UUID")?;
        if models.is_none_or(|models| models.contains(&model)) {
            Ok(())
        } else {
            Err("is not one of the models of the manifest")
        }
    }

    fn wrong(&self, reason: &str) -> Finding {
        Finding { line: Some(self.line), byte: Some(self.byte), ..Finding::of(&self.manifest.file.name, reason) }
    }

    fn wrong_field(&self, fields: &[&str; COLUMNS], index: usize, reason: &str) -> Finding {
        let before: usize = fields[..index].iter().map(|field| field.len() + 1).sum();
        Finding {
            byte: Some(self.byte + before as u64),
            column: self.manifest.columns.get(index).cloned(),
            ..self.wrong(reason)
        }
    }
}

fn is_count(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|count| count.to_string() == text)
}

fn is_cost(text: &str) -> bool {
    Decimal::from_str_exact(text).is_ok_and(|cost| cost.scale() == COST_SCALE && cost.to_string() == text)
}
