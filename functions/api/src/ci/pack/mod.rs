//! `GET …/ci/evidence/pack`: the evidence of a month in one zip, for those who keep it.
//!
//! The zip is an answer of the function, which Lambda limits to 6 MB of text. So it does not have the documents of the runs:
//! their keys, versions and checksums are in the manifest, which is signed.

mod manifest;
mod page;

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, header},
};
use ci::reports::{Evidence, MAX_OBJECTS};
use domain::Month;
use jiff::Timestamp;
use platform::Deadline;

use self::{
    manifest::{DocumentView, Manifest},
    page::Page,
};
use super::{
    evidence::{EvidenceReport, MAX_OBJECTS_IN_ALL, of_month},
    targets::{InForce, TargetsView, in_force, judged_by, version_of},
};
use crate::{
    archive::{Archive, json},
    context::Context,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::CiReader,
};

/// Maximum length of what names documents in all files together. In base64 it takes a third more, and the rest must fit, too.
const MAX_NAMED_BYTES: usize = 3_500_000;

/// The bytes of an entry besides its values, in the manifest or in the evidence: names of fields, and indentation.
const ENTRY_BYTES: usize = 200;

/// Returns a zip with the evidence of a month as JSON and as a page to print, the targets that it is judged by, a manifest
/// with the checksums of all of these and of the documents that they rest on, its signature where the service signs, and
/// `SHA256SUMS`. The same data gives the same files, except for the signature. So many documents are named as fit; each file
/// says how many are not.
#[utoipa::path(
    get, path = "/ci/evidence/pack", tag = "ci", operation_id = "packEvidence",
    params(
        (
            "month" = String, Query, pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2025-11",
            description = "The month, UTC, in which the runs began, as YYYY-MM",
        ),
        (
            "targets" = Option<u32>, Query, minimum = 0,
            description = "The version of the targets to judge by; that which was in force at the month's end by default",
        ),
    ),
    responses(
        (status = 200, description = "The zip", body = String, content_type = "application/zip"),
        (
            status = 404, description = "There is no such version of the targets",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The targets have mistakes, which `errors` names",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn pack(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    mut query: Query,
) -> Result<([(HeaderName, String); 2], Vec<u8>), Problem> {
    let month = query.required("month", "a month such as 2025-11", str::parse::<Month>);
    let asked = version_of(&mut query, "targets");
    let (month, asked) = query.finish(month.map(|month| (month, asked)))?;
    let in_force = in_force(&context, month, asked).await?.map_err(Problem::from)?;
    let mut evidence = of_month(&context, &in_force.targets, month, MAX_OBJECTS_IN_ALL, deadline).await?;
    let max = fit(&mut evidence);
    let content = Content { month, is_over: month.end() <= Timestamp::now(), in_force, evidence, max };
    let files = content.files()?;
    let manifest = json(&Manifest::of(&content, &files))?;
    let mut archive = Archive::default();
    for (name, bytes) in &files {
        archive.add(name, bytes)?;
    }
    archive.add("manifest.json", &manifest)?;
    if context.signing.signs() {
        archive.add("manifest.sig", &context.signing.sign(&manifest).await?.der)?;
    }
    let disposition = format!("attachment; filename=\"ci-evidence-{month}.zip\"");
    let headers = [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, archive.finish()?))
}

/// What the files of a pack tell of.
#[derive(Debug)]
struct Content {
    month: Month,
    /// `false` if more runs of the month may come.
    is_over: bool,
    in_force: InForce,
    evidence: Vec<Evidence>,
    /// Maximum number of documents that are named for one target.
    max: usize,
}

impl Content {
    /// Returns the files that the manifest lists.
    fn files(&self) -> Result<[(&'static str, Vec<u8>); 4], Problem> {
        let Self { month, in_force, evidence, .. } = self;
        Ok([
            ("README.txt", self.readme().into_bytes()),
            ("evidence.html", Page(self).render().into_bytes()),
            ("evidence.json", json(&EvidenceReport::of(*month, &in_force.judge, evidence)?)?),
            ("targets.json", json(&TargetsView::of(Ok(in_force.clone())))?),
        ])
    }

    /// Returns the documents that are named, each once.
    fn documents(&self) -> Vec<DocumentView<'_>> {
        let mut documents: Vec<_> = self.evidence.iter().flat_map(|evidence| &evidence.objects).collect();
        documents.sort_by(|a, b| a.key.cmp(&b.key));
        documents.dedup_by(|a, b| a.key == b.key);
        documents.into_iter().map(DocumentView::from).collect()
    }

    /// Returns the number of measured runs whose documents are not named, summed over the targets.
    fn left_out(&self) -> u64 {
        self.evidence.iter().map(Evidence::left_out).sum()
    }

    fn readme(&self) -> String {
        let Self { month, max, in_force, .. } = self;
        let mut text = format!(
            "CI evidence for {month}, UTC: whether the runs that began in it kept the targets.\n{}\n\n\
             evidence.html\n    the verdicts, to read and to print\n\
             evidence.json\n    the same with the documents that each verdict rests on, as GET …/ci/evidence answers\n\
             targets.json\n    the targets that the month is judged by\n\
             manifest.json\n    the checksums of these files, and of the documents when they were read\n\
             manifest.sig\n    the signature of manifest.json by ES256, if the service signs\n\
             SHA256SUMS\n    the SHA-256 of each file\n\n",
            judged_by(&in_force.judge),
        );
        if !self.is_over {
            text.push_str("The month was not over when this was made: these are the runs until then.\n\n");
        }
        if self.left_out() > 0 {
            let _ = writeln!(
                text,
                "The documents are too many for this file. Of each target the first {max} are named, by key; {} are not, \
                 over all targets. GET …/ci/runs lists all.\n",
                self.left_out()
            );
        }
        let unknown = self.documents().iter().filter(|document| document.sha256.is_none()).count();
        if unknown > 0 {
            let _ = writeln!(
                text,
                "{unknown} documents have no sha256 in manifest.json: they were read before checksums were recorded, and \
                 entityTag is all that is known of them. The operator's program reingest adds it.\n"
            );
        }
        text.push_str(
            "To verify, with the public key of the service in key.pem:\n\n\
             \x20   sha256sum -c SHA256SUMS\n\
             \x20   openssl dgst -sha256 -verify key.pem -signature manifest.sig manifest.json\n\
             \x20   analytics verify . --key key.pem\n\n\
             To verify copies of the documents in this folder, each at its key:\n\n\
             \x20   jq -r '.documents[] | select(.sha256) | .sha256 + \"  \" + .key' manifest.json | sha256sum -c\n",
        );
        text
    }
}

/// Leaves so many documents of each target as fit into a pack. Returns that number.
fn fit(evidence: &mut [Evidence]) -> usize {
    let length = |max: usize| -> usize {
        let objects = evidence.iter().flat_map(|evidence| evidence.objects.iter().take(max));
        objects
            .map(|object| {
                // Twice, and a character may take six bytes as an escape.
                let key: usize = object.key.chars().map(|c| if c.is_control() { 6 } else { c.len_utf8() + 1 }).sum();
                2 * (key + object.version.as_ref().map_or(0, String::len) + ENTRY_BYTES) + object.etag.len()
            })
            .sum()
    };
    let mut max = MAX_OBJECTS;
    while max > 0 && length(max) > MAX_NAMED_BYTES {
        max = max * 9 / 10;
    }
    for evidence in evidence {
        evidence.objects.truncate(max);
    }
    max
}

#[cfg(test)]
mod tests;
