//! Files with credentials.

use std::{fs::File, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context, Result};

/// Writes a file that only its owner may read. A reader finds the old text or the new one, nothing between.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&draft, path)
    };
    write().with_context(|| format!("can't write {}", path.display()))
}
