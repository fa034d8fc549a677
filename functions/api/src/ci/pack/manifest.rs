//! The manifest of a pack: the checksums of its files, and of the documents that they rest on.

use ci::reports::EvidenceObject;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{super::targets::JudgeView, Content};

/// The version of the document's form. A reader refuses one that it does not know.
const SCHEMA_VERSION: u32 = 1;

/// A statement about the files of a pack.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest<'a> {
    /// The version of this document's form.
    schema_version: u32,
    /// The kind of the files, so that it is not taken for the manifest of an export.
    kind: &'static str,
    month: String,
    /// `false` if more runs of the month may come.
    is_month_over: bool,
    /// The version of the software that made the files: the commit of its release.
    software_version: &'static str,
    judged_by: JudgeView,
    files: Vec<FileView>,
    /// The number of measured runs whose documents are not named, summed over the targets.
    documents_left_out: u64,
    /// The number of named documents whose SHA-256 is not known.
    documents_without_sha256: usize,
    /// The documents, by key.
    documents: Vec<DocumentView<'a>>,
}

/// The bytes of a file.
#[derive(Debug, Serialize)]
struct FileView {
    name: &'static str,
    bytes: usize,
    sha256: String,
}

/// A document that a verdict rests on, as it was when its run was read from it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DocumentView<'a> {
    key: &'a str,
    /// Absent where no versions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    entity_tag: &'a str,
    /// Absent if the document was read before checksums were recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
}

impl<'a> Manifest<'a> {
    /// Makes the manifest of these files.
    pub(super) fn of(content: &'a Content, files: &[(&'static str, Vec<u8>)]) -> Self {
        let documents = content.documents();
        let files = files.iter().map(|(name, bytes)| FileView {
            name,
            bytes: bytes.len(),
            sha256: hex::encode(Sha256::digest(bytes)),
        });
        Self {
            schema_version: SCHEMA_VERSION,
            kind: "ci-evidence",
            month: content.month.to_string(),
            is_month_over: content.is_over,
            software_version: platform::VERSION,
            judged_by: JudgeView::from(&content.in_force.judge),
            files: files.collect(),
            documents_left_out: content.left_out(),
            documents_without_sha256: documents.iter().filter(|document| document.sha256.is_none()).count(),
            documents,
        }
    }
}

impl<'a> From<&'a EvidenceObject> for DocumentView<'a> {
    fn from(object: &'a EvidenceObject) -> Self {
        Self {
            key: &object.key,
            version: object.version.as_deref(),
            entity_tag: &object.etag,
            sha256: object.sha256.as_ref().map(hex::encode),
        }
    }
}
