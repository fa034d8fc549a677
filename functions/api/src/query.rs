//! Query parameters, read strictly: a misspelt filter that is ignored gives a wrong answer.

use std::{fmt::Display, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::{instant::parse as parse_instant, request::FieldError};
use jiff::Timestamp;
use jobs::{Cursor, List};

use crate::problem::Problem;

const DEFAULT_LIMIT: usize = 50;
const LARGEST_LIMIT: usize = 100;

/// The parameters of a query, each of which has a value and stands there once.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Takes the known parameters out, in the order of `known`.
    pub(crate) fn take<const N: usize>(self, known: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        let mut errors = Vec::new();
        for (name, value) in self.0 {
            let detail = match known.iter().position(|known| *known == name) {
                None => format!("is not a parameter of this route; the parameters are {}", known.join(", ")),
                Some(at) if values[at].is_none() => {
                    values[at] = Some(value);
                    continue;
                }
                Some(_) => "must be given once".to_owned(),
            };
            errors.push(FieldError { pointer: format!("/query/{name}"), detail });
        }
        if errors.is_empty() { Ok(values) } else { Err(Problem::invalid(errors)) }
    }
}

/// A mistake in a parameter.
pub(crate) fn error(name: &str, detail: impl ToString) -> FieldError {
    FieldError { pointer: format!("/query/{name}"), detail: detail.to_string() }
}

/// A parameter that may be left out.
pub(crate) fn parsed<T: FromStr<Err: Display>>(name: &str, value: Option<String>) -> Result<Option<T>, FieldError> {
    value.map(|text| text.parse()).transpose().map_err(|found| error(name, found))
}

/// An instant that has to be given.
pub(crate) fn instant(name: &str, value: Option<String>) -> Result<Timestamp, FieldError> {
    let missing = || error(name, "is required: an RFC 3339 timestamp such as 2024-01-01T00:00:00Z");
    parse_instant(&value.ok_or_else(missing)?).map_err(|found| error(name, found))
}

/// The most entries of a page, by the parameter `limit`: [`DEFAULT_LIMIT`] if it is left out.
pub(crate) fn limit(parameter: Option<String>) -> Result<usize, FieldError> {
    limit_up_to(LARGEST_LIMIT, DEFAULT_LIMIT, parameter)
}

/// The most entries of a page, by the parameter `limit`, for a list whose entries are smaller than most.
pub(crate) fn limit_up_to(largest: usize, default: usize, parameter: Option<String>) -> Result<usize, FieldError> {
    match parameter.map(|limit| limit.parse()) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=largest).contains(&limit) => Ok(limit),
        Some(_) => Err(FieldError {
            pointer: "/query/limit".to_owned(),
            detail: format!("must be a whole number from 1 to {largest}"),
        }),
    }
}

/// The place in `list` where a page begins, by the parameter `cursor`.
pub(crate) fn cursor(parameter: Option<String>, list: List) -> Result<Option<Cursor>, FieldError> {
    let cursor = parameter.map(|text| Cursor::decode(&text, list)).transpose();
    cursor.map_err(|error| FieldError { pointer: "/query/cursor".to_owned(), detail: error.to_string() })
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let query = query.map_err(|error| Problem::invalid_field("/query", error.body_text()))?;
        Ok(Self(query.0))
    }
}
