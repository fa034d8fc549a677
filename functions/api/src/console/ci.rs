//! `/finance/platform/ci`: the report of CI for platform engineers, the form that chooses what it is about, and the answers to
//! its changes.

use std::sync::Arc;

use auth::{Caller, Permission};
use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use ci::reports::{self, Filter};
use domain::instant::day_of;
use jiff::{Timestamp, ToSpan as _};
use maud::html;
use platform::Deadline;

use super::{
    ci_answer::Answering,
    ci_form::{Choice, MAX_NAMES},
    page::{Lobby, SentFromLobby},
    shell::{Place, Shell},
};
use crate::{
    ci::{acknowledgement, changes::change_id, report},
    context::Context,
    problem::{Kind, Problem},
    query::Query,
    scope::{CiReader, CiWriter},
};

/// The path of the page.
pub(super) const PATH: &str = "/finance/platform/ci";

/// Shows the report, as the route of the API does, below the form. A mistake in the form is named at its field.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    lobby: Lobby,
) -> Result<Response, Problem> {
    let Lobby { shell, query, caller, .. } = lobby;
    answer(&context, &shell, caller, query, Answering::default(), deadline).await
}

/// Sends the report as one file, as the route of the API does.
pub(super) async fn file(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    lobby: Lobby,
) -> Result<Response, Problem> {
    let Lobby { shell, query, caller, .. } = lobby;
    let reader = CiReader::of(caller)?;
    let report = report::report(State(context), reader, Extension(deadline), query.without_empty()).await?;
    let mut response = report.into_response();
    let name = format!("attachment; filename=\"ci-report-{}.html\"", day_of(shell.now));
    let name = HeaderValue::try_from(name).map_err(Problem::internal)?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Keeps the answer to a change, as the route of the API does, and returns to the report.
pub(super) async fn acknowledge(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    path: Result<Path<String>, PathRejection>,
    SentFromLobby { lobby, form }: SentFromLobby,
) -> Result<Response, Problem> {
    let Lobby { shell, caller, origin, .. } = lobby;
    let writer = CiWriter::of(caller.clone(), origin)?;
    let id = change_id(path)?;
    let query = Query::parse(&form.text("back"));
    let answering = Answering::read(id, &form.text("note"), !form.text("take_back").is_empty());
    let Some(note) = answering.answer() else {
        return answer(&context, &shell, caller, query, answering, deadline).await;
    };
    acknowledgement::keep(&context, &writer, id, note.as_ref(), deadline).await?;
    let back = shell.href(Choice::of(&query.without_empty()).address(PATH));
    Ok(Redirect::to(&format!("{back}#change-{id}")).into_response())
}

async fn answer(
    context: &Context,
    shell: &Shell,
    caller: Caller,
    query: Query,
    answering: Answering,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let may_answer = caller.authorize_on_platform(Permission::WriteCi).is_ok();
    let _ = CiReader::of(caller)?;
    let query = query.without_empty();
    let mut choice = Choice::of(&query);
    let (filter, mut status, report) = match report::read(query, shell.now) {
        Ok(question) => {
            let filter = question.filter.clone();
            let report = report::make(context, question, shell.now, deadline).await?;
            (filter, StatusCode::OK, Some(report))
        }
        Err(problem) if problem.is(Kind::InvalidRequest) => {
            choice.mistakes = problem.mistakes().to_vec();
            (usual_range(shell.now), problem.status(), None)
        }
        Err(problem) => return Err(problem),
    };
    if answering.is_wrong() {
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    let client = context.database.client().await?;
    let choices = reports::choices(&client, &filter, MAX_NAMES, deadline.left()).await?;
    let texts = shell.texts();
    let content = html! {
        h1 { (texts.ci_report) }
        (choice.mistakes(shell))
        (answering.mistake(shell))
        (choice.fields(shell, &choices))
        @if let Some(report) = report {
            div.actions {
                a.button.quiet href=(shell.href(choice.address("/finance/platform/ci/file"))) { (texts.ci_save) }
            }
            // The report itself is in the language of its file.
            div lang="en" {
                (report.content(&|told| if may_answer { answering.form(shell, &choice, told) } else { html! {} }))
            }
        }
    };
    Ok((status, shell.answer(texts.ci_report, Place::Platform, &content)).into_response())
}

/// Returns the range whose names are offered where the form has none.
fn usual_range(now: Timestamp) -> Filter {
    Filter { from: now.checked_sub((90 * 24).hours()).ok(), to: Some(now), ..Filter::default() }
}
