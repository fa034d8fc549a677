//! `GET …/exports/{jobId}/manifest`, and its signature: what a file is, stated for those who keep it.

use std::sync::Arc;

use auth::Permission;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use domain::Job;
use jobs::Counted;
use manifest::Manifest;

use super::{download::not_finished, find};
use crate::{
    context::Context,
    problem::{Problem, ProblemBody},
    scope::OrgScope,
    signing::KEY_ID,
};

/// The type of an answer that is a signature.
pub(crate) const SIGNATURE_TYPE: &str = "application/octet-stream";

/// Returns the manifest of a finished export, also when its file has expired: what the file has, its checksum and totals,
/// where its figures come from and how complete they were. The same job gives the same bytes, which
/// `…/manifest/signature` signs.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/manifest", tag = "exports", operation_id = "showManifest",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The manifest", body = Manifest),
        (
            status = 404, description = "There is no such job, or it is not ready or failed; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn manifest(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<Response, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let bytes = bytes(&find(&context, org, scope.job()?).await?)?;
    let disposition = "attachment; filename=\"manifest.json\"";
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CONTENT_DISPOSITION, disposition)], bytes)
        .into_response())
}

/// Signs the manifest's bytes by ES256. `openssl dgst -sha256 -verify key.pem -signature manifest.sig manifest.json`
/// verifies the signature with the key of the header `key-id`, which `…/keys/{keyId}` returns.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/manifest/signature", tag = "exports", operation_id = "signManifest",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (
            status = 200, description = "The signature in DER", body = String, content_type = "application/octet-stream",
            headers(("key-id" = String, description = "The id of the key that signed")),
        ),
        (
            status = 404,
            description = "There is no such job, it is not ready or failed, or the deployment signs nothing; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn signature(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<Response, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let bytes = bytes(&find(&context, org, scope.job()?).await?)?;
    scope.count(Counted::Queries).await?;
    let signature = context.signing.sign(&bytes).await?;
    let headers = [
        (header::CONTENT_TYPE, SIGNATURE_TYPE.to_owned()),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"manifest.sig\"".to_owned()),
        (KEY_ID, signature.key_id),
    ];
    Ok((headers, signature.der).into_response())
}

/// Returns the bytes of a job's manifest.
pub(super) fn bytes(job: &Job) -> Result<Vec<u8>, Problem> {
    manifest::bytes(job).map_err(Problem::internal)?.ok_or_else(|| not_finished(job))
}
