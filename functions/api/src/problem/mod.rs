//! Every answer that refuses a request: problem details by RFC 9457.
//!
//! A problem has two texts: `detail`, which tells the caller what to do, and its cause, which only goes to the log.

mod convert;
mod kind;
mod render;

use std::{error::Error, sync::Arc};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::request::FieldError;

pub(crate) use self::{
    kind::Kind,
    render::{Answered, Call, FieldErrorBody, ProblemBody, render},
};

/// Seconds after which a caller may send a request again that failed on our side.
const RETRY_AFTER_SECONDS: u32 = 5;

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// On a page, the path by which the person signs in and comes back.
    sign_in: Option<String>,
}

impl Problem {
    /// Creates a problem; `detail` tells the caller what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), cause: None, sign_in: None }
    }

    /// Creates the problem of a request with these mistakes.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let named: Vec<String> = errors
            .iter()
            .map(|error| {
                format!("{} {}", if error.pointer.is_empty() { "the body" } else { &error.pointer }, error.detail)
            })
            .collect();
        let detail = format!("Correct the request and send it again: {}.", named.join("; "));
        Self { errors, ..Self::new(Kind::InvalidRequest, detail) }
    }

    /// Creates the problem of a request with one mistake.
    pub(crate) fn invalid_field(pointer: &str, detail: impl ToString) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.to_string() }])
    }

    /// Creates the problem of a dependency that does not answer.
    pub(crate) fn unavailable(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = format!("Nothing is wrong with the request. Send it again in {RETRY_AFTER_SECONDS} seconds.");
        Self::new(Kind::Unavailable, detail).because(cause)
    }

    /// Creates the problem of a request that reached its deadline. It is a 503 and no 504, as that of a statement which
    /// the database ended: clients need one rule, to send the request again after `Retry-After`.
    pub(crate) fn too_slow(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = format!(
            "The answer took too long. Send the request again in {RETRY_AFTER_SECONDS} seconds, with the same \
             Idempotency-Key if it has one, or ask for less, such as a shorter range."
        );
        Self::new(Kind::TookTooLong, detail).because(cause)
    }

    /// Creates the problem of a failure that only we can correct.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::new(Kind::Internal, "Contact platform engineering and give them the requestId.").because(cause)
    }

    /// Creates the problem of usage that cannot be stated exactly.
    pub(crate) fn inexact(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = "The usage of this range holds a value that cannot be stated exactly. Contact platform \
                      engineering and give them the requestId, so that the data is corrected.";
        Self::new(Kind::Internal, detail).because(cause)
    }

    /// Creates the problem of usage of which a part cannot be read. The rest would be a smaller sum that looks right.
    pub(crate) fn hidden(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = "A part of the usage of this range cannot be read, so its sums would be too small. Contact \
                      platform engineering and give them the requestId, so that the database's rights and partitions \
                      are corrected.";
        Self::new(Kind::Internal, detail).because(cause)
    }

    /// Adds the cause, which goes to the log.
    pub(crate) fn because(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..self }
    }

    /// Adds mistakes that are not the request's.
    pub(crate) fn with_mistakes(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// Adds the path by which the person signs in.
    pub(crate) fn sign_in_at(self, path: String) -> Self {
        Self { sign_in: Some(path), ..self }
    }

    /// Reports whether the problem is of a kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// Returns the instructions for the caller.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the mistakes in the request.
    pub(crate) fn mistakes(&self) -> &[FieldError] {
        &self.errors
    }

    /// Returns the status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        self.kind.parts().1
    }

    /// Returns the places of the mistakes in the request.
    #[cfg(test)]
    pub(crate) fn pointers(&self) -> Vec<String> {
        self.errors.iter().map(|error| error.pointer.clone()).collect()
    }
}

impl IntoResponse for Problem {
    /// Sets only the status and leaves the problem itself to [`render()`], which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.kind.parts().1.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
