//! Files that are downloaded: at their path once they are whole, and not before.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{cli::Destination, outcome::Outcome};

/// The place to which the bytes of a download go.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout(io::Stdout),
    File(PartFile),
}

/// A file that is written as `FILE.part`. Unless it is finished, nothing is left of it.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: File,
    part: PathBuf,
    path: PathBuf,
}

impl Destination {
    /// Fails before any work if the download could not be kept.
    pub(crate) fn check(&self, force: bool, json: bool) -> Result<()> {
        match self {
            Self::Stdout if json => {
                Err(Outcome::WrongUsage("--json and --out - would both write to stdout".to_owned()).into())
            }
            Self::Stdout => Ok(()),
            Self::File(path) => require_absent(path, force),
        }
    }
}

impl Sink {
    /// Opens a destination.
    pub(crate) fn open(destination: Destination, force: bool) -> Result<Self> {
        match destination {
            Destination::Stdout => Ok(Self::Stdout(io::stdout())),
            Destination::File(path) => {
                require_absent(&path, force)?;
                let mut part = path.clone().into_os_string();
                part.push(".part");
                let part = PathBuf::from(part);
                let file = File::create(&part).with_context(|| format!("can't write {}", part.display()))?;
                Ok(Self::File(PartFile { file, part, path }))
            }
        }
    }

    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.lock().write_all(bytes).context("can't write to stdout"),
            Self::File(part) => {
                part.file.write_all(bytes).with_context(|| format!("can't write {}", part.part.display()))
            }
        }
    }

    /// Keeps what was written; returns the path of the file.
    pub(crate) fn finish(self) -> Result<Option<PathBuf>> {
        match self {
            Self::Stdout(stdout) => {
                stdout.lock().flush().context("can't write to stdout")?;
                Ok(None)
            }
            Self::File(part) => {
                let keep = part.file.sync_all().and_then(|()| std::fs::rename(&part.part, &part.path));
                keep.with_context(|| format!("can't write {}", part.path.display()))?;
                Ok(Some(part.path.clone()))
            }
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // It is not there any more if it was finished.
        let _ = std::fs::remove_file(&self.part);
    }
}

fn require_absent(path: &Path, force: bool) -> Result<()> {
    if !force && path.exists() {
        bail!("{} exists; name another file, or replace it with --force", path.display());
    }
    Ok(())
}

/// Returns the text of a file; `-` is standard input.
pub(crate) fn text(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return io::read_to_string(io::stdin()).context("could not read standard input");
    }
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// Returns the file's name from `Content-Disposition`, if it is one that can be used as it is: a server must not choose
/// a folder, nor a hidden file.
pub(crate) fn name(disposition: &str) -> Option<&str> {
    let name = disposition.split("filename=\"").nth(1)?.split('"').next()?;
    is_plain(name).then_some(name)
}

/// Reports whether a name that a server chose can be used as it is.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.chars().all(plain) && !name.starts_with(['.', '-']) && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a path in a folder of its own.
    fn path() -> PathBuf {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        folder.join("usage.csv")
    }

    fn files(path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let path = path();
        let mut sink = Sink::open(Destination::File(path.clone()), false).unwrap();
        sink.write(b"a").unwrap();
        assert_eq!(files(&path), ["usage.csv.part"]);
        assert_eq!(sink.finish().unwrap(), Some(path.clone()));
        assert_eq!((files(&path), std::fs::read(&path).unwrap()), (vec!["usage.csv".to_owned()], b"a".to_vec()));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn nothing_is_left_of_a_download_that_fails() {
        let path = path();
        let mut sink = Sink::open(Destination::File(path.clone()), false).unwrap();
        sink.write(b"a").unwrap();
        drop(sink);
        assert!(files(&path).is_empty(), "{:?}", files(&path));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn an_existing_file_is_replaced_only_by_force() {
        let path = path();
        std::fs::write(&path, "old").unwrap();
        let destination = Destination::File(path.clone());
        let refused = destination.check(false, false).unwrap_err().to_string();
        assert!(refused.contains("exists") && refused.contains("--force"), "{refused}");
        assert!(Sink::open(destination.clone(), false).is_err());
        assert!(destination.check(true, false).is_ok());
        Sink::open(destination, true).unwrap().finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_server_chooses_no_place() {
        assert_eq!(name("attachment; filename=\"usage-1-daily.csv\""), Some("usage-1-daily.csv"));
        for unusable in [
            "",
            "attachment",
            "filename=\"\"",
            "filename=\"../x\"",
            "filename=\".x\"",
            "filename=\"-x\"",
            "filename=\"a b\"",
        ] {
            assert_eq!(name(unusable), None, "{unusable}");
        }
    }
}
