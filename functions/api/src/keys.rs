//! `GET /keys`: the public keys that verify the service's signatures.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use signatures::PublicKey;
use utoipa::ToSchema;

use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
};

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeySet {
    /// The keys, the one that signs at present first. Keys that signed before stay, so that old signatures verify.
    keys: Vec<KeyView>,
}

/// A public key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicKey)]
struct KeyView {
    /// Always `EC`.
    kty: &'static str,
    /// Always `P-256`.
    crv: &'static str,
    /// Always `ES256`.
    alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    usage: &'static str,
    /// The id: the key's thumbprint by RFC 7638.
    kid: String,
    /// The first coordinate.
    x: String,
    /// The second coordinate.
    y: String,
}

/// Lists the public keys that verify the signatures of manifests; none if the deployment signs nothing.
#[utoipa::path(
    get, path = "/keys", tag = "exports", operation_id = "listKeys",
    responses(
        (status = 200, description = "The keys", body = KeySet),
        (
            status = 503, description = "A part of the service does not answer in time",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(()),
)]
pub(crate) async fn list(State(context): State<Arc<Context>>) -> Result<Json<KeySet>, Problem> {
    let keys = context.signing.keys().await?;
    Ok(Json(KeySet { keys: keys.iter().map(KeyView::from).collect() }))
}

/// Returns a public key in PEM, for OpenSSL and `analytics verify`.
#[utoipa::path(
    get, path = "/keys/{keyId}", tag = "exports", operation_id = "showKey",
    params(("keyId" = String, Path, description = "The id: `kid` of the list, or the header `key-id` of a signature")),
    responses(
        (status = 200, description = "The key", body = String, content_type = "application/x-pem-file"),
        (
            status = 404, description = "There is no such key",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 503, description = "A part of the service does not answer in time",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(()),
)]
pub(crate) async fn show(State(context): State<Arc<Context>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let keys = context.signing.keys().await?;
    let key = keys.iter().find(|key| key.id() == id);
    let key = key.ok_or_else(|| Problem::new(Kind::NoSuchKey, "Check the key id; the list of keys has all keys."))?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], key.pem()).into_response())
}

impl From<&PublicKey> for KeyView {
    fn from(key: &PublicKey) -> Self {
        let [x, y] = key.coordinates();
        Self { kty: "EC", crv: "P-256", alg: "ES256", usage: "sig", kid: key.id(), x, y }
    }
}
