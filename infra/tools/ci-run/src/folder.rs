//! The folder of documents that are not uploaded yet. A document's path below it is its key.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use jiff::tz::TimeZone;
use walkdir::WalkDir;

use crate::{
    cli::Layout,
    document::{Document, Kind},
};

/// The folder.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    layout: Layout,
}

impl Folder {
    pub(crate) const fn new(root: PathBuf, layout: Layout) -> Self {
        Self { root, layout }
    }

    /// Writes a document and returns its path. It is there whole or not at all.
    pub(crate) fn write(&self, document: &Document) -> Result<PathBuf> {
        let key = self.key(document);
        let is_below =
            !key.contains("//") && Path::new(&key).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(
            is_below,
            "the service and the run id must be no paths that lead elsewhere; they are in the key {key:?}"
        );
        let path = self.root.join(key);
        let written = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let ignore = self.root.join(".gitignore");
            if !ignore.exists() {
                fs::write(ignore, "*\n")?;
            }
            let part = path.with_extension("part");
            let mut file = File::create(&part)?;
            file.write_all(document.json.as_bytes())?;
            file.sync_all()?;
            fs::rename(part, &path)
        };
        written().with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }

    /// Returns the documents, in the order of their keys.
    ///
    /// # Errors
    /// When the folder can't be read. A folder that does not exist has none.
    pub(crate) fn documents(&self) -> Result<Vec<PathBuf>> {
        let metrics = self.root.join("metrics");
        if !metrics.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in WalkDir::new(metrics).sort_by_file_name() {
            let entry = entry.with_context(|| format!("can't read {}", self.root.display()))?;
            if entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "json") {
                found.push(entry.into_path());
            }
        }
        Ok(found)
    }

    /// Returns the key of a document in the folder.
    pub(crate) fn key_of(&self, path: &Path) -> Result<String> {
        let key = path.strip_prefix(&self.root)?.to_str().context("the name of a document is not UTF-8")?;
        Ok(key.to_owned())
    }

    fn key(&self, document: &Document) -> String {
        let Document { kind, service, run_id, started_at, .. } = document;
        let folder = match kind {
            Kind::Run => "metrics",
            Kind::Tests => "metrics/tests",
        };
        let day = TimeZone::UTC.to_datetime(*started_at).date().strftime("%Y/%m/%d");
        match self.layout {
            Layout::Service => format!("{folder}/{day}/{service}/{run_id}.json"),
            Layout::Flat => format!("{folder}/{day}/{run_id}.json"),
        }
    }
}
