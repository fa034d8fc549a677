//! The archive of a function, as Lambda takes it.

use std::io::{Cursor, Write as _};

use anyhow::{Context as _, Result};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// The level of `gzip -6`.
const LEVEL: i64 = 6;

/// Returns an archive with the binary as `bootstrap`. The same binary gives the same bytes: the time is the earliest that
/// the format knows, and the compression is a crate's that Cargo.lock pins.
pub(super) fn zip(bootstrap: &[u8]) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("bootstrap", options).context("can't begin an archive")?;
    archive.write_all(bootstrap).context("can't compress a binary")?;
    Ok(archive.finish().context("can't end an archive")?.into_inner())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_same_binary_gives_the_same_archive() {
        let bootstrap: Vec<u8> = (0..200_000_u32).flat_map(|word| (word / 7).to_le_bytes()).collect();
        let digest = hex::encode(Sha256::digest(zip(&bootstrap).expect("an archive")));
        assert_eq!(
            digest, "f229e2dad25b530103e06b8c249def2e35b90623d44150d8c2436d0a118ceaed",
            "the archive's bytes changed; releases that were built before can't be rebuilt by this version"
        );
    }

    #[test]
    fn the_archive_has_one_program() {
        let bytes = zip(b"program").expect("an archive");
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
        assert_eq!(archive.len(), 1);
        let mut file = archive.by_index(0).expect("a file");
        assert_eq!(file.name().expect("a name"), "bootstrap");
        assert_eq!(file.unix_mode(), Some(0o100_755));
        assert_eq!(std::io::read_to_string(&mut file).expect("text"), "program");
    }
}
