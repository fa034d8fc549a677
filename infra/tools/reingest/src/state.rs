//! The position of a run: the key up to which everything is done.

use std::{fs, io::ErrorKind, path::PathBuf};

use anyhow::{Context as _, Result};

/// The last key that is done, and the file that stores it.
#[derive(Debug)]
pub(crate) struct State {
    file: Option<PathBuf>,
    done: String,
}

impl State {
    /// Reads the file if it exists, else starts after `after`.
    pub(crate) fn open(file: Option<PathBuf>, after: String) -> Result<Self> {
        let done = match file.as_ref().map(fs::read_to_string) {
            None => after,
            Some(Ok(text)) => text.strip_suffix('\n').map(str::to_owned).unwrap_or(text),
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => after,
            Some(Err(error)) => return Err(error).context("can't read the state"),
        };
        Ok(Self { file, done })
    }

    /// Reports whether the key is outside of the keys with `prefix`, as that of another command would be.
    pub(crate) fn is_foreign_to(&self, prefix: &str) -> bool {
        !self.done.is_empty() && !self.done.starts_with(prefix)
    }

    /// Returns the last key that is done; empty at the start.
    pub(crate) fn done(&self) -> &str {
        &self.done
    }

    /// Returns the file, if one was given.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Records that everything up to this key is done.
    pub(crate) fn advance(&mut self, key: String) {
        self.done = key;
    }

    /// Writes the file. It is replaced as a whole, so an interruption leaves the old one or the new one.
    pub(crate) fn save(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let new = file.with_added_extension("new");
        fs::write(&new, format!("{}\n", self.done))
            .and_then(|()| fs::rename(&new, file))
            .with_context(|| format!("can't write {}", file.display()))
    }

    /// Removes the file: nothing is left to resume.
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
