//! A pack of the evidence of a month: its manifest, as far as it is verified.

use domain::Month;
use serde::Deserialize;

use super::{MANIFEST, archive::Archive, finding::Finding, sums::sum_of};

/// What the manifest of such a pack calls itself.
const KIND: &str = "ci-evidence";

/// The version of the form that this program knows.
const SCHEMA_VERSION: u32 = 1;

/// The part of any manifest that tells what it is of.
#[derive(Debug, Deserialize)]
struct Kind {
    kind: String,
}

/// What a manifest states about the files of the pack.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evidence {
    schema_version: u32,
    pub(super) month: Month,
    files: Vec<FileFacts>,
    documents_left_out: u64,
    documents_without_sha256: u64,
}

#[derive(Debug, Deserialize)]
struct FileFacts {
    name: String,
    sha256: String,
}

impl Evidence {
    /// Reports whether a manifest is of a pack of evidence.
    pub(super) fn is_of(manifest: &[u8]) -> bool {
        serde_json::from_slice(manifest).is_ok_and(|Kind { kind }| kind == KIND)
    }

    /// Reads a manifest.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Finding> {
        let found: Self = serde_json::from_slice(bytes).map_err(|error| Finding {
            line: Some(error.line() as u64),
            ..Finding::of(MANIFEST, format!("is not a manifest: {error}"))
        })?;
        if found.schema_version != SCHEMA_VERSION {
            let version = found.schema_version;
            let reason = format!("has the form of version {version}; this program knows version {SCHEMA_VERSION}");
            return Err(Finding::of(MANIFEST, reason));
        }
        Ok(found)
    }

    /// Compares each file with the manifest.
    pub(super) fn check(&self, archive: &mut Archive) -> Vec<Finding> {
        let finding = |FileFacts { name, sha256 }: &FileFacts| match sum_of(archive, name) {
            Err(error) => Some(Finding::unreadable(name, &error)),
            Ok(None) => Some(Finding::of(name, "is in the manifest and missing")),
            Ok(Some(found)) if found != *sha256 => Some(Finding::of(name, "its SHA-256 is not that of the manifest")),
            Ok(Some(_)) => None,
        };
        self.files.iter().filter_map(finding).collect()
    }

    /// Returns what was verified, in lines.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "verified: the evidence of {}\n  signature and checksums of {} files agree",
            self.month,
            self.files.len()
        );
        if self.documents_left_out > 0 {
            text.push_str(&format!("\n  {} documents are not named", self.documents_left_out));
        }
        if self.documents_without_sha256 > 0 {
            text.push_str(&format!("\n  {} documents have no SHA-256", self.documents_without_sha256));
        }
        text
    }
}
