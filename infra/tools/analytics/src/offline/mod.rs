//! `verify --key`: a file with its manifest and the manifest's signature, without the service.

mod archive;
mod evidence;
mod finding;
mod keys;
mod manifest;
mod rows;
mod sums;

use std::path::Path;

use anyhow::{Context as _, Result};
use domain::{JobId, Month};
use engine::recount::Recount;
use serde::Serialize;

pub(crate) use self::keys::Keys;
use self::{archive::Archive, evidence::Evidence, finding::Finding, manifest::Manifest, rows::Rows};
use crate::{
    facts::{Facts, different},
    outcome::Outcome,
};

/// The names that the service gives the files.
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.sig";
const SUMS: &str = "SHA256SUMS";

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The answer with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// `verified` or `different`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    /// The month of a pack of evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    month: Option<Month>,
    /// What was found wrong, the first first.
    findings: Vec<Finding>,
}

/// What a manifest is of.
#[derive(Debug)]
enum Verified {
    Export(Box<Manifest>),
    Evidence(Evidence),
}

/// Verifies a folder or a zip.
pub(crate) fn run(path: &Path, key: &Path, json: bool) -> Result<()> {
    let keys = Keys::read(key)?;
    let mut archive =
        Archive::open(path).with_context(|| format!("can't read {} as a folder or a zip", path.display()))?;
    let (manifest, findings) = verify(&mut archive, &keys)?;
    let verdict = match findings.first() {
        None => Ok(()),
        Some(first) => Err(Outcome::Mismatch(first.to_string())),
    };
    let text = as_text(manifest.as_ref(), &findings);
    let (job_id, month) = match manifest {
        Some(Verified::Export(manifest)) => (Some(manifest.job_id), None),
        Some(Verified::Evidence(evidence)) => (None, Some(evidence.month)),
        None => (None, None),
    };
    let status = if verdict.is_ok() { "verified" } else { "different" };
    let answer = Answer { status, job_id, month, findings };
    terminal::answer(if json { serde_json::to_string(&answer)? } else { text }.trim_end());
    verdict.with_context(|| path.display().to_string())
}

/// Returns the manifest, if it can be read, and all that is wrong.
fn verify(archive: &mut Archive, keys: &Keys) -> Result<(Option<Verified>, Vec<Finding>)> {
    let mut findings = sums::check(archive)?;
    let Some(bytes) = archive.read(MANIFEST)? else {
        findings.push(Finding::of(MANIFEST, "is missing"));
        return Ok((None, findings));
    };
    match archive.read(SIGNATURE)? {
        None => findings.push(Finding::of(SIGNATURE, "is missing")),
        Some(signature) if !keys.verify(&bytes, &signature) => findings.push(Finding::of(
            if findings.iter().any(|finding| finding.file == MANIFEST) { MANIFEST } else { SIGNATURE },
            "the signature is not one of manifest.json by a key of --key: one of the two was altered, or the key is \
             another",
        )),
        Some(_) => {}
    }
    let manifest = if Evidence::is_of(&bytes) {
        Evidence::parse(&bytes).map(Verified::Evidence)
    } else {
        Manifest::parse(&bytes).map(|manifest| Verified::Export(Box::new(manifest)))
    };
    let manifest = match manifest {
        Ok(Verified::Export(manifest)) => manifest,
        Ok(Verified::Evidence(evidence)) => {
            let found = evidence.check(archive);
            // The sums name a file as well.
            findings.retain(|sum| !sum.is_sum || found.iter().all(|finding| finding.file != sum.file));
            findings.extend(found);
            return Ok((Some(Verified::Evidence(evidence)), findings));
        }
        Err(finding) => {
            findings.push(finding);
            return Ok((None, findings));
        }
    };
    findings.extend(check_rows(archive, &manifest)?);
    // The sums name a file; what was found in it says more.
    let of_file = |finding: &Finding| finding.file == manifest.file.name;
    if findings.iter().any(|finding| of_file(finding) && !finding.is_sum) {
        findings.retain(|finding| !(of_file(finding) && finding.is_sum));
    }
    Ok((Some(Verified::Export(manifest)), findings))
}

/// Compares the CSV with the manifest.
fn check_rows(archive: &mut Archive, manifest: &Manifest) -> Result<Vec<Finding>> {
    let name = &manifest.file.name;
    let mut rows = Rows::of(manifest);
    let mut recount = Recount::new();
    let unreadable = || format!("can't read {name}");
    let Some(mut reader) = archive.stream(name).with_context(unreadable)? else {
        let reason = "is missing; download it into the folder, or get a pack by `analytics export pack`";
        return Ok(vec![Finding::of(name, reason)]);
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Ok(vec![Finding::unreadable(name, &error)]),
        };
        if let Err(finding) = rows.add(&buffer[..count]) {
            return Ok(vec![finding]);
        }
        if let Err(error) = recount.add(&buffer[..count]) {
            return Ok(vec![Finding { line: Some(error.line), ..Finding::of(name, error.to_string()) }]);
        }
    }
    if let Err(finding) = rows.finish() {
        return Ok(vec![finding]);
    }
    let found = match recount.finish() {
        Ok(found) => found,
        Err(error) => return Ok(vec![Finding { line: Some(error.line), ..Finding::of(name, error.to_string()) }]),
    };
    let facts = Facts {
        checksum: format!("sha256:{}", manifest.file.sha256),
        row_count: manifest.file.row_count,
        totals: manifest.totals,
    };
    Ok(different(&found, &facts)
        .into_iter()
        .map(|(fact, found, stated)| match fact {
            "checksum" => Finding::of(name, format!("its SHA-256 is not that of the manifest: {found}, not {stated}")),
            "rows" => Finding::of(name, format!("it has {found} rows, the manifest states {stated}")),
            column => Finding {
                column: Some(column.to_owned()),
                ..Finding::of(name, format!("the column's sum is {found}, the manifest states {stated}"))
            },
        })
        // What narrows the place down first; the checksum differs whatever is wrong.
        .rev()
        .collect())
}

fn as_text(manifest: Option<&Verified>, findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    if let (Some(Verified::Evidence(evidence)), []) = (manifest, findings) {
        lines.push(evidence.text());
    }
    if let (Some(Verified::Export(manifest)), []) = (manifest, findings) {
        lines.push(format!("verified: the file of job {}", manifest.job_id));
        lines
            .push(format!("  {}: {} bytes, {} rows", manifest.file.name, manifest.file.bytes, manifest.file.row_count));
        lines.push("  signature, checksums, row count and totals agree".to_owned());
    }
    lines.extend(findings.iter().map(|finding| format!("DIFFERENT {finding}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
