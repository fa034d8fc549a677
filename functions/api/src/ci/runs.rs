//! `GET /ci/runs`: the runs of CI.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use ci::{
    CiStatus,
    reports::{self, Filter, RunCursor, StoredRun},
};
use jiff::Timestamp;
use platform::Deadline;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{context::Context, instant::whole_second, problem::Problem, query::Query, scope::CiReader};

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunList {
    /// The runs, by their start, newest first.
    items: Vec<RunView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A run, with the field names of its document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CiRun)]
struct RunView {
    /// The id of the run in its CI system.
    run_id: String,
    /// The service that was built or tested.
    service: String,
    /// The command that ran.
    command: String,
    /// The outcome of the run.
    status: CiStatus,
    /// The start of the run.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// The end of the run.
    #[schema(value_type = String, format = DateTime)]
    finished_at: Timestamp,
    /// The duration of the run, in seconds.
    duration_seconds: f64,
    /// The commit that was built.
    commit_sha: String,
    /// The person who caused the run: as in the document with `analytics:ci:pii`, else a UUID that is the same for the
    /// person in every answer.
    actor: String,
    /// The environment of the run.
    environment: String,
    /// The version of the program that wrote the document.
    collector_version: String,
    /// The other fields of the document; absent if there are none. Only with `analytics:ci:pii`, since they may name
    /// persons.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    extra: Option<Box<RawValue>>,
    /// The key of the document.
    object_key: String,
    /// The version of the document; absent if the bucket keeps no versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_version: Option<String>,
    /// The time of ingestion.
    #[schema(value_type = String, format = DateTime)]
    ingested_at: Timestamp,
    /// The number of documents at other keys that told of this run and were replaced; absent if there are none. Their
    /// content is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacements: Option<u64>,
}

/// Lists the runs of CI by their start, newest first. A page of very large documents may be shorter than `limit`.
#[utoipa::path(
    get, path = "/ci/runs", tag = "ci", operation_id = "listRuns",
    params(
        Filter,
        ("status" = Option<CiStatus>, Query, description = "Only runs with this outcome"),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of runs; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same filters",
        ),
    ),
    responses((status = 200, description = "A page of the runs", body = RunList)),
    security(("bearer" = [])),
)]
pub(crate) async fn runs(
    State(context): State<Arc<Context>>,
    reader: CiReader,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Json<RunList>, Problem> {
    let Question { filter, status, limit, after } = read(query)?;
    let client = context.database.client().await?;
    let page = reports::runs(&client, &filter, status, reader.sees_persons(), limit, after, deadline.left()).await?;
    let pseudonym = reports::pseudonyms(&client, deadline.left()).await?;
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

fn read(mut query: Query) -> Result<Question, Problem> {
    let filter = query.filter();
    let status = query.optional("status");
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| reports::run_cursor(text, &filter, status));
    query.finish(Some(Question { filter, status, limit, after }))
}

impl RunView {
    fn new(run: StoredRun, actor: String) -> Self {
        Self {
            status: run.status,
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
            ingested_at: whole_second(run.ingested_at),
            replacements: Some(run.replacements).filter(|count| *count > 0),
        }
    }
}
