//! `POST …/settings/webhook/secret`: another secret for the organization's webhook.

use std::sync::Arc;

use auth::Permission;
use aws_lc_rs::rand;
use axum::{Json, extract::State};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{Action, OrgId, settings::WebhookSecret};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{context::Context, instant::whole_second, problem::Problem, scope::OrgScope};

/// Number of random bytes of a secret: as many as a block of the digest by which HMAC-SHA-256 signs has.
const SECRET_BYTES: usize = 32;

/// The generator of the operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("could not make random bytes")]
struct NoRandom;

/// A secret that was made. This answer alone shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookSecret)]
pub(crate) struct SecretView {
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The secret, as Standard Webhooks write it.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{43}=$")]
    secret: String,
    /// The time at which it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// The time until which the secret before it is valid too: messages are signed with both. Absent if it is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_valid_until: Option<Timestamp>,
}

/// Makes another secret for the organization's webhook, and shows it this once. The secret before it stays valid for 24
/// hours; the one before that is valid no longer. Each call makes another: after a lost answer, call again.
#[utoipa::path(
    post, path = "/orgs/{orgId}/settings/webhook/secret", tag = "settings", operation_id = "rotateWebhookSecret",
    params(("orgId" = Uuid, Path, description = "The organization")),
    responses(
        (status = 200, description = "The secret", body = SecretView),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn rotate(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<Json<SecretView>, Problem> {
    let org = scope.require(Permission::WriteSettings).await?;
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| Problem::internal(NoRandom))?;
    let secret = WebhookSecret::of_base64(&BASE64_STANDARD.encode(bytes));
    let record = scope.audit(Action::RotateSecret, None);
    let secrets = context.jobs.rotate_secret(org, secret, &record).await?;
    Ok(Json(SecretView {
        org_id: org,
        secret: secrets.current.reveal().to_owned(),
        made_at: whole_second(secrets.made_at),
        previous_valid_until: secrets.previous.map(|previous| whole_second(previous.valid_until)),
    }))
}
