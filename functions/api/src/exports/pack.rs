//! `GET …/exports/{jobId}/pack`: a file with all that explains and proves it, in one zip.
//!
//! The zip is an answer of the function, which Lambda limits to 6 MB of text. A larger CSV is left out: its line in
//! `SHA256SUMS` stays, and the download route has it.

use std::{fmt::Write as _, sync::Arc};

use auth::Permission;
use axum::{
    Extension,
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{Action, ExportFile, Job};
use jobs::Counted;
use objects::ExportObject;
use platform::Deadline;
use sha2::{Digest as _, Sha256};

use super::{
    audit::{AuditList, MAX_RECORDS},
    download::{finished, not_finished},
    find, manifest, reconciliation,
};
use crate::{
    archive::{Archive, json},
    context::Context,
    problem::{Problem, ProblemBody},
    scope::OrgScope,
};

/// The maximum size of a CSV in a pack. In base64 it takes a third more, and the other files must fit, too.
const MAX_CSV_BYTES: u64 = 3 << 20;

/// The stored file is missing, or is not the one that was written.
#[derive(Debug, thiserror::Error)]
#[error("the stored file of job {0} is missing or has other bytes than were written")]
struct NotIntact(domain::JobId);

/// Returns a zip with the file, its manifest and the manifest's signature, a description of the columns, the audit records
/// of the job, its reconciliation with the present figures, and `SHA256SUMS`, by which `sha256sum -c` checks them all. A
/// file of more than 3 MiB is not in the zip: download it into the same folder. Each pack leaves an audit record.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/pack", tag = "exports", operation_id = "packExport",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The zip", body = String, content_type = "application/zip"),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn pack(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    method: Method,
    Extension(deadline): Extension<Deadline>,
) -> Result<Response, Problem> {
    let org = scope.require_all(&[Permission::ReadExports, Permission::DownloadExports, Permission::ReadAudit]).await?;
    let job = find(&context, org, scope.job()?).await?;
    let file = finished(&job)?;
    // As of the download: only what gives out the file leaves a record.
    if method == Method::HEAD {
        return Ok(StatusCode::OK.into_response());
    }
    scope.count(Counted::Downloads).await?;
    context.jobs.record(&scope.audit(Action::Pack, Some(job.id()))).await?;
    let manifest = manifest::bytes(&job)?;
    let mut pack = Archive::default();
    let name = ExportObject::of(&job).name(job.request());
    if file.bytes <= MAX_CSV_BYTES {
        pack.add(&name, &csv(&context, &job, file).await?)?;
    } else {
        pack.list(&name, file.checksum.trim_start_matches("sha256:"));
    }
    pack.add("README.txt", readme(&job, &name, file.bytes > MAX_CSV_BYTES)?.as_bytes())?;
    if context.signing.signs() {
        pack.add("manifest.sig", &context.signing.sign(&manifest).await?.der)?;
    }
    pack.add("manifest.json", &manifest)?;
    let trail = AuditList::first(&context.jobs, org, job.id()).await?;
    pack.add("audit.json", &json(&trail)?)?;
    let id = job.id();
    let compared = reconciliation::with_present(&context, &job, file, deadline).await?;
    pack.add("reconciliation.json", &json(&compared)?)?;
    let disposition = format!("attachment; filename=\"{id}.zip\"");
    let headers = [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, pack.finish()?).into_response())
}

/// Reads the stored file, which must be the one that was written.
async fn csv(context: &Context, job: &Job, file: &ExportFile) -> Result<Vec<u8>, Problem> {
    let not_intact = || Problem::internal(NotIntact(job.id()));
    let mut bytes = Vec::new();
    let mut stored = context.store.read(&ExportObject::of(job)).await?.ok_or_else(not_intact)?;
    while let Some(piece) = stored.next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > file.bytes {
            return Err(not_intact());
        }
    }
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    if digest == file.checksum { Ok(bytes) } else { Err(not_intact()) }
}

/// Explains the files and the columns.
fn readme(job: &Job, name: &str, is_apart: bool) -> Result<String, Problem> {
    let range = job.request().range;
    let granularity = job.request().granularity;
    let mut text = format!(
        "Usage and cost, {granularity}, of organization {}\n\
         from {} until before {}, in UTC. Export {}.\n\n\
         {name}\n    the figures, as CSV\n\
         manifest.json\n    what the file has: request, checksum, row count, totals, completeness\n\
         manifest.sig\n    the signature of manifest.json by ES256, if the service signs\n\
         audit.json\n    who asked for the export and who downloaded it, the first {MAX_RECORDS} records\n\
         reconciliation.json\n    the file's totals beside those of the service when this was packed\n\
         SHA256SUMS\n    the SHA-256 of each file\n\n",
        job.org(),
        range.start(),
        range.end(),
        job.id(),
    );
    if let Some(version) = job.version_of_month() {
        let _ = writeln!(text, "Version {version} of the month.\n");
    }
    if let Some(note) = job.note() {
        let _ = writeln!(text, "Note of the request: {note}\n");
    }
    if is_apart {
        let _ = writeln!(text, "The CSV is too large for this pack. Download it into this folder, as {name}.\n");
    }
    text.push_str(
        "To verify, with the public key of the service in key.pem:\n\n\
         \x20   sha256sum -c SHA256SUMS\n\
         \x20   openssl dgst -sha256 -verify key.pem -signature manifest.sig manifest.json\n\
         \x20   analytics verify . --key key.pem\n\nColumns:\n\n",
    );
    for column in ::manifest::Manifest::of(job).ok_or_else(|| not_finished(job))?.columns {
        let unit = column.unit.map_or_else(String::new, |unit| format!(", in {unit}"));
        let _ = writeln!(text, "{}: {}{unit}\n    {}", column.name, column.kind, column.meaning);
    }
    Ok(text)
}
