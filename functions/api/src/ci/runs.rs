//! `GET /ci/runs`: the runs themselves.

use std::sync::Arc;

use axum::{Json, extract::State};
use ci::{
    CiStatus,
    reports::{self, Filter, RunCursor, StoredRun},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    filter::{Reader, SeriesParameters, TimeParameters},
    seconds,
};
use crate::{
    context::Context,
    problem::Problem,
    query::{self, Parameters},
    scope::CiReader,
};

/// Some runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunList {
    /// The runs, those that began last first.
    items: Vec<RunView>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A run, in the field names of its document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CiRun)]
struct RunView {
    /// The run's id in its CI system.
    run_id: String,
    /// What was built or tested.
    service: String,
    /// The command that ran.
    command: String,
    /// `success`, `failure` or `cancelled`.
    #[schema(value_type = CiStatusSchema)]
    status: &'static str,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    finished_at: Timestamp,
    /// How long it took, in seconds.
    duration_seconds: f64,
    /// The commit that was built.
    commit_sha: String,
    /// Who caused it: as the document says with `analytics:ci:pii`, else a UUID that stands for them, the same in every
    /// answer.
    actor: String,
    /// Where it ran.
    environment: String,
    /// The version of the program that wrote the document.
    collector_version: String,
    /// The document's other fields. Only with `analytics:ci:pii`, since nobody knows what they tell; absent if there
    /// are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    extra: Option<Box<RawValue>>,
    /// The object it was read from.
    object_key: String,
    /// That object's version; absent where the store keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_version: Option<String>,
    /// When it was read.
    #[schema(value_type = String, format = DateTime)]
    ingested_at: Timestamp,
}

/// How a run ended.
#[derive(ToSchema)]
#[schema(as = CiStatus, rename_all = "lowercase")]
#[expect(dead_code, reason = "the names stand for those of `ci::CiStatus`, which knows no OpenAPI")]
enum CiStatusSchema {
    Success,
    Failure,
    Cancelled,
}

/// The runs that CI's telemetry tells of, those that began last first.
#[utoipa::path(
    get, path = "/ci/runs", tag = "ci", operation_id = "listRuns",
    params(
        SeriesParameters,
        ("status" = Option<CiStatusSchema>, Query, description = "Only runs that ended so"),
        TimeParameters,
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "The most runs to answer with; 50 if left out. A page of very large documents may be shorter"),
        ("cursor" = Option<String>, Query, description = "nextCursor of the page before"),
    ),
    responses((status = 200, body = RunList)),
    security(("bearer" = [])),
)]
pub(crate) async fn runs(
    State(context): State<Arc<Context>>,
    reader: CiReader,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<RunList>, Problem> {
    let Question { filter, status, limit, after } = read(parameters?)?;
    let client = context.database.client().await?;
    let page = reports::runs(&client, &filter, status, reader.sees_persons(), limit, after).await?;
    let pseudonym = reports::pseudonyms(&client).await?;
    let view = |run: StoredRun| {
        let actor = if reader.sees_persons() { run.actor.clone() } else { pseudonym(&run.actor).to_string() };
        RunView::new(run, actor)
    };
    Ok(Json(RunList { items: page.runs.into_iter().map(view).collect(), next_cursor: page.next }))
}

struct Question {
    filter: Filter,
    status: Option<CiStatus>,
    limit: usize,
    after: Option<RunCursor>,
}

fn read(parameters: Parameters) -> Result<Question, Problem> {
    let [service, command, environment, status, from, to, limit, cursor] =
        parameters.take(["service", "command", "environment", "status", "from", "to", "limit", "cursor"])?;
    let mut reader = Reader::default();
    let filter = reader.filter([service, command, environment, from, to]);
    let status = reader.read("status", status, str::parse).flatten();
    let limit = reader.keep(query::limit(limit));
    let after = reader.read("cursor", cursor, |text| reports::run_cursor(text, &filter, status)).flatten();
    reader.finish(limit.map(|limit| Question { filter, status, limit, after }))
}

impl RunView {
    fn new(run: StoredRun, actor: String) -> Self {
        Self {
            status: run.status.name(),
            run_id: run.run_id,
            service: run.service,
            command: run.command,
            started_at: run.started_at,
            finished_at: run.finished_at,
            duration_seconds: run.duration_seconds,
            commit_sha: run.commit_sha,
            actor,
            environment: run.environment,
            collector_version: run.collector_version,
            extra: run.extra.filter(|extra| extra.get() != "{}"),
            object_key: run.object_key,
            object_version: run.object_version,
            ingested_at: seconds(run.ingested_at),
        }
    }
}
