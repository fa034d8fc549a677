//! The file of lines that are no events, or whose events are kept aside.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::lines::Rejected;

/// Maximum number of rejected lines that are shown during the load. The file has all of them.
const TOLD: u64 = 5;

/// A file that is made when it is first needed.
#[derive(Debug)]
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Rejects {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, count: 0 }
    }

    /// Writes a line, and returns what to say of it, if anything.
    pub(crate) fn add(&mut self, source: &str, rejected: &Rejected) -> Result<Option<String>> {
        let failed = || format!("could not write {}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(File::create(&self.path).with_context(failed)?)),
        };
        let Rejected { number, reason, line } = rejected;
        let text = String::from_utf8_lossy(line);
        let record = json!({"file": source, "line": number, "reason": reason.to_string(), "text": text});
        writeln!(file, "{record}").with_context(failed)?;
        self.count += 1;
        Ok((self.count <= TOLD).then(|| format!("{source}, line {number} {reason}")))
    }

    /// Writes the file out, and says where it is.
    pub(crate) fn finish(&mut self) -> Result<Option<String>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        file.flush().with_context(|| format!("could not write {}", self.path.display()))?;
        let path = self.path.display();
        Ok(Some(match self.count {
            1 => format!("1 line was not accepted; it is in {path}"),
            count => format!("{count} lines were not accepted; they are in {path}"),
        }))
    }
}
