//! `…/ci/changes/{changeId}/acknowledgement`: the answer of a person to a change.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Request, State, rejection::PathRejection},
};
use ci::{acknowledge::acknowledge, change::Note};
use domain::request::FieldError;
use platform::Deadline;
use serde_json::Value;
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use super::changes::{ChangeAnswer, answer, change_id};
use crate::{
    body,
    context::Context,
    problem::{Problem, ProblemBody},
    scope::CiWriter,
};

/// An answer to a change.
#[derive(Debug, ToSchema)]
#[schema(as = AcknowledgeChange)]
#[expect(dead_code, reason = "it describes what `note` reads")]
struct AcknowledgementBody {
    /// Why the change is as it is, without line breaks. It is shown wherever the change is: name no persons.
    #[schema(min_length = 1, max_length = 500, example = "expected: new test suite")]
    note: String,
}

/// Acknowledges a change: it needs no attention from then on, and the note is shown wherever the change is. The same note
/// again changes nothing, so the request may be repeated; another one replaces it. Each answer is kept, with who gave it.
#[utoipa::path(
    put, path = "/ci/changes/{changeId}/acknowledgement", tag = "ci", operation_id = "acknowledgeChange",
    params(("changeId" = Uuid, Path, description = "The change")),
    request_body(content = AcknowledgementBody),
    responses(
        (status = 200, description = "The change", body = ChangeAnswer),
        (
            status = 404, description = "There is no such change",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The change was answered 100 times",
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
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    writer: CiWriter,
    Extension(deadline): Extension<Deadline>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<ChangeAnswer>, Problem> {
    let id = change_id(path)?;
    let note = note(&body::json(request).await?).map_err(Problem::invalid)?;
    change(&context, &writer, id, Some(&note), deadline).await
}

/// Takes the acknowledgement of a change back: a slowdown needs attention again. Without one nothing changes, so the
/// request may be repeated.
#[utoipa::path(
    delete, path = "/ci/changes/{changeId}/acknowledgement", tag = "ci", operation_id = "unacknowledgeChange",
    params(("changeId" = Uuid, Path, description = "The change")),
    responses(
        (status = 200, description = "The change", body = ChangeAnswer),
        (
            status = 404, description = "There is no such change",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The change was answered 100 times",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    writer: CiWriter,
    Extension(deadline): Extension<Deadline>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ChangeAnswer>, Problem> {
    change(&context, &writer, change_id(path)?, None, deadline).await
}

async fn change(
    context: &Context,
    writer: &CiWriter,
    id: Uuid,
    note: Option<&Note>,
    deadline: Deadline,
) -> Result<Json<ChangeAnswer>, Problem> {
    let client = context.database.client().await?;
    let (change, is_new) = acknowledge(&client, id, note, writer.subject(), deadline.left()).await?;
    if is_new {
        // The table has who said what.
        info!(change_id = %id, by = writer.pseudonym(), acknowledged = note.is_some(), "change of durations answered");
    }
    Ok(Json(answer(&client, change, deadline).await?))
}

/// Reads the note of a body, strictly.
///
/// # Errors
/// All mistakes at once.
fn note(body: &Value) -> Result<Note, Vec<FieldError>> {
    let mistake = |pointer: String, detail: String| FieldError { pointer, detail };
    let Value::Object(fields) = body else {
        return Err(vec![mistake(String::new(), "must be a JSON object with the field note".to_owned())]);
    };
    let unknown = fields.keys().filter(|name| *name != "note").map(|name| {
        let token = name.replace('~', "~0").replace('/', "~1");
        mistake(format!("/{token}"), "is not a field of this request; the field is note".to_owned())
    });
    let mut errors: Vec<FieldError> = unknown.collect();
    let note = match fields.get("note") {
        Some(Value::String(text)) => text.parse::<Note>().map_err(|error| error.to_string()),
        Some(_) => Err("must be a string".to_owned()),
        None => Err("is required: a string that says why the change is as it is".to_owned()),
    };
    match note {
        Ok(note) if errors.is_empty() => Ok(note),
        Ok(_) => Err(errors),
        Err(detail) => {
            errors.push(mistake("/note".to_owned(), detail));
            Err(errors)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_has_a_note_and_nothing_else() {
        assert_eq!(note(&json!({"note": "expected"})).unwrap().as_str(), "expected");
        let pointers =
            |body: Value| -> Vec<String> { note(&body).unwrap_err().into_iter().map(|error| error.pointer).collect() };
        assert_eq!(pointers(json!([])), [""]);
        for (body, wrong) in [
            (json!({}), vec!["/note"]),
            (json!({"note": 1}), vec!["/note"]),
            (json!({"note": " "}), vec!["/note"]),
            (json!({"note": "a\nb"}), vec!["/note"]),
            (json!({"note": "a", "by/me": 1}), vec!["/by~1me"]),
            (json!({"Note": "a"}), vec!["/Note", "/note"]),
        ] {
            assert_eq!(pointers(body.clone()), wrong, "{body}");
        }
    }
}
