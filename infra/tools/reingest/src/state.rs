//! How far it is: the last key up to which everything is done.

use std::{fs, io::ErrorKind, path::PathBuf};

use anyhow::{Context as _, Result};

/// The last key that is done, and the file that remembers it.
#[derive(Debug)]
pub(crate) struct State {
    file: Option<PathBuf>,
    done: String,
}

impl State {
    /// Reads the file if there is one, else begins after `after`.
    pub(crate) fn open(file: Option<PathBuf>, after: String) -> Result<Self> {
        let done = match file.as_ref().map(fs::read_to_string) {
            None => after,
            Some(Ok(text)) => text.strip_suffix('\n').map(str::to_owned).unwrap_or(text),
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => after,
            Some(Err(error)) => return Err(error).context("can't read the state"),
        };
        Ok(Self { file, done })
    }

    /// Whether it is of another range than that of the keys that begin with `prefix`, as that of another command would be.
    pub(crate) fn is_foreign_to(&self, prefix: &str) -> bool {
        !self.done.is_empty() && !self.done.starts_with(prefix)
    }

    /// The last key that is done; empty at the beginning.
    pub(crate) fn done(&self) -> &str {
        &self.done
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Everything up to this key is done.
    pub(crate) fn advance(&mut self, key: String) {
        self.done = key;
    }

    /// Writes the file. It is replaced whole: an interruption leaves the old one or the new one.
    pub(crate) fn save(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let new = file.with_added_extension("new");
        fs::write(&new, format!("{}\n", self.done))
            .and_then(|()| fs::rename(&new, file))
            .with_context(|| format!("can't write {}", file.display()))
    }

    /// Removes the file: there is nothing to go on with.
    pub(crate) fn finish(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't remove {}", file.display()))
            }
            _ => Ok(()),
        }
    }
}
