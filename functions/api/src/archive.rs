//! A zip of files with their checksums. The same files give the same bytes: all have one time, and none is compressed.

use std::{
    fmt::Write as _,
    io::{self, Cursor, Write as _},
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, result::ZipError, write::SimpleFileOptions};

use crate::problem::Problem;

/// Returns a value as the JSON of a file: two spaces a level, and a line feed at the end.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(Problem::internal)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A zip in the making, without compression, and the lines of its `SHA256SUMS`.
pub(crate) struct Archive {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    sums: String,
}

impl Default for Archive {
    fn default() -> Self {
        Self { zip: ZipWriter::new(Cursor::new(Vec::new())), sums: String::new() }
    }
}

impl Archive {
    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        let sum = hex::encode(Sha256::digest(bytes));
        self.list(name, &sum);
        self.write(name, bytes)
    }

    /// Lists a file that is not in the zip.
    pub(crate) fn list(&mut self, name: &str, sum: &str) {
        let _ = writeln!(self.sums, "{sum}  {name}");
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        self.zip.start_file(name, options).map_err(|error: ZipError| Problem::internal(error))?;
        self.zip.write_all(bytes).map_err(|error: io::Error| Problem::internal(error))
    }

    /// Adds `SHA256SUMS`, and returns the bytes of the zip.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Problem> {
        let sums = std::mem::take(&mut self.sums);
        self.write("SHA256SUMS", sums.as_bytes())?;
        Ok(self.zip.finish().map_err(Problem::internal)?.into_inner())
    }
}
