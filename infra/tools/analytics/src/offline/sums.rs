//! `SHA256SUMS`, as `sha256sum` writes and checks it.

use std::{
    collections::BTreeSet,
    io::{self, Read as _},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::{BUFFER_BYTES, SUMS, archive::Archive, finding::Finding};

/// Compares each file with its line. A folder may be without them: its files are then compared with the manifest alone.
pub(super) fn check(archive: &mut Archive) -> Result<Vec<Finding>> {
    let Some(bytes) = archive.read(SUMS).with_context(|| format!("can't read {SUMS}"))? else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    let mut listed = BTreeSet::from([SUMS.to_owned()]);
    for (number, line) in (1..).zip(String::from_utf8_lossy(&bytes).lines()) {
        let Some((sum, name)) = line.split_once("  ").filter(|(sum, _)| is_sum(sum)) else {
            let finding = Finding::of(SUMS, "is not a SHA-256, two spaces and a name");
            findings.push(Finding { line: Some(number), ..finding });
            continue;
        };
        listed.insert(name.to_owned());
        match sum_of(archive, name) {
            Err(error) => findings.push(Finding { is_sum: true, ..Finding::unreadable(name, &error) }),
            Ok(None) => findings.push(is_sum_of(name, "is listed in SHA256SUMS and missing")),
            Ok(Some(found)) if found != sum.to_ascii_lowercase() => {
                findings.push(is_sum_of(name, "its SHA-256 is not that of SHA256SUMS"));
            }
            Ok(Some(_)) => {}
        }
    }
    // In a folder people keep other files, too, such as the key.
    for name in archive.names_in_zip().context("can't list the files")? {
        if !listed.contains(&name) {
            findings.push(Finding::of(&name, "is not listed in SHA256SUMS: it was put in"));
        }
    }
    Ok(findings)
}

fn is_sum_of(name: &str, reason: &str) -> Finding {
    Finding { is_sum: true, ..Finding::of(name, reason) }
}

fn is_sum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the SHA-256 of a file in hex; `None` if it is not there.
pub(super) fn sum_of(archive: &mut Archive, name: &str) -> io::Result<Option<String>> {
    let Some(mut reader) = archive.stream(name)? else { return Ok(None) };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Some(hex::encode(hash.finalize()))),
            count => hash.update(&buffer[..count]),
        }
    }
}
