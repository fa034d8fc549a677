//! `…/ci/targets`: what CI's runs are judged by. Each change is a version, which no later one alters.

mod in_force;
mod note;
mod view;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderName, header},
};
use ci::Targets;
use domain::Action;
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::note::judged_by;
use self::{in_force::read, view::VersionView};
pub(super) use self::{
    in_force::{InForce, Judge, Unusable, in_force},
    view::{JudgeView, TargetsView},
};
use crate::{
    body,
    context::Context,
    precondition,
    problem::{Kind, Problem, ProblemBody},
    query::Query,
    scope::{CiReader, CiWriter},
};

/// Targets with their entity tag.
type Tagged = ([(HeaderName, String); 1], Json<TargetsView>);

/// The whole of the targets.
#[derive(Debug, ToSchema)]
#[schema(as = ChangeTargets)]
#[expect(dead_code, reason = "it describes what `Targets::from_json` reads")]
struct TargetsBody {
    /// The targets, each with a name of its own.
    #[schema(min_items = 1, max_items = 100)]
    targets: Vec<ci::Target>,
}

/// All versions of the targets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetsVersions {
    /// The versions, newest first. Version 0, the targets of the service itself, is not among them.
    items: Vec<VersionView>,
}

/// Returns the targets: the present ones, or those of a version of before. Until somebody stores others, these are those of
/// the service itself, as version 0. Targets that were stored by other ways than this one and cannot be used are not
/// replaced by others: `mistakes` names what is wrong.
#[utoipa::path(
    get, path = "/ci/targets", tag = "ci", operation_id = "showTargets",
    params(
        (
            "version" = Option<u32>, Query, minimum = 0,
            description = "A version of before; the present one by default",
        ),
    ),
    responses(
        (
            status = 200, description = "The targets", body = TargetsView,
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
    _: CiReader,
    mut query: Query,
) -> Result<Tagged, Problem> {
    let version = version_of(&mut query, "version");
    let found = match query.finish(Some(version))? {
        None => read(context.jobs.targets().await?),
        Some(version) => in_force::of_version(&context, version).await?,
    };
    if let Err(unusable) = &found {
        unusable.tell();
    }
    Ok(tagged(TargetsView::of(found)))
}

/// Sets the whole of the targets. The header If-Match has the ETag of the targets that were read and changed, so that no
/// change of others is lost. Each change is a version; versions are kept for ever. A month is judged by the version that was
/// in force at its end. Requires `analytics:ci:write` or `platform-admin`.
#[utoipa::path(
    put, path = "/ci/targets", tag = "ci", operation_id = "changeTargets",
    params(
        (
            "If-Match" = String, Header, example = "\"0\"",
            description = "The ETag of the targets that this changes; \"0\" where none were ever stored",
        ),
    ),
    request_body(
        content = TargetsBody,
        example = json!({
            "targets": [{
                "id": "user-org-service-check-duration", "service": "user-org-service", "command": "make check",
                "measure": "p95_duration_seconds", "bound": 180, "minimumRuns": 20,
            }],
        }),
    ),
    responses(
        (
            status = 200, description = "The targets", body = TargetsView,
            headers(("etag" = String, description = "The version, for If-Match of the next change")),
        ),
        (
            status = 409, description = "There are 500 versions",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 412, description = "Others changed the targets since they were read",
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
    writer: CiWriter,
    request: Request,
) -> Result<Tagged, Problem> {
    let from = precondition::version(request.headers())?;
    let targets = Targets::from_json(&body::json(request).await?).map_err(Problem::invalid)?;
    let text = targets.to_json().map_err(Problem::internal)?;
    let record = writer.audit(Action::ChangeTargets);
    let changed = context.jobs.change_targets(from, text, &record).await?;
    Ok(tagged(TargetsView::of(read(Some(changed)))))
}

/// Lists the versions of the targets, newest first: who changed them, and when. `GET /ci/targets` with `version` has the
/// targets of each.
#[utoipa::path(
    get, path = "/ci/targets/versions", tag = "ci", operation_id = "listTargetsVersions",
    responses((status = 200, description = "The versions", body = TargetsVersions)),
    security(("bearer" = [])),
)]
pub(crate) async fn versions(
    State(context): State<Arc<Context>>,
    _: CiReader,
    query: Query,
) -> Result<Json<TargetsVersions>, Problem> {
    query.finish(Some(()))?;
    let stored = context.jobs.targets_versions().await?;
    let items = stored.into_iter().map(|stored| VersionView::of(stored.version, read(Some(stored)))).collect();
    Ok(Json(TargetsVersions { items }))
}

/// Reads an optional parameter that is the number of a version; `None` if it is absent or wrong.
pub(super) fn version_of(query: &mut Query, name: &'static str) -> Option<u32> {
    query.optional_with(name, |text| text.parse::<u32>().map_err(|_| "must be a whole number from 0 on"))
}

/// Creates the problem of a version that does not exist.
fn no_version(version: u32) -> Problem {
    let detail = format!(
        "Targets have versions from 0 on, of which 0 are those of the service itself, but none {version}. Leave it out for \
         the present ones."
    );
    Problem::new(Kind::NoSuchVersion, detail)
}

fn tagged(view: TargetsView) -> Tagged {
    ([(header::ETAG, precondition::tag(view.version()))], Json(view))
}
