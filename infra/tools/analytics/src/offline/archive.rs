//! The files that are verified: in a folder or in a zip.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zip::{ZipArchive, result::ZipError};

/// Maximum size of a file that is read whole: all but the CSV are far smaller.
const MAX_BYTES: u64 = 16 << 20;

/// A folder, or a zip.
#[derive(Debug)]
pub(super) enum Archive {
    Folder(PathBuf),
    Zip(ZipArchive<File>),
}

impl Archive {
    /// Opens a folder, or a zip.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        Ok(Self::Zip(ZipArchive::new(File::open(path)?)?))
    }

    /// Returns the names of a zip's files; none of a folder.
    pub(super) fn names_in_zip(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Folder(_) => Ok(Vec::new()),
            Self::Zip(zip) => zip.file_names().map(|name| Ok(name.map_err(io::Error::other)?.to_string())).collect(),
        }
    }

    /// Begins to read a file; `None` if it is not there.
    pub(super) fn stream(&mut self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        match self {
            // A name from a manifest that is not verified must not lead out of the folder.
            Self::Folder(_) if name.contains(['/', '\\']) || name.starts_with('.') => Ok(None),
            Self::Folder(folder) => match File::open(folder.join(name)) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Zip(zip) => match zip.by_name(name) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(ZipError::FileNotFound) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Returns the bytes of a file; `None` if it is not there.
    pub(super) fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(stream) = self.stream(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        stream.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("{name} has more than {MAX_BYTES} bytes")));
        }
        Ok(Some(bytes))
    }
}
