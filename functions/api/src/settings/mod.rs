//! `…/settings`: what an organization set for its schedule, the delivery of its files, its tolerance, the days until its
//! months are final, and its webhook.

pub(crate) mod secret;
mod view;

use std::sync::Arc;

use auth::Permission;
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderName, header},
};
use domain::{
    Action, OrgId, Settings,
    reconciliation::Tolerance,
    request::FieldError,
    settings::{BucketPatterns, Destination},
};

pub(crate) use self::view::{SettingsBody, SettingsView};
use crate::{
    body,
    context::Context,
    precondition,
    problem::{Kind, Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
};

/// Settings with their entity tag.
type Tagged = ([(HeaderName, String); 1], Json<SettingsView>);

/// Returns the organization's settings: the present ones, or those of a version of before. An organization that never set
/// any has the defaults, as version 0.
#[utoipa::path(
    get, path = "/orgs/{orgId}/settings", tag = "settings", operation_id = "showSettings",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("version" = Option<u32>, Query, minimum = 1, description = "A version of before; the present one by default"),
    ),
    responses(
        (
            status = 200, description = "The settings", body = SettingsView,
            headers(("etag" = String, description = "The version, for If-Match of a change")),
        ),
        (
            status = 404, description = "There is no such version",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Tagged, Problem> {
    let org = scope.require(Permission::ReadSettings).await?;
    let version = query.optional_with("version", |text| match text.parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err("must be a whole number from 1 on"),
    });
    let view = match query.finish(Some(version))? {
        None => present(&context, org).await?,
        Some(version) => {
            let found = context.jobs.settings_version(org, version).await?;
            let missing = || {
                let detail = format!(
                    "Settings have versions from 1 on, but none {version}. Leave version out for the present ones."
                );
                Problem::new(Kind::NoSuchVersion, detail)
            };
            SettingsView::of(org, Some(found.ok_or_else(missing)?), None)?
        }
    };
    Ok(tagged(view))
}

/// Sets the whole of the organization's settings: what is left out has its default. The header If-Match has the ETag of
/// the settings that were read and changed, so that no change of others is lost. Each change is a version; versions are
/// kept for ever.
#[utoipa::path(
    put, path = "/orgs/{orgId}/settings", tag = "settings", operation_id = "changeSettings",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "If-Match" = String, Header, example = "\"0\"",
            description = "The ETag of the settings that this changes; \"0\" where none were ever set",
        ),
    ),
    request_body(
        content = SettingsBody,
        example = json!({
            "schedule": {"kind": "monthly", "day": "whenFinal", "granularity": "daily"},
            "tolerancePercent": 0.5,
            "finalAfterDays": 3,
            "webhook": {"url": "https://finance.example.com/hooks", "events": ["export.succeeded", "export.failed"]},
        }),
    ),
    responses(
        (
            status = 200, description = "The settings", body = SettingsView,
            headers(("etag" = String, description = "The version, for If-Match of the next change")),
        ),
        (
            status = 409, description = "The organization has 10,000 versions",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 412, description = "Others changed the settings since they were read",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 413, description = "The body is larger than 64 KiB",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 415, description = "The body is not application/json",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 428, description = "The header If-Match is missing",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn change(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    request: Request,
) -> Result<Tagged, Problem> {
    let org = scope.require(Permission::WriteSettings).await?;
    let from = precondition::version(request.headers())?;
    let settings = Settings::from_json(&body::json(request).await?).map_err(Problem::invalid)?;
    if let Some(delivery) = &settings.delivery {
        check_admitted(delivery, &context.delivery_buckets).map_err(|error| Problem::invalid(vec![error]))?;
    }
    let record = scope.audit(Action::ChangeSettings, None);
    let changed = context.jobs.change_settings(org, from, settings, &record).await?;
    let secrets = context.jobs.webhook_secrets(org).await?;
    Ok(tagged(SettingsView::of(org, Some(changed), Some(secrets.as_ref()))?))
}

/// Returns an organization's settings, or the defaults.
pub(crate) async fn of(context: &Context, org: OrgId) -> Result<Settings, Problem> {
    Ok(context.jobs.settings(org).await?.map(|found| found.settings).unwrap_or_default())
}

/// Returns the tolerance of an organization where a request names none.
pub(crate) async fn tolerance(context: &Context, org: OrgId) -> Result<Tolerance, Problem> {
    Ok(of(context, org).await?.tolerance)
}

async fn present(context: &Context, org: OrgId) -> Result<SettingsView, Problem> {
    let settings = context.jobs.settings(org).await?;
    let secrets = context.jobs.webhook_secrets(org).await?;
    SettingsView::of(org, settings, Some(secrets.as_ref()))
}

fn tagged(view: SettingsView) -> Tagged {
    ([(header::ETAG, precondition::tag(view.version()))], Json(view))
}

/// Succeeds if the operator lets files be delivered to the bucket.
fn check_admitted(delivery: &Destination, buckets: &BucketPatterns) -> Result<(), FieldError> {
    let mistake = |pointer: &str, detail: &str| FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() };
    if buckets.is_empty() {
        let detail = "is not possible here: this deployment delivers to no bucket. Leave it out, or ask an administrator \
                      of the platform to admit the bucket";
        Err(mistake("/delivery", detail))
    } else if !buckets.admit(&delivery.bucket) {
        let detail = "is not one that this deployment delivers to. Ask an administrator of the platform to admit it";
        Err(mistake("/delivery/bucket", detail))
    } else {
        Ok(())
    }
}
