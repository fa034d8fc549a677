//! `GET /ci/changes/{changeId}`: a change of durations, and what people answered to it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
};
use changepoints::{Reason, State as Certainty};
use ci::{
    acknowledge::{Answer, answers},
    change::{Acknowledgement, ToldChange},
    reports,
};
use jiff::Timestamp;
use platform::Deadline;
use postgres::Connection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::regression_view::RegressionView;
use crate::{
    BASE,
    context::Context,
    instant::whole_second,
    problem::{Kind, Problem, ProblemBody},
    scope::CiReader,
};

/// The certainty of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ChangeState)]
pub(super) enum StateView {
    /// Large, but of the last 5 to 11 runs.
    Provisional,
    /// Lasting.
    Confirmed,
    /// Told before, and no more a change.
    Withdrawn,
}

/// Why a change was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WithdrawnBecause)]
pub(super) enum ReasonView {
    /// With the runs since then it may well be chance.
    Chance,
    /// Less than half of it is left.
    Smaller,
}

impl StateView {
    /// Returns a state with the reason of a withdrawn one.
    pub(super) const fn of(state: Certainty) -> (Self, Option<ReasonView>) {
        match state {
            Certainty::Provisional => (Self::Provisional, None),
            Certainty::Confirmed => (Self::Confirmed, None),
            Certainty::Withdrawn(Reason::Chance) => (Self::Withdrawn, Some(ReasonView::Chance)),
            Certainty::Withdrawn(Reason::Smaller) => (Self::Withdrawn, Some(ReasonView::Smaller)),
        }
    }
}

/// The answer of a person to a change.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChangeAcknowledgement)]
pub(super) struct AcknowledgementView {
    /// The answer.
    pub(super) note: String,
    /// The time.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The person or program: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    by: Uuid,
}

impl From<Acknowledgement> for AcknowledgementView {
    fn from(Acknowledgement { note, at, by, version: _ }: Acknowledgement) -> Self {
        Self { note, at: whole_second(at), by }
    }
}

/// A change of durations, with the answers to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CiChange)]
pub(crate) struct ChangeAnswer {
    /// The change.
    change: RegressionView,
    /// The answers to it, newest first; at most 100.
    history: Vec<AnswerView>,
}

/// An answer to a change, or that one was taken back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChangeAnswer)]
struct AnswerView {
    /// The number, from 1.
    version: u32,
    /// The answer; absent if the one before was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The time.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The person or program, as `by` of an acknowledgement.
    by: Uuid,
}

impl From<Answer> for AnswerView {
    fn from(Answer { version, note, at, by }: Answer) -> Self {
        Self { version, note, at: whole_second(at), by }
    }
}

/// Returns a change of durations that was told, also a withdrawn one, with the answers to it.
#[utoipa::path(
    get, path = "/ci/changes/{changeId}", tag = "ci", operation_id = "showChange",
    params(("changeId" = Uuid, Path, description = "The change")),
    responses(
        (status = 200, description = "The change", body = ChangeAnswer),
        (
            status = 404, description = "There is no such change",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ChangeAnswer>, Problem> {
    let id = change_id(path)?;
    let client = context.database.client().await?;
    let change = reports::change(&client, id, deadline.left()).await?.ok_or_else(missing)?;
    Ok(Json(answer(&client, change, deadline).await?))
}

/// Reads the id of the path.
pub(crate) fn change_id(path: Result<Path<String>, PathRejection>) -> Result<Uuid, Problem> {
    let Path(text) = path.map_err(|error| Problem::invalid_field("/path", error.body_text()))?;
    // The other forms of UUIDs would be further addresses of one change.
    let id = Uuid::parse_str(&text).ok().filter(|_| text.len() == 36);
    id.ok_or_else(|| Problem::invalid_field("/path/changeId", "must be a UUID in its form with hyphens"))
}

fn missing() -> Problem {
    Problem::new(Kind::NoSuchChange, "Check the id; the list of changes has the ids of all that were told.")
}

/// Returns a change with the answers to it.
pub(super) async fn answer(
    client: &Connection,
    change: ToldChange,
    deadline: Deadline,
) -> Result<ChangeAnswer, Problem> {
    let history = answers(client, change.id, deadline.left()).await?;
    Ok(ChangeAnswer {
        change: RegressionView::told(change),
        history: history.into_iter().map(AnswerView::from).collect(),
    })
}

/// Returns the address of a change on the host of the service.
pub(super) fn link(id: Uuid) -> String {
    format!("{BASE}/ci/changes/{id}")
}
