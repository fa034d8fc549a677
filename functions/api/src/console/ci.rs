//! `/finance/platform/ci`: the report of CI for platform engineers, and the form that chooses what it is about.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use ci::reports::{self, Choices, Filter};
use domain::instant::day_of;
use jiff::{Timestamp, ToSpan as _};
use maud::{Markup, html};
use platform::Deadline;

use super::{
    ci_form::{Form, MAX_NAMES},
    page::Lobby,
    shell::{Place, Shell},
};
use crate::{
    ci::{page::Report, report},
    context::Context,
    problem::{Kind, Problem},
    scope::CiReader,
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
    let _ = CiReader::of(caller)?;
    let query = query.without_empty();
    let mut form = Form::of(&query);
    let (filter, status, report) = match report::read(query, shell.now) {
        Ok(question) => {
            let filter = question.filter.clone();
            let report = report::make(&context, question, shell.now, deadline).await?;
            (filter, StatusCode::OK, Some(report))
        }
        Err(problem) if problem.is(Kind::InvalidRequest) => {
            form.mistakes = problem.mistakes().to_vec();
            (usual_range(shell.now), problem.status(), None)
        }
        Err(problem) => return Err(problem),
    };
    let client = context.database.client().await?;
    let choices = reports::choices(&client, &filter, MAX_NAMES, deadline.left()).await?;
    let content = view(&shell, &form, &choices, report.as_ref());
    Ok((status, shell.answer(shell.texts().ci_report, Place::Platform, &content)).into_response())
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

/// Returns the range whose names are offered where the form has none.
fn usual_range(now: Timestamp) -> Filter {
    Filter { from: now.checked_sub((90 * 24).hours()).ok(), to: Some(now), ..Filter::default() }
}

fn view(shell: &Shell, form: &Form, choices: &Choices, report: Option<&Report>) -> Markup {
    let texts = shell.texts();
    html! {
        h1 { (texts.ci_report) }
        (form.mistakes(shell))
        (form.fields(shell, choices))
        @if let Some(report) = report {
            div.actions {
                a.button.quiet href=(shell.href(form.address("/finance/platform/ci/file"))) { (texts.ci_save) }
            }
            // The report itself is in the language of its file.
            div lang="en" { (report.content(&|_| html! {})) }
        }
    }
}
